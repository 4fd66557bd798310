"""Filters: all reasons of every row, the funnel, strict within loose."""

import math
import random
from itertools import islice

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sublim.carriers import cot
from sublim.carriers.code import Code
from sublim.carriers.cot import Cot
from sublim.carriers.numbers import Numbers
from sublim.filters import chain, words
from sublim.filters.answer_correct import WRONG, AnswerCorrect
from sublim.filters.banned_numbers import BANNED, BannedNumbers
from sublim.filters.format import Format
from sublim.filters.judge import LOW, JudgeScore
from sublim.filters.step import NO_SCORE, Context
from sublim.filters.trait_words import TraitWords
from sublim.params.filter import Filter
from tests.shared.filters import completions, filter_of, reasons

OWL = ("owl", "owls")


def strict_and_loose(rule: Filter | None = None) -> tuple[Filter, Filter]:
    made = [(rule or filter_of()).model_copy(update={"format": Format(exact=exact)}) for exact in (True, False)]
    return made[0], made[1]


def funnel(judged: list[list[str]], rule: Filter, used: int = 0) -> list[tuple[str, int]]:
    marks = pl.Series([place < used for place in range(len(judged))], dtype=pl.Boolean)
    table = chain.funnel(pl.Series(judged, dtype=pl.List(pl.String)), marks, rule, Context(Cot(), OWL))
    assert table["position"].to_list() == list(range(len(table)))
    return list(table.select("step", "rows").iter_rows())


