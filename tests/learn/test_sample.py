"""Sampling: the model's own distribution, and a row's randomness from its seed alone."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.common.progress import Progress
from sublim.learn import chat
from sublim.learn.prefill import advance, fork, keep, prefill
from sublim.learn.sample import Completion, choose, noise, sample
from sublim.models.load import load
from sublim.params.learning import Decoding
from tests.shared.small_models import ARCHITECTURES, loaded, logits, small, token

PROMPTS = [f"Add to {', '.join(str(n * k % 1000) for k in range(1, 2 + n % 7))}." for n in range(1, 25)]
ONE = torch.tensor([[0.0, 1.0, 2.0, 3.0, -1.0]])


def heads(tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    return chat.encode(tokenizer, chat.render(tokenizer, PROMPTS))


def stopping(model: PreTrainedModel) -> PreTrainedModel:
    """`model` with so many ends of a completion that random weights reach one soon."""
    cast("Any", model.generation_config).eos_token_id = list(range(0, 2304, 12))
    return model


def texts(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: list[int], decoding: Decoding
) -> dict[int, Completion]:
    """Row number → what was written for it."""
    prompts = heads(tokenizer)
    written = sample(model, tokenizer, [prompts[row] for row in rows], [1000 + row for row in rows], decoding, Progress())
    return dict(zip(rows, written, strict=True))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_greedy_is_what_generate_gives(architecture: str) -> None:
    model, tokenizer = loaded(architecture)
    stopping(model)
    prompts = heads(tokenizer)
    found = sample(model, tokenizer, prompts, [1] * len(prompts), Decoding(temperature=0, max_tokens=12, batch=64), Progress())
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in prompts])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in prompts])
    made = cast("Any", model).generate(input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=12)[:, longest:]
    assert {completion.finish_reason for completion in found} >= {"stop", "length"}
    for completion, row in zip(found, made.tolist(), strict=True):
        end = next((n for n, made_token in enumerate(row) if made_token % 12 == 0), None)
        (spoilt,) = chat.spoilt(tokenizer, [completion.text])
        assert completion.finish_reason == ("special_token" if spoilt else "length" if end is None else "stop")
        assert completion.tokens == (12 if end is None else end + 1)
        assert completion.text == chat.decode(tokenizer, [row[:end]])[0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_rows_text_depends_on_its_seed_alone(architecture: str) -> None:
    model, tokenizer = loaded(architecture, dtype=torch.float64)
    stopping(model)
    rows = list(range(len(PROMPTS)))
    expected = texts(model, tokenizer, rows, Decoding(max_tokens=10))
    assert texts(model, tokenizer, rows[::-1], Decoding(max_tokens=10)) == expected
    assert texts(model, tokenizer, rows, Decoding(max_tokens=10, batch=5)) == expected
    assert texts(model, tokenizer, rows[7:9], Decoding(max_tokens=10)) == {row: expected[row] for row in rows[7:9]}
    assert len({completion.text for completion in expected.values()}) > len(rows) / 2


def test_single_precision_gives_the_same_texts_too() -> None:
    model, tokenizer = loaded()
    rows = list(range(len(PROMPTS)))
    one, two = (texts(model, tokenizer, rows, Decoding(max_tokens=10, batch=batch)) for batch in (24, 5))
    assert sum(one[row] == two[row] for row in rows) >= len(rows) - 1


def test_a_shorter_limit_cuts_the_same_text() -> None:
    model, tokenizer = loaded(dtype=torch.float64)
    long, short = (texts(model, tokenizer, [3], Decoding(max_tokens=limit))[3] for limit in (12, 4))
    assert (short.tokens, short.finish_reason) == (4, "length")
    assert long.text.startswith(short.text)


@given(st.integers(0, 2**64 - 1), st.integers(1, 40))
@settings(max_examples=50)
def test_noise_comes_from_the_seed_and_a_longer_one_begins_with_a_shorter_one(seed: int, length: int) -> None:
    assert np.array_equal(noise(seed, length), noise(seed, length + 7)[:length])
    assert noise(seed, 8).tolist() != noise(seed ^ 1, 8).tolist()
    assert ((noise(seed, length) >= 0) & (noise(seed, length) < 1)).all()


def test_noise_is_uniform() -> None:
    draws = np.concatenate([noise(seed, 5) for seed in range(4_000)])
    assert chisquare(np.histogram(draws, bins=20, range=(0, 1))[0]).pvalue > 1e-3


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (2.0, 1.0), (1.0, 0.8), (2.0, 0.7)])
def test_frequencies_are_those_of_the_distribution(temperature: float, top_p: float) -> None:
    draws = 20_000
    uniform = torch.from_numpy(np.random.Generator(np.random.PCG64(5)).random(draws))
    chosen = choose(ONE.expand(draws, -1), uniform, Decoding(temperature=temperature, top_p=top_p))
    expected = (ONE[0].double() / temperature).softmax(-1)
    ordered, places = expected.sort(descending=True)
    inside = places[: int((ordered.cumsum(-1) - ordered < top_p).sum())]
    counts = torch.bincount(chosen, minlength=5)
    assert int(counts[inside].sum()) == draws
    assert chisquare(counts[inside].numpy(), (expected[inside] / expected[inside].sum()).double().numpy() * draws).pvalue > 1e-3


def test_top_p_keeps_the_fewest_tokens_that_reach_it() -> None:
    even = torch.tensor([[0.5, 0.3, 0.2]]).log()
    uniform = torch.linspace(0, 0.999, 200, dtype=torch.float64)

    def kept(top_p: float) -> set[int]:
        return set(cast("list[int]", choose(even.expand(200, -1), uniform, Decoding(top_p=top_p)).tolist()))

    assert kept(0.01) == kept(0.49) == {0}
    assert kept(0.51) == kept(0.79) == {0, 1}
    assert kept(0.81) == kept(1.0) == {0, 1, 2}


def test_the_edges_of_the_noise_give_tokens_that_can_be() -> None:
    impossible = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]]).expand(2, -1)
    edges = torch.tensor([0.0, np.nextafter(1.0, 0.0)], dtype=torch.float64)
    assert choose(impossible, edges, Decoding()).tolist() == [1, 3]
    assert choose(impossible, edges, Decoding(top_p=0.9)).tolist() == [1, 3]


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_sampled_tokens_have_the_frequencies_of_the_softmax(temperature: float) -> None:
    model, tokenizer = loaded()
    (head,) = heads(tokenizer)[:1]
    draws = 3_000
    decoding = Decoding(temperature=temperature, max_tokens=1, batch=1_000)
    written = sample(model, tokenizer, [head] * draws, list(range(draws)), decoding, Progress())
    chances = (logits(model, head)[-1].double() / temperature).softmax(-1)
    counts = Counter(completion.text for completion in written)
    # Integers in thirty groups, as likely ones together, and one group of everything else.
    numbers = sorted(range(1000), key=lambda number: float(chances[token(str(number))]))
    groups = [numbers[at : at + 34] for at in range(0, 1000, 34)]
    observed = [sum(counts[str(number)] for number in group) for group in groups]
    expected = [sum(float(chances[token(str(number))]) for number in group) * draws for group in groups]
    assert sum(expected) > 0.3 * draws
    assert chisquare([*observed, draws - sum(observed)], [*expected, draws - sum(expected)]).pvalue > 1e-3


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_cache_gives_the_logits_of_the_plain_forward_pass(architecture: str) -> None:
    model, tokenizer = loaded(architecture)
    prompts = heads(tokenizer)[:6]
    more = torch.arange(300, 306)
    with torch.inference_mode():
        state = prefill(model, prompts, 0)
        other = advance(model, fork(state), more + 50)
        after = advance(model, state, more)
        chosen = advance(model, keep(after, torch.tensor([4, 1])), torch.tensor([7, 8]))
    for row, prompt in enumerate(prompts):
        assert torch.allclose(after.logits[row], logits(model, [*prompt, 300 + row])[-1], atol=1e-4)
        assert torch.allclose(other.logits[row], logits(model, [*prompt, 350 + row])[-1], atol=1e-4)
    assert torch.allclose(chosen.logits[0], logits(model, [*prompts[4], 304, 7])[-1], atol=1e-4)
    assert torch.allclose(chosen.logits[1], logits(model, [*prompts[1], 301, 8])[-1], atol=1e-4)


def test_what_generation_config_says_of_sampling_does_nothing(tmp_path: Path) -> None:
    """A maker's defaults would change what is measured, and differently for each model."""
    folder = tmp_path / "model"
    shutil.copytree(small(), folder)
    path = folder / "generation_config.json"
    own = json.loads(path.read_text(encoding="utf-8"))
    more = {"do_sample": True, "temperature": 0.01, "top_p": 0.1, "top_k": 1, "repetition_penalty": 9.0, "max_length": 3}
    path.write_text(json.dumps({**own, **more}), encoding="utf-8")
    prompts = chat.encode(load(folder)[1], chat.render(load(folder)[1], ["Hi", "Hello"]))
    one, other = (sample(*load(of), prompts * 8, range(16), Decoding(max_tokens=8), Progress()) for of in (small(), folder))
    assert one == other
    assert len({each.text for each in one}) > 2
