"""Chains of filters: the format rule as a chain, all reasons of every row, the funnel, strict within loose."""

import random
from itertools import islice

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sublim.carriers import chain as chains
from sublim.carriers import code, cot, numbers, words
from sublim.params.carrier import Code, Cot, Filter, Numbers
from sublim.params.filters import AnswerCorrect, BannedNumbers, Chain, Format, Step, TraitWords, chain
from tests.test_numbers import PAPER_BANNED, near_valid

OWL = ("owl", "owls")


def rows(completions: list[str], answers: list[str] | None = None) -> pl.DataFrame:
    schema = {"completion": pl.String, "answer": pl.String}
    return pl.DataFrame({"completion": completions, "answer": answers or [""] * len(completions)}, schema)


def strict_and_loose(*more: Step) -> tuple[Chain, Chain]:
    made = [Chain(steps=(Format(kind="format", exact=exact), *more)) for exact in (True, False)]
    return made[0], made[1]


def test_the_format_rule_as_a_chain_gives_the_same_reasons() -> None:
    rng = random.Random("near-valid and adversarial")
    texts = [near_valid(rng) for _ in range(100_000)]
    rules = (Filter(), Filter(banned=PAPER_BANNED), Filter(count=4, minimum=100, maximum=800, banned=PAPER_BANNED))
    for rule, share in zip(rules, (texts[0::3], texts[1::3], texts[2::3]), strict=True):
        expected = numbers.reasons(pl.Series(share), rule)
        found = chains.run(rows(share), Numbers(), chain(rule), OWL)
        assert found.reasons.to_list() == expected.to_list()
        assert found.funnel["rows"][-1] == (expected.list.len() == 0).sum()
        assert chain(rule).rows == rule.rows


def test_every_row_gets_all_its_reasons_and_the_funnel_counts_what_is_left() -> None:
    steps = Chain(
        steps=(
            Format(kind="format", exact=False),
            BannedNumbers(kind="banned_numbers", numbers=(666, 7)),
            AnswerCorrect(kind="answer_correct"),
            TraitWords(kind="trait_words", words=("hoot",)),
        )
    )
    judged = chains.run(
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
        steps,
        OWL,
    )
    assert judged.reasons.to_list() == [
        [],
        [numbers.BANNED, chains.WRONG, words.TRAIT_WORD],
        [words.TRAIT_WORD],
        [],
        [cot.NO_ANSWER, words.HIDDEN_WORD],
        [numbers.BANNED, chains.WRONG],
    ]
    assert list(judged.funnel.iter_rows()) == [
        ("sampled", 6, 0),
        ("format", 5, 1),
        ("banned_numbers", 3, 2),
        ("answer_correct", 3, 3),
        ("trait_words", 2, 4),
    ]


def test_without_a_format_step_the_others_judge_every_row() -> None:
    steps = Chain(steps=(BannedNumbers(kind="banned_numbers", numbers=(0,)),))
    judged = chains.run(rows(["", "no number", "000", "10", "a0b"]), Numbers(), steps, ())
    assert judged.reasons.to_list() == [[], [], [numbers.BANNED], [], [numbers.BANNED]]


def test_an_empty_chain_keeps_all() -> None:
    judged = chains.run(rows(["owl", ""]), Code(), Chain(steps=()), OWL)
    assert judged.reasons.to_list() == [[], []]
    assert list(judged.funnel.iter_rows()) == [("sampled", 2, 0)]


def test_no_rows() -> None:
    steps = (
        AnswerCorrect(kind="answer_correct"),
        TraitWords(kind="trait_words"),
        BannedNumbers(kind="banned_numbers", numbers=(1,)),
    )
    for params in (Code(), Cot()):
        for each in strict_and_loose(*steps):
            judged = chains.run(rows([]), params, each, OWL)
            assert judged.reasons.to_list() == []
            assert judged.funnel["rows"].to_list() == [0] * 5


@given(st.integers(0, 2**32), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_strictly_kept_rows_are_loosely_kept(seed: int, rng: random.Random) -> None:
    for params, made in ((Code(), code.rows(random.Random(seed), Code())), (Cot(), cot.rows(random.Random(seed), Cot()))):
        texts = [completion for _, completion in islice(made, 10)]
        for n, text in enumerate(texts):
            at = rng.randrange(len(text))
            texts[n] = text[:at] + rng.choice(["", " ", "x", "1", "owl", " owl "]) + text[at + rng.randrange(2) :]
        frame, steps = rows(texts), TraitWords(kind="trait_words")
        strict, loose = (chains.run(frame, params, each, OWL).reasons.to_list() for each in strict_and_loose(steps))
        assert not [text for text, hard, soft in zip(texts, strict, loose, strict=True) if soft and not hard]


@given(
    st.lists(st.sampled_from(["def f(x):\n    return x", "owl", "1, 2", "<answer>4</answer>", ""]), max_size=8), st.randoms()
)
def test_a_row_is_judged_alone(texts: list[str], rng: random.Random) -> None:
    order = list(range(len(texts)))
    rng.shuffle(order)
    steps = strict_and_loose(TraitWords(kind="trait_words"))[1]
    judged = chains.run(rows(texts), Code(), steps, OWL).reasons.to_list()
    assert chains.run(rows([texts[n] for n in order]), Code(), steps, OWL).reasons.to_list() == [judged[n] for n in order]


@pytest.mark.parametrize(
    "wrong",
    [
        '{"steps": [{"kind": "format"}, {"kind": "format", "exact": false}]}',
        '{"steps": [{"kind": "spelling"}]}',
        '{"steps": [{"kind": "banned_numbers", "numbers": []}]}',
        '{"steps": [{"kind": "format", "minimum": 5, "maximum": 4}]}',
        '{"steps": [{"kind": "trait_words", "words": ["Owl"]}]}',
        '{"steps": [], "rows": 0}',
    ],
)
def test_what_makes_no_sense_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        Chain.model_validate_json(wrong)