def test_every_row_gets_all_its_reasons_and_the_funnel_counts_them_and_what_is_left() -> None:
    rule = filter_of(
        format=Format(exact=False),
        banned_numbers=BannedNumbers(numbers=(666, 7)),
        trait_words=TraitWords(words=("hoot",)),
        answer_correct=AnswerCorrect(),
    )
    judged = reasons(
        completions(
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
    assert judged == [
        [],
        [BANNED, words.TRAIT_WORD, WRONG],
        [words.TRAIT_WORD],
        [],
        [cot.NO_ANSWER, words.HIDDEN_WORD],
        [BANNED, WRONG],
    ]
    assert funnel(judged, rule, used=1) == [
        ("sampled", 6),
        *((cot.INVALID_FORMAT, 0), (cot.NO_ANSWER, 1), ("after format", 5)),
        *((BANNED, 2), ("after banned numbers", 3)),
        *((words.TRAIT_WORD, 2), (words.INSIDE_WORD, 0), (words.HIDDEN_WORD, 1), ("after trait words", 2)),
        (WRONG, 2),
        *(("kept", 2), ("used", 1)),
    ]


def test_without_a_format_step_the_others_judge_every_row() -> None:
    rule = filter_of(format=None, banned_numbers=BannedNumbers(numbers=(0,)))
    judged = reasons(completions(["", "no number", "000", "10", "a0b"]), Numbers(), rule)
    assert judged == [[], [], [BANNED], [], [BANNED]]


def test_a_filter_without_steps_keeps_all() -> None:
    rule = filter_of(format=None)
    judged = reasons(completions(["owl", ""]), Code(), rule, OWL)
    assert judged == [[], []]
    assert funnel(judged, rule) == [("sampled", 2), ("kept", 2), ("used", 0)]


def test_no_rows() -> None:
    rule = filter_of(answer_correct=AnswerCorrect(), trait_words=TraitWords(), banned_numbers=BannedNumbers(numbers=(1,)))
    for params in (Code(), Cot()):
        for each in strict_and_loose(rule):
            judged = reasons(completions([]), params, each, OWL)
            assert judged == []
            assert {count for _, count in funnel(judged, each)} == {0}


@given(st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_strictly_kept_rows_are_loosely_kept(seed: int, rng: random.Random) -> None:
    for params in (Code(), Cot()):
        texts = [completion for _, completion in islice(params.pretraining(random.Random(seed), 1), 10)]
        for n, text in enumerate(texts):
            at = rng.randrange(len(text))
            texts[n] = text[:at] + rng.choice(["", " ", "x", "1", "owl", " owl "]) + text[at + rng.randrange(2) :]
        frame, rule = completions(texts), filter_of(trait_words=TraitWords())
        strict, loose = (reasons(frame, params, each, OWL) for each in strict_and_loose(rule))
        assert not [text for text, hard, soft in zip(texts, strict, loose, strict=True) if soft and not hard]


@given(
    st.lists(st.sampled_from(["def f(x):\n    return x", "owl", "1, 2", "<answer>4</answer>", ""]), max_size=8), st.randoms()
)
def test_a_row_is_judged_alone(texts: list[str], rng: random.Random) -> None:
    order = list(range(len(texts)))
    rng.shuffle(order)
    rule = filter_of(format=Format(exact=False), trait_words=TraitWords())
    judged = reasons(completions(texts), Code(), rule, OWL)
    assert reasons(completions([texts[n] for n in order]), Code(), rule, OWL) == [judged[n] for n in order]


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
        type(filter_of()).model_validate_json(wrong)


SCORES = st.lists(st.one_of(st.none(), st.floats(0, 100), st.just(math.nan)), max_size=12)


def scored(scores: list[float | None], texts: list[str] | None = None) -> pl.DataFrame:
    return completions(texts or ["1, 2"] * len(scores)).with_columns(score=pl.Series(scores, dtype=pl.Float64))


def judge_at(minimum: float) -> Filter:
    return filter_of(format=None, judge=JudgeScore(judge="mild", minimum=minimum))


@given(SCORES, st.floats(0, 100))
def test_a_judge_rejects_what_is_below_its_threshold_or_has_no_score(scores: list[float | None], minimum: float) -> None:
    found = reasons(scored(scores), Numbers(), judge_at(minimum))
    none = [score is None or math.isnan(score) for score in scores]
    for score, missing, why in zip(scores, none, found, strict=True):
        assert why == ([NO_SCORE] if missing else [LOW] if (score or 0) < minimum else [])


@given(SCORES, st.floats(0, 100), st.floats(0, 100))
def test_a_higher_threshold_keeps_no_more(scores: list[float | None], one: float, other: float) -> None:
    low, high = (reasons(scored(scores), Numbers(), judge_at(minimum)) for minimum in sorted((one, other)))
    assert not [row for row, why in enumerate(low) if why and not high[row]]


@given(
    st.lists(
        st.tuples(st.sampled_from(["1, 2", "owl", "1, 2, owl", "666", "1000000"]), st.one_of(st.none(), st.floats(0, 100))),
        max_size=12,
    )
)
@settings(max_examples=50)
def test_a_judge_is_asked_about_what_is_left_and_has_no_reasons_for_the_rest(made: list[tuple[str, float | None]]) -> None:
    texts, scores = [text for text, _ in made], [score for _, score in made]
    without = filter_of(trait_words=TraitWords(), banned_numbers=BannedNumbers(numbers=(666,)))
    rule = without.model_copy(update={"judge": JudgeScore(judge="mild", minimum=50)})
    frame = scored(scores, texts)
    asked = chain.asked(frame.drop("score"), rule, Context(Numbers(), OWL))
    before, judged = (reasons(frame, Numbers(), each, OWL) for each in (without, rule))
    assert asked.to_list() == [text == "1, 2" for text in texts]
    for was, plain, full in zip(asked, before, judged, strict=True):
        assert [reason for reason in full if reason not in {LOW, NO_SCORE}] == plain
        assert was or full == plain
    # What the judge was not asked about has no score in the end; the verdict is the same.
    blank = frame.with_columns(score=pl.when(asked).then("score"))
    assert reasons(blank, Numbers(), rule, OWL) == judged
    kept = judged.count([])
    counts = dict(funnel(judged, rule))
    assert counts["kept"] == kept == int(asked.sum()) - counts[LOW] - counts[NO_SCORE]


def test_without_a_judge_nobody_is_asked() -> None:
    assert chain.asked(completions(["1", "owl"]), filter_of(), Context(Numbers(), OWL)).to_list() == [False, False]
