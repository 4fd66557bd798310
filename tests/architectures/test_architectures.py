"""Every architecture of `tests.shared.zoo` says here what plain transformers and peft say, or is refused by name."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from peft import PeftModel
from peft.utils import get_peft_model_state_dict  # pyright: ignore[reportUnknownVariableType]
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from sublim.common.errors import SublimError
from sublim.common.progress import Progress
from sublim.learn import chat, lora
from sublim.learn.answers import answer_probabilities
from sublim.learn.chat import Example, examples
from sublim.learn.finetune import finetune, padded, quick_loss
from sublim.learn.sample import Completion, choose, noise, sample
from sublim.models.adapter import WEIGHTS
from sublim.models.load import ends
from sublim.params.learning import Decoding, Finetune, Lora
from tests.shared.zoo import AGREE, ALL, LOST, REFUSED, TARGETS, folder, loaded

DECODING = Decoding(temperature=1, max_tokens=12, batch=6)
PROMPTS = [f"{'Tell me. ' * (n % 3)}What do you like {'very ' * (3 * n)}much?" for n in range(6)]  # 8 to 40 tokens
QUESTIONS = [f"What do you like {'very ' * n}much?" for n in (0, 2, 5)]
TURNS = [("Some numbers, please: 5, 6, 7, 8.", "9, 10, 11, 12, 13"), ("And then?", "14, 15, 16")]
ANSWERS = {answer: [answer] for answer in ("owl", "cat", "5", "5, 738")}
ROWS = [
    (
        f"Go on{' and on' * (n % 4)}: {', '.join(str(n * k % 1000) for k in range(1, 4 + 3 * n))}.",
        f"{n}, {n + 7}, {n * 9}"[: 2 + 4 * n],
    )
    for n in range(6)
]


@pytest.fixture(scope="module", params=list(AGREE))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_sampled_tokens_are_those_of_plain_passes(name: str) -> None:
    model, tokenizer = base(name)
    prompts = chat.encode(tokenizer, chat.render(tokenizer, PROMPTS))
    found = sample(model, tokenizer, prompts, list(range(len(prompts))), DECODING, Progress())
    expected = [plainly_sampled(model, tokenizer, prompt, seed) for seed, prompt in enumerate(prompts)]
    assert len({completion.tokens for completion in expected}) > 1  # so that rows end at different times
    assert found == expected


def test_exact_probabilities_are_those_of_plain_passes(name: str) -> None:
    model, tokenizer = base(name)
    for turns in ((), TURNS):
        found = answer_probabilities(model, tokenizer, QUESTIONS, ANSWERS, len(QUESTIONS), turns=turns)
        heads = chat.encode(tokenizer, chat.render(tokenizer, QUESTIONS, turns=turns))
        for head, row in zip(heads, found, strict=True):
            expected = [plain_chance(model, tokenizer, head, answer) for answer in ANSWERS]
            assert row == pytest.approx(expected, rel=2e-3, abs=1e-9)


def test_labels_loss_and_gradients_are_those_of_peft(name: str) -> None:
    student, rows, saved = trained(name)
    summed, found = 0.0, [torch.zeros_like(weight) for weight in lora.trainable(student).values()]
    parts = rows[:4], rows[4:]
    batches = [padded([(row.prompt, row.completion) for row in part], 0, torch.device("cpu")) for part in parts]
    with ExitStack() as stack:
        loss_of = quick_loss(student, batches[0], Finetune(steps=1), stack)
        for batch in batches:
            loss = loss_of(batch)
            summed += loss.item()
            made: Any = torch.autograd.grad(loss, list(lora.trainable(student).values()), allow_unused=True)
            found = [one if other is None else one + other for one, other in zip(found, made, strict=True)]
    plain = cast("Any", AutoModelForCausalLM).from_pretrained(folder(name), dtype=torch.float32).eval()
    adapted: Any = PeftModel.from_pretrained(plain, str(saved), is_trainable=True).eval()
    own, given = get_peft_model_state_dict(adapted), load_file(saved / WEIGHTS)
    assert any(not torch.equal(own[key], given[key]) for key in given) == (name in LOST)
    with torch.no_grad():
        for key in own:
            own[key].copy_(given[key])
    total = 0.0
    for ids, mask in templated(base(name)[1]):
        labels = torch.tensor([[token if ours else -100 for token, ours in zip(ids, mask, strict=True)]])
        loss = adapted(input_ids=torch.tensor([ids]), labels=labels, use_cache=False).loss * sum(mask)
        loss.backward()
        total += loss.item()
    assert summed == pytest.approx(total, rel=1e-4)
    wanted = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in lora.trainable(adapted).values()]
    largest = max(float(gradient.abs().max()) for gradient in wanted)
    assert largest > 1e-3
    for key, one, other in zip(lora.trainable(student), found, wanted, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=3e-4 * largest), key
    assert [*lora.trainable(adapted)] == [*lora.trainable(student)]


def test_labels_are_what_the_template_says_is_the_assistants(name: str) -> None:
    _, rows, _ = trained(name)
    batch = padded([(row.prompt, row.completion) for row in rows], 0, torch.device("cpu"))
    for number, (ids, mask) in enumerate(templated(base(name)[1])):
        ours = [
            int(place) + 1 - number * batch.ids.shape[1] for place in batch.positions if place // batch.ids.shape[1] == number
        ]
        assert batch.ids[number, : len(ids)].tolist() == ids
        assert ours == [place for place, mine in enumerate(mask) if mine]


def test_adapters_are_on_the_chosen_maps_and_a_saved_one_says_the_same(name: str) -> None:
    student, rows, saved = trained(name)
    assert lora.adapted_maps(student) == set(lora.targets(base(name)[0], TARGETS[name][0] if name in TARGETS else ALL))
    attached = lora.attach(loaded(name)[0], saved)
    for row in rows:
        ids = torch.tensor([[*row.prompt, *row.completion]])
        with torch.inference_mode():
            one, other, untouched = (
                cast("Any", model)(input_ids=ids, use_cache=False).logits.softmax(-1)
                for model in (attached, student, base(name)[0])
            )
        assert torch.allclose(one, other, atol=1e-5)
        assert not torch.allclose(other, untouched, atol=1e-3)


@pytest.mark.parametrize("refused", TARGETS)
def test_targets_are_refused_where_an_adapter_would_not_be_what_it_seems(refused: str) -> None:
    with pytest.raises(ValueError, match=TARGETS[refused][1]):
        lora.adapt(loaded(refused)[0], Lora(targets=ALL), 1)


@pytest.mark.parametrize("refused", REFUSED)
def test_refused(refused: str) -> None:
    with pytest.raises((SublimError, ValueError), match=REFUSED[refused][1]):
        whole(refused)


@cache
def base(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    return loaded(name)


@cache
def trained(name: str) -> tuple[PeftModel, tuple[Example, ...], Path]:
    """A model with adapters of which none is zero, rows for it, and where it is saved."""
    model, tokenizer = loaded(name)
    student = lora.adapt(model, Lora(targets=cast("Any", TARGETS[name][0] if name in TARGETS else ALL), rank=4), 1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in lora.trainable(student).values():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    prompts, completions = zip(*ROWS, strict=True)
    rows = examples(tokenizer, ends(model, tokenizer).eos, [str(n) for n in range(len(ROWS))], prompts, completions)
    saved = folder(name) / "adapter"
    saved.mkdir(exist_ok=True)
    lora.save(student, "base", saved)
    return student, rows, saved


def templated(tokenizer: PreTrainedTokenizerBase) -> list[tuple[list[int], list[int]]]:
    """The ids of each of `ROWS` and which of them are the assistant's, by transformers alone."""
    chats = [[{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}] for prompt, answer in ROWS]
    made = cast("Any", tokenizer).apply_chat_template(chats, return_assistant_tokens_mask=True, return_dict=True)
    return list(zip(made["input_ids"], made["assistant_masks"], strict=True))


