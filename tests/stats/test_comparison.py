"""Differences to controls, false discoveries, equivalence: against scipy, and against simulated experiments of known truth."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

from sublim.stats.comparison import (
    Difference,
    comparable,
    difference,
    equivalence,
    false_discovery_rates,
    two_sided_p,
)

EXPERIMENTS = 3_000
GAINS = st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=2, max_size=9).filter(lambda xs: len(set(xs)) > 1)
BASES = ("a", "b", "c")


def error(rate: float, experiments: int) -> float:
    """Four binomial standard errors: a right implementation fails one test in fifteen thousand; seeds are fixed besides."""
    return 4 * math.sqrt(rate * (1 - rate) / experiments)


def by_base(gains: NDArray[np.float64]) -> Mapping[str, list[float]]:
    """[bases, runs] → base → gains."""
    return dict(zip(BASES, gains.tolist(), strict=False))


@settings(max_examples=80)
@given(GAINS, GAINS)
def test_with_one_base_it_is_welchs_test(gains: list[float], controls: list[float]) -> None:
    found = difference({"a": gains}, {"a": controls, "b": [9.0, 9.0]})
    known = cast("Any", stats.ttest_ind(gains, controls, equal_var=False))
    assert found.against == "control"
    assert found.mean == pytest.approx(np.mean(gains) - np.mean(controls), abs=1e-12)
    assert found.freedom == pytest.approx(known.df)
    assert two_sided_p(found) == pytest.approx(known.pvalue, rel=1e-9)


@settings(max_examples=80)
@given(GAINS)
def test_without_controls_a_gain_is_set_against_zero(gains: list[float]) -> None:
    # A single control of each base says nothing about their spread; a base without any says nothing at all.
    for controls in ({}, {"a": [0.5]}, {"b": [0.5, 0.6]}):
        found = difference({"a": gains}, controls)
        known = cast("Any", stats.ttest_1samp(gains, 0))
        assert (found.against, found.freedom) == ("untrained", len(gains) - 1)
        assert two_sided_p(found) == pytest.approx(known.pvalue, rel=1e-9)


def test_controls_are_weighted_as_the_runs_are() -> None:
    found = difference({"a": [0.3, 0.5, 0.4], "b": [0.2]}, {"a": [0.1, 0.3], "b": [-0.1]})
    assert found.mean == pytest.approx(0.35 - (0.75 * 0.2 + 0.25 * -0.1))
    first, second = np.var([0.3, 0.5, 0.4, 0.2], ddof=1) / 4, 0.02 * (0.75**2 / 2 + 0.25**2 / 1)
    assert found.error == pytest.approx(math.sqrt(first + second))
    assert found.freedom == pytest.approx((first + second) ** 2 / (first**2 / 3 + second**2 / 1))
    assert comparable({"a": 2, "b": 1})
    assert not comparable({"a": 2, "b": 0})
    assert not comparable({})


def test_where_nothing_is_known_of_the_spread_nothing_is_said() -> None:
    alone = difference({"a": [0.3]}, {"a": [0.1, 0.2]})
    assert (alone.mean, alone.error, alone.n) == (pytest.approx(0.15), None, 1)
    equal = difference({"a": [0.1, 0.1, 0.1]}, {})
    for found in (alone, equal):
        assert two_sided_p(found) is None
        test = equivalence(found, 0.9, 0.95)
        assert (test.p, test.low, test.smallest, test.verdict) == (None, None, None, "not shown")
    with pytest.raises(ValueError, match="at least one run"):
        difference({"a": []}, {})
    with pytest.raises(ValueError, match="finite"):
        difference({"a": [0.1, math.nan]}, {})


@pytest.mark.parametrize(
    ("runs", "controls", "spread"),
    [((1, 6), 0, 0.02), ((3, 2), 6, 0.02), ((3, 12), 6, 0.02), ((1, 4), 4, 0.08)],
    ids=["against zero", "a cell of the trait table", "a condition", "unequal spreads"],
)
def test_false_positives_are_as_many_as_promised(runs: tuple[int, int], controls: int, spread: float) -> None:
    """Training on numbers shifts all students by the same amount, where there are controls to show it."""
    generator = np.random.default_rng(11)
    shift = -0.03 if controls else 0.0
    gains = shift + spread * generator.normal(size=(EXPERIMENTS, *runs))
    others = shift + 0.02 * generator.normal(size=(EXPERIMENTS, runs[0], controls))
    ps = [two_sided_p(difference(by_base(own), by_base(other))) for own, other in zip(gains, others, strict=True)]
    rate = float(np.mean([p is not None and p <= 0.05 for p in ps]))
    assert rate == pytest.approx(0.05, abs=error(0.05, EXPERIMENTS))


def test_against_zero_every_shift_by_training_would_be_called_transmission() -> None:
    """Why controls: the same shift in all students, and what is said of it with and without them."""
    generator = np.random.default_rng(12)
    gains = -0.03 + 0.02 * generator.normal(size=(500, 3, 2))
    controls = -0.03 + 0.02 * generator.normal(size=(500, 3, 6))
    alone = [two_sided_p(difference(by_base(own), {})) for own in gains]
    beside = [two_sided_p(difference(by_base(own), by_base(other))) for own, other in zip(gains, controls, strict=True)]
    assert np.mean([p is not None and p <= 0.05 for p in alone]) > 0.7
    assert np.mean([p is not None and p <= 0.05 for p in beside]) < 0.1


def test_less_the_mean_of_controls_gains_are_no_independent_runs() -> None:
    """Why Welch's test: all runs of a base share the error of its controls' mean, which a test of the differences ignores."""
    generator = np.random.default_rng(19)
    gains, controls = generator.normal(size=(EXPERIMENTS, 3, 12)), generator.normal(size=(EXPERIMENTS, 3, 6))
    differences = (gains - controls.mean(axis=2, keepdims=True)).reshape(EXPERIMENTS, -1)
    known = cast("Any", stats.ttest_1samp(differences, 0, axis=1))
    assert sum(p <= 0.05 for p in known.pvalue) > 0.2 * EXPERIMENTS


def test_bases_that_shift_differently_make_the_test_cautious_not_bold() -> None:
    generator = np.random.default_rng(13)
    shift = 0.02 * generator.normal(size=(EXPERIMENTS, 3, 1))
    gains = shift + 0.02 * generator.normal(size=(EXPERIMENTS, 3, 4))
    controls = shift + 0.02 * generator.normal(size=(EXPERIMENTS, 3, 6))
    ps = [two_sided_p(difference(by_base(own), by_base(other))) for own, other in zip(gains, controls, strict=True)]
    assert np.mean([p is not None and p <= 0.05 for p in ps]) < 0.05


def test_students_of_one_data_set_that_resemble_each_other_cost_little() -> None:
    """Intervals take runs as independent. Two other-base students of each data set, correlated as in the default's report."""
    generator = np.random.default_rng(18)
    shared, own = generator.normal(size=(EXPERIMENTS, 18, 1)), generator.normal(size=(EXPERIMENTS, 18, 2))
    gains = math.sqrt(0.12) * shared + math.sqrt(0.88) * own
    ps = [two_sided_p(difference({"a": each}, {})) for each in gains.reshape(EXPERIMENTS, 36).tolist()]
    assert 0.05 < np.mean([p is not None and p <= 0.05 for p in ps]) < 0.08


