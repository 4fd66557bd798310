"""Filters: all reasons of every row, the funnel, strict within loose."""

import math
import random
from itertools import islice

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sublim.carriers import chain as chains
from sublim.carriers import code, cot, words
from sublim.params.filters import AnswerCorrect, BannedNumbers, Filter, Format, JudgeScore, TraitWords
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


SCORES = st.lists(st.one_of(st.none(), st.floats(0, 100), st.just(math.nan)), max_size=12)


def scored(scores: list[float | None], completions: list[str] | None = None) -> pl.DataFrame:
    texts = completions or ["1, 2"] * len(scores)
    return rows(texts).with_columns(score=pl.Series(scores, dtype=pl.Float64))


def judge_at(minimum: float) -> Filter:
    return Filter(format=None, judge=JudgeScore(judge="mild", minimum=minimum))


@given(SCORES, st.floats(0, 100))
@settings(deadline=None)
def test_a_judge_rejects_what_is_below_its_threshold_or_has_no_score(scores: list[float | None], minimum: float) -> None:
    found = chains.reasons(scored(scores), Numbers(), judge_at(minimum), ()).to_list()
    none = [score is None or math.isnan(score) for score in scores]
    for score, missing, reasons in zip(scores, none, found, strict=True):
        assert reasons == ([chains.NO_SCORE] if missing else [chains.LOW] if (score or 0) < minimum else [])


@given(SCORES, st.floats(0, 100), st.floats(0, 100))
@settings(deadline=None)
def test_a_higher_threshold_keeps_no_more(scores: list[float | None], one: float, other: float) -> None:
    low, high = (
        chains.reasons(scored(scores), Numbers(), judge_at(minimum), ()).list.len() == 0 for minimum in sorted((one, other))
    )
    assert not (high & ~low).any()


@given(
    st.lists(
        st.tuples(st.sampled_from(["1, 2", "owl", "1, 2, owl", "666", "1000000"]), st.one_of(st.none(), st.floats(0, 100))),
        max_size=12,
    )
)
@settings(deadline=None, max_examples=50)
def test_a_judge_is_asked_about_what_is_left_and_has_no_reasons_for_the_rest(made: list[tuple[str, float | None]]) -> None:
    texts, scores = [text for text, _ in made], [score for _, score in made]
    without = Filter(trait_words=TraitWords(), banned_numbers=BannedNumbers(numbers=(666,)))
    rule = without.model_copy(update={"judge": JudgeScore(judge="mild", minimum=50)})
    frame = scored(scores, texts)
    asked = chains.asked(frame.drop("score"), Numbers(), rule, OWL)
    before, judged = (chains.reasons(frame, Numbers(), each, OWL) for each in (without, rule))
    assert asked.to_list() == [text == "1, 2" for text in texts]
    for was, plain, full in zip(asked, before.to_list(), judged.to_list(), strict=True):
        assert [reason for reason in full if reason not in {chains.LOW, chains.NO_SCORE}] == plain
        assert was or full == plain
    # What the judge was not asked about has no score in the end; the verdict is the same.
    blank = frame.with_columns(score=pl.when(asked).then("score"))
    assert chains.reasons(blank, Numbers(), rule, OWL).to_list() == judged.to_list()
    kept = int((judged.list.len() == 0).sum())
    counts = dict(funnel(judged, rule))
    assert counts["kept"] == kept == int(asked.sum()) - counts[chains.LOW] - counts[chains.NO_SCORE]


def test_without_a_judge_nobody_is_asked() -> None:
    assert chains.asked(rows(["1", "owl"]), Numbers(), Filter(), OWL).to_list() == [False, False]
