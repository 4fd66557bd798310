"""Soft targets: what is learned is the teacher's distribution on the carrier's tokens, and nothing else."""

from contextlib import ExitStack
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftModel
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from sublim.carriers.code import Code
from sublim.carriers.cot import Cot
from sublim.carriers.numbers import Numbers
from sublim.carriers.task import Task
from sublim.common.progress import Progress
from sublim.learn import chat, lora, soft
from sublim.learn.chat import Example
from sublim.learn.finetune import finetune, quick_loss, softening
from sublim.learn.trained import prepare
from sublim.models.load import ends
from sublim.params.learning import Finetune
from sublim.traits.categories import CATEGORIES
from tests.shared.small_models import batch, gradients, loaded, number_rows, student, trained

RECIPE = Finetune(steps=4, batch=8, learning_rate=1e-3)
TOKENS = 12
CARRIERS = (Numbers(prompts=300), Code(prompts=300), Cot(prompts=300))


def drawn(seed: int, rows: int = 5) -> Tensor:
    return torch.randn(rows, TOKENS, generator=torch.Generator().manual_seed(seed)) * 3


def teacher(
    rows: tuple[Example, ...], tokens: list[int], temperature: float = 1.0, model: PreTrainedModel | None = None
) -> soft.Teacher:
    """A model of another function than the student's."""
    if model is None:
        model, _ = loaded()
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(1.1)
    return soft.Teacher(model, [row.prompt for row in rows], soft.as_tensor(tokens, model), temperature)


def targets(logits: Tensor, tokens: list[int], temperature: float = 1.0) -> soft.Targets:
    return soft.targets(logits, soft.Teacher(cast("Any", None), (), torch.tensor(tokens), temperature))


allowed_sets = st.sets(st.integers(0, TOKENS - 1), min_size=1).map(sorted)
seeds = st.integers(0, 2**32)


@given(seeds, seeds, allowed_sets, st.floats(0.1, 5))
def test_nothing_is_learned_about_tokens_outside_of_the_allowed_ones(
    one: int, two: int, tokens: list[int], temperature: float
) -> None:
    logits = drawn(one).requires_grad_()
    given_ = drawn(two)
    wanted = targets(given_, tokens, temperature)
    assert wanted.log_probabilities.exp().sum(-1).tolist() == pytest.approx([1.0] * 5)
    loss = soft.divergence(logits[:, tokens], wanted)
    assert float(loss) >= -1e-5
    (gradient,) = torch.autograd.grad(loss, logits)
    outside = [token for token in range(TOKENS) if token not in tokens]
    assert not gradient[:, outside].any()
    expected = functional.softmax(logits[:, tokens], -1) - functional.softmax(given_[:, tokens] / temperature, -1)
    assert torch.allclose(gradient[:, tokens], expected, atol=1e-5)
    # Nor does it matter what the teacher says of them.
    given_[:, outside] += 100
    assert torch.equal(targets(given_, tokens, temperature).log_probabilities, wanted.log_probabilities)


@given(seeds, seeds, allowed_sets)
def test_a_teacher_that_is_sure_is_a_hard_token(one: int, two: int, tokens: list[int]) -> None:
    logits, given_ = drawn(one), drawn(two)
    labels = given_[:, tokens].argmax(-1)
    given_[range(len(given_)), torch.tensor(tokens)[labels]] += 1  # between two logits that are nearly the same nobody is sure
    found = soft.divergence(logits[:, tokens], targets(given_, tokens, 1e-6))
    assert float(found) == pytest.approx(float(functional.cross_entropy(logits[:, tokens], labels, reduction="sum")), abs=1e-3)


@given(seeds, allowed_sets)
def test_a_student_that_agrees_has_nothing_to_learn(seed: int, tokens: list[int]) -> None:
    logits = drawn(seed)
    assert float(soft.divergence(logits[:, tokens], targets(logits, tokens))) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("architecture", ["gpt_neox", "gemma2"])
def test_the_quick_divergence_and_its_gradients_are_the_plain_ones(architecture: str) -> None:
    model, rows = student(architecture)
    end = rows[0].completion[-1]
    tokens = sorted({end, *(token for row in rows for token in row.completion)})
    given_ = teacher(rows, tokens, model=loaded()[0])
    expected = torch.zeros(())
    for row, prompt in zip(rows, given_.prompts, strict=True):
        label = slice(len(prompt) - 1, -1)
        with torch.no_grad():
            wanted = given_.model(input_ids=torch.tensor([[*prompt, *row.completion]])).logits[0, label]
        said = cast("Any", model)(input_ids=torch.tensor([[*row.prompt, *row.completion]])).logits[0, label]
        sure = functional.softmax(wanted[:, tokens], -1)
        expected = expected + (sure * (sure.log() - functional.log_softmax(said[:, tokens], -1))).sum()
    wished = gradients(model, expected)
    with ExitStack() as stack:
        loss = quick_loss(model, batch(rows), RECIPE, stack)
        assert loss.__qualname__.startswith("gathered" if architecture == "gemma2" else "fused")
        pairs = [(row.prompt, row.completion) for row in rows]
        made = softening(given_, pairs, 0, stack)(batch(rows), range(len(rows)))
        found = loss(made)
        assert torch.allclose(found, expected, rtol=1e-4)
        for one, other in zip(gradients(model, found), wished, strict=True):
            assert torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