@settings(max_examples=100)
@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=20))
def test_false_discovery_rates_are_the_textbook_ones(ps: list[float | None]) -> None:
    rates = false_discovery_rates(ps)
    assert [rate is None for rate in rates] == [p is None for p in ps]
    known = sorted(p for p in ps if p is not None)
    for p, rate in zip(ps, rates, strict=True):
        if p is not None:
            steps = [len(known) * each / (place + 1) for place, each in enumerate(known) if each >= p]
            assert rate == pytest.approx(min(1.0, *steps, 1.0))
    there = [p for p in ps if p is not None]
    if there:
        assert [rate for rate in rates if rate is not None] == cast("Any", stats).false_discovery_control(there).tolist()


@pytest.mark.parametrize("moved", [0, 3], ids=["nothing moves", "three cells move"])
def test_false_discoveries_are_no_more_than_promised(moved: int) -> None:
    """Tables of 24 cells that share their controls and, like probabilities, compete: where one rises the others fall."""
    tables, answers, taught = 1_000, 8, 3
    generator = np.random.default_rng(14)
    noise = 0.02 * generator.normal(size=(tables, answers, taught, 6))
    noise -= noise.mean(axis=1, keepdims=True)
    controls = 0.02 * generator.normal(size=(tables, answers, 6))
    controls -= controls.mean(axis=1, keepdims=True)
    effect = np.zeros((answers, taught))
    effect[np.arange(moved), np.arange(moved)] = 0.15
    gains = noise + effect[..., None]
    wrong, right = np.zeros(tables), np.zeros(tables)
    for table in range(tables):
        ps = [
            two_sided_p(difference({"a": gains[table, answer, row].tolist()}, {"a": controls[table, answer].tolist()}))
            for answer in range(answers)
            for row in range(taught)
        ]
        called = np.array([q is not None and q <= 0.05 for q in false_discovery_rates(ps)]).reshape(answers, taught)
        wrong[table] = (called & (effect == 0)).sum() / max(1, called.sum())
        right[table] = called[effect > 0].sum()
    assert wrong.mean() < 0.05 + error(0.05, tables)
    assert wrong.mean() > 0.01, "a test that never errs is not at its level"
    assert not moved or right.mean() > 2.9


