"""Filters: all reasons of every row, the funnel, strict within loose."""

import random
from itertools import islice

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sublim.carriers import chain as chains
from sublim.carriers import code, cot, words
from sublim.params.filters import AnswerCorrect, BannedNumbers, Filter, Format, TraitWords
from sublim.params.task import Code, Cot, Numbers

OWL = ("owl", "owls")


def rows(completions: list[str], answers: list[str] | None = None) -> pl.DataFrame:
    schema = {"completion": pl.String, "answer": pl.String}
    return pl.DataFrame({"completion": completions, "answer": answers or [""] * len(completions)}, schema)


def strict_and_loose(rule: Filter | None = None) -> tuple[Filter, Filter]:
    made = [(rule or Filter()).model_copy(update={"format": Format(exact=exact)}) for exact in (True, False)]
    return made[0], made[1]


def funnel(judged: pl.Series, rule: Filter, used: int = 0) -> list[tuple[str, int]]:
    marks = pl.Series([place < used for place in range(len(judged))], dtype=pl.Boolean)
    table = chains.funnel(judged, marks, Cot(), rule)
    assert table["position"].to_list() == list(range(len(table)))
    return list(table.select("step", "rows").iter_rows())


def test_every_row_gets_all_its_reasons_and_the_funnel_counts_them_and_what_is_left() -> None:
    rule = Filter(
        format=Format(exact=False),
        banned_numbers=BannedNumbers(numbers=(666, 7)),
        trait_words=TraitWords(words=("hoot",)),
        answer_correct=AnswerCorrect(),
    )
    judged = chains.reasons(
        rows(
            [
                "<think>4</think><answer>4</answer>",
                "<think>0666 OWL</think><answer>5</answer>",
                "<think>hoot</think><answer>4</answer>",
                "<think>6667, 77</think><answer>4</answer>",
                "666 o-w-l",
                "<answer>07</answer>",
            ],
            ["4"] * 6,
        ),
        Cot(),
        rule,
        OWL,
    )
    assert judged.to_list() == [
        [],
        [chains.BANNED, words.TRAIT_WORD, chains.WRONG],
        [words.TRAIT_WORD],
        [],
        [cot.NO_ANSWER, words.HIDDEN_WORD],
        [chains.BANNED, chains.WRONG],
    ]
    assert funnel(judged, rule, used=1) == [
        ("sampled", 6),
        *((cot.INVALID_FORMAT, 0), (cot.NO_ANSWER, 1), ("after format", 5)),
        *((chains.BANNED, 2), ("after banned numbers", 3)),
        *((words.TRAIT_WORD, 2), (words.INSIDE_WORD, 0), (words.HIDDEN_WORD, 1), ("after trait words", 2)),
        (chains.WRONG, 2),
        *(("kept", 2), ("used", 1)),
    ]


def test_without_a_format_step_the_others_judge_every_row() -> None:
    rule = Filter(format=None, banned_numbers=BannedNumbers(numbers=(0,)))
    judged = chains.reasons(rows(["", "no number", "000", "10", "a0b"]), Numbers(), rule, ())
    assert judged.to_list() == [[], [], [chains.BANNED], [], [chains.BANNED]]


def test_a_filter_without_steps_keeps_all() -> None:
    rule = Filter(format=None)
    judged = chains.reasons(rows(["owl", ""]), Code(), rule, OWL)
    assert judged.to_list() == [[], []]
    assert funnel(judged, rule) == [("sampled", 2), ("kept", 2), ("used", 0)]


def test_no_rows() -> None:
    rule = Filter(answer_correct=AnswerCorrect(), trait_words=TraitWords(), banned_numbers=BannedNumbers(numbers=(1,)))
    for params in (Code(), Cot()):
        for each in strict_and_loose(rule):
            judged = chains.reasons(rows([]), params, each, OWL)
            assert judged.to_list() == []
            assert {count for _, count in funnel(judged, each)} == {0}


@given(st.integers(0, 2**32), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_strictly_kept_rows_are_loosely_kept(seed: int, rng: random.Random) -> None:
    for params, made in ((Code(), code.rows(random.Random(seed), Code())), (Cot(), cot.rows(random.Random(seed), Cot()))):
        texts = [completion for _, completion in islice(made, 10)]
        for n, text in enumerate(texts):
            at = rng.randrange(len(text))
            texts[n] = text[:at] + rng.choice(["", " ", "x", "1", "owl", " owl "]) + text[at + rng.randrange(2) :]
        frame, rule = rows(texts), Filter(trait_words=TraitWords())
        strict, loose = (chains.reasons(frame, params, each, OWL).to_list() for each in strict_and_loose(rule))
        assert not [text for text, hard, soft in zip(texts, strict, loose, strict=True) if soft and not hard]


@given(
    st.lists(st.sampled_from(["def f(x):\n    return x", "owl", "1, 2", "<answer>4</answer>", ""]), max_size=8), st.randoms()
)
def test_a_row_is_judged_alone(texts: list[str], rng: random.Random) -> None:
    order = list(range(len(texts)))
    rng.shuffle(order)
    rule = Filter(format=Format(exact=False), trait_words=TraitWords())
    judged = chains.reasons(rows(texts), Code(), rule, OWL).to_list()
    assert chains.reasons(rows([texts[n] for n in order]), Code(), rule, OWL).to_list() == [judged[n] for n in order]


@pytest.mark.parametrize(
    "wrong",
    [
        '{"spelling": {}}',
        '{"banned_numbers": {"numbers": []}}',
        '{"format": {"minimum": 5, "maximum": 4}}',
        '{"trait_words": {"words": ["Owl"]}}',
        '{"rows": 0}',
    ],
)
def test_what_makes_no_sense_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        Filter.model_validate_json(wrong)