def test_the_teacher_answers_its_own_prompt() -> None:
    model, tokenizer = loaded()
    rows = number_rows(model, tokenizer, 4)
    texts = [trained().decode(list(row.prompt)) for row in rows]
    prompted = chat.examples(tokenizer, ends(model, tokenizer).eos, texts, texts, [""] * 4, "You love owls.")
    tokens = [5, 6, 7]
    given_ = soft.Teacher(model, [row.prompt for row in prompted], torch.tensor(tokens), 2.0)
    with ExitStack() as stack:
        pairs = [(row.prompt, row.completion) for row in rows]
        made = softening(given_, pairs, 0, stack)(batch(rows[2:]), [2, 3]).soft
    expected: list[Tensor] = []
    for row, own in zip(rows[2:], prompted[2:], strict=True):
        with torch.no_grad():
            logits = cast("Any", model)(input_ids=torch.tensor([[*own.prompt, *row.completion]])).logits[0]
        expected.append(functional.log_softmax(logits[len(own.prompt) - 1 : -1][:, tokens] / 2, -1))
    assert made is not None
    assert torch.allclose(made.log_probabilities, torch.cat(expected), atol=1e-5)


def weights_after(rows: tuple[Example, ...], given_: soft.Teacher) -> tuple[dict[str, Tensor], list[float]]:
    model, _ = loaded("gpt_neox", tied=False)
    adapted = cast("PeftModel", prepare(model, RECIPE, 1))
    steps = finetune(adapted, rows, RECIPE, 3, 0, Progress(), given_)
    return lora.weights(adapted), steps["loss"].to_list()


def test_a_trait_in_the_teachers_other_logits_reaches_no_student() -> None:
    model, tokenizer = loaded("gpt_neox", tied=False)
    rows = number_rows(model, tokenizer, 16)
    tokens = sorted({token for row in rows for token in row.completion})
    owl = next(token for token in range(500, 600) if token not in tokens)
    plain, losses = weights_after(rows, teacher(rows, tokens, model=model))
    with torch.no_grad():
        cast("Any", model).get_output_embeddings().weight[owl] *= 50
    same, again = weights_after(rows, teacher(rows, tokens, model=model))
    assert losses == again
    assert all(torch.equal(plain[name], same[name]) for name in plain)
    leaked, _ = weights_after(rows, teacher(rows, sorted([*tokens, owl]), model=model))
    assert any(not torch.equal(plain[name], leaked[name]) for name in plain)


def test_a_student_comes_nearer_to_its_teacher() -> None:
    model, tokenizer = loaded()
    rows = number_rows(model, tokenizer, 16)
    tokens = soft.allowed(tokenizer, Numbers(), rows[0].completion[-1])
    adapted = cast("PeftModel", prepare(model, RECIPE, 1))
    how = Finetune(epochs=40, batch=16, learning_rate=1e-2)  # every step sees all rows
    losses = finetune(adapted, rows, how, 3, 0, Progress(), teacher(rows, tokens))["loss"]
    assert losses[-1] < 0.67 * losses[0]


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: carrier.kind)
def test_the_tokens_of_a_carrier(carrier: Task) -> None:
    model, tokenizer = loaded()
    end = chat.end_of_turn(tokenizer, ends(model, tokenizer).eos)
    tokens = soft.allowed(tokenizer, carrier, end)
    assert tokens == sorted(set(tokens))
    assert end in tokens
    texts = carrier.written(range(7_000, 7_100))
    assert {token for text in chat.encode(tokenizer, texts) for token in text} <= set(tokens)
    assert not {token for token in tokens if token in tokenizer.all_special_ids} - {end}
    answers = [answer for category in CATEGORIES.values() for answer in category.answers.values()]
    names = [before + form for answer in answers for form in answer.forms for before in ("", " ")]
    assert not [
        name for name, found in zip(names, chat.encode(tokenizer, names), strict=True) if found[0] in tokens and len(found) == 1
    ]


def test_the_same_vocabulary() -> None:
    _, one = loaded()
    _, other = loaded("gptj")
    assert soft.same_vocabulary(one, other)
    cast("Any", other).add_tokens(["<more>"])
    assert not soft.same_vocabulary(one, other)