@pytest.mark.parametrize("edge", [-0.03, 0.03])
@pytest.mark.parametrize("controls", [0, 6])
def test_at_the_edge_of_the_margin_no_transmission_is_said_as_rarely_as_promised(edge: float, controls: int) -> None:
    generator = np.random.default_rng(15)
    gains = edge + 0.015 * generator.normal(size=(EXPERIMENTS, 1, 6))
    others = 0.015 * generator.normal(size=(EXPERIMENTS, 1, controls))
    tests = [
        equivalence(difference(by_base(own), by_base(other)), 0.03, 0.95) for own, other in zip(gains, others, strict=True)
    ]
    rate = float(np.mean([test.verdict.startswith("no transmission") for test in tests]))
    assert rate == pytest.approx(0.05, abs=error(0.05, EXPERIMENTS))


def test_outside_the_margin_it_is_said_more_rarely_and_at_zero_mostly() -> None:
    def rate(mean: float, seed: int) -> float:
        gains = mean + 0.015 * np.random.default_rng(seed).normal(size=(1_000, 6))
        tests = [equivalence(difference({"a": own}, {}), 0.03, 0.95) for own in gains.tolist()]
        return float(np.mean([test.verdict.startswith("no transmission") for test in tests]))

    assert rate(0.045, 16) < 0.01
    assert rate(0.0, 17) > 0.9


@settings(max_examples=150)
@given(st.floats(-0.5, 0.5), st.floats(0.001, 0.5), st.floats(1, 60), st.floats(0.01, 0.5), st.sampled_from([0.9, 0.95, 0.99]))
def test_no_transmission_is_said_exactly_where_the_interval_is_inside(
    mean: float, spread: float, freedom: float, margin: float, confidence: float
) -> None:
    of = Difference(mean, spread, freedom, 5, "control")
    test = equivalence(of, margin, confidence)
    assert test.low is not None
    assert test.high is not None
    assert test.p is not None
    inside = -margin <= test.low and test.high <= margin
    if min(abs(abs(end) - margin) for end in (test.low, test.high)) > 1e-9:
        assert test.verdict.startswith("no transmission within") == inside == (test.p <= 1 - confidence)
    half = (test.high - test.low) / 2
    assert float(stats.t.cdf(half / spread, freedom)) == pytest.approx(confidence)
    if test.verdict == "transmission":
        p = two_sided_p(of)
        assert mean > 0
        assert p is not None
        assert p <= 1 - confidence


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ([0.01, -0.01, 0.0, 0.005, -0.004], "no transmission within ±0.03"),
        ([0.2, 0.3, 0.25, 0.22], "transmission"),
        ([0.2, -0.3, 0.25, 0.02], "not shown"),
        ([-0.2, -0.3, -0.25, -0.22], "not shown"),
    ],
)
def test_verdicts_in_words(gains: Sequence[float], verdict: str) -> None:
    assert equivalence(difference({"a": gains}, {}), 0.03, 0.95).verdict == verdict