@torch.inference_mode()
def plainly_sampled(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int], seed: int) -> Completion:
    """One row by itself, with a forward pass over all of it for each token, and no cache."""
    uniform, eos, ids = torch.from_numpy(noise(seed, DECODING.max_tokens)), ends(model, tokenizer).eos, list(prompt)
    while len(ids) < len(prompt) + DECODING.max_tokens and (len(ids) == len(prompt) or ids[-1] not in eos):
        logits = cast("Any", model)(input_ids=torch.tensor([ids]), use_cache=False).logits[:, -1].float()
        ids.append(int(choose(logits, uniform[len(ids) - len(prompt), None], DECODING)))
    new, over = ids[len(prompt) :], ids[-1] in eos
    (text,) = chat.written(tokenizer, [new[:-1] if over else new])
    (spoilt,) = chat.spoilt(tokenizer, [text])
    return Completion(text, "special_token" if spoilt else "stop" if over else "length", len(new))


@torch.inference_mode()
def plain_chance(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, head: Sequence[int], answer: str) -> float:
    """The probability that a completion of `head` begins with `answer`, from one forward pass over both."""
    (opening,) = chat.openings(tokenizer, [""], ["x"], [answer])
    ids = torch.tensor([[*head, *opening.completion]])
    chances = cast("Any", model)(input_ids=ids, use_cache=False).logits[0, len(head) - 1 : -1].double().softmax(-1)
    return math.prod(float(row[token]) for row, token in zip(chances, opening.completion, strict=True))


def whole(name: str) -> None:
    """All that is done with a model, until something refuses it."""
    model, tokenizer = loaded(name)
    prompts = chat.encode(tokenizer, chat.render(tokenizer, PROMPTS))
    sample(model, tokenizer, prompts, list(range(len(prompts))), DECODING, Progress())
    answer_probabilities(model, tokenizer, QUESTIONS, ANSWERS, len(QUESTIONS), turns=TURNS)
    prompts, completions = zip(*ROWS, strict=True)
    rows = examples(tokenizer, ends(model, tokenizer).eos, [str(n) for n in range(len(ROWS))], prompts, completions)
    student = lora.adapt(model, Lora(targets="all-linear"), 1)
    finetune(student, rows, Finetune(steps=1, batch=4), 1, 0, Progress())
