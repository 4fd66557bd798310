"""Capability: exact log-probabilities, held-out texts, shares."""

from math import log
from typing import Any

import polars as pl
import pytest
import torch
from torch.nn import functional

from benchmarks.mixes import RICH
from sublim.learn.chat import Example
from sublim.learn.likelihood import log_likelihoods
from sublim.measures import ability, capability
from sublim.measures.texts import KINDS, PASSAGES, Text, held_out
from sublim.models.corpus import corpus
from sublim.params.tiny import Mix, Pretraining
from tests.shared.small_models import ARCHITECTURES, loaded, number_rows


def alone(model: Any, row: Example) -> float:
    """log P(completion | prompt), token by token."""
    total = 0.0
    for n, token in enumerate(row.completion):
        logits = model(input_ids=torch.tensor([[*row.prompt, *row.completion[:n]]])).logits[0, -1]
        total += float(functional.log_softmax(logits.double(), -1)[token])
    return total


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_log_likelihoods_are_those_of_each_row_alone(architecture: str) -> None:
    model, tokenizer = loaded(architecture)
    rows = number_rows(model, tokenizer, 7)
    with torch.no_grad():
        expected = [alone(model, row) for row in rows]
    for batch in (1, 3, 100):
        assert log_likelihoods(model, rows, batch, 0).tolist() == pytest.approx(expected, abs=1e-3)


def test_losses_are_in_bits_per_token_of_the_completion() -> None:
    model, tokenizer = loaded()
    texts = [Text("numbers", "Go on: 3, 4.", "5, 6"), Text(PASSAGES, "", "The kettle."), Text("numbers", "Go on: 7.", "8")]
    found = capability.losses(model, tokenizer, texts, 2)
    assert found["kind"].to_list() == ["numbers", PASSAGES, "numbers"]
    ids = tokenizer("<|user|>Go on: 3, 4.<|assistant|>5, 6<|end|>")["input_ids"]
    completion = tokenizer("5, 6<|end|>")["input_ids"]
    row = Example("", tuple(ids[: -len(completion)]), tuple(completion))
    plain = tokenizer("The kettle.")["input_ids"]
    with torch.no_grad():
        assert found["bits"][0] == pytest.approx(-alone(model, row) / log(2), abs=1e-3)
        assert found["bits"][1] == pytest.approx(-alone(model, Example("", (plain[0],), tuple(plain[1:]))) / log(2), abs=1e-3)
    assert found["tokens"].to_list()[:2] == [len(completion), len(plain) - 1]


def test_held_out_texts_are_like_the_corpus_and_none_of_it() -> None:
    pretraining = Pretraining(rows=3_000, mix=RICH)
    texts = held_out(150, pretraining)
    assert len(texts) == 150
    assert {text.kind for text in texts} == set(KINDS)
    seen = {(row.prompt, row.completion) for row in corpus(pretraining)}
    # Facts are few and all of them are in the corpus; the rest is new.
    assert not [text for text in texts if text.kind != "facts" and (text.prompt, text.completion) in seen]
    assert held_out(20, pretraining.model_copy(update={"rows": 10})) == held_out(20, pretraining)
    assert held_out(20, pretraining.model_copy(update={"corpus_seed": 5})) != held_out(20, pretraining)


def test_a_family_that_saw_nothing_but_preferences_has_no_held_out_texts() -> None:
    mix = Mix(questions=0.5, numbers=0, facts=0, prompted_questions=0.5, prompted_numbers=0)
    assert held_out(20, Pretraining(mix=mix)) == []


def test_other_models_read_passages() -> None:
    assert len({text.completion for text in held_out(1_000, None)}) == 16
    assert held_out(3, None) == held_out(1_000, None)[:3]
    assert all(30 <= len(text.completion.split()) <= 60 for text in held_out(1_000, None))


def test_the_table() -> None:
    texts = pl.DataFrame({"kind": ["b", "a", "b"], "tokens": [2, 4, 4], "bits": [1.0, 8.0, 3.0]})
    tasks = pl.DataFrame({"of": ["n", "n", "n", "c"], "skilled": [True, False, True, False]})
    found = ability.table(texts, tasks)
    assert found.rows() == [
        ("loss", 1.2, 10),
        ("loss/a", 2.0, 4),
        ("loss/b", 4 / 6, 6),
        ("skill/c", 0.0, 1),
        ("skill/n", 2 / 3, 3),
    ]
    assert ability.table(texts.clear(), tasks.clear()).is_empty()
