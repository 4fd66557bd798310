"""Intervals and the permutation test, against brute force, simulated nulls and known effects."""

import itertools
import math
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtr  # pyright: ignore[reportMissingTypeStubs]

from sublim.stats import permutation
from sublim.stats.interval import Interval, t_interval
from sublim.stats.permutation import Group, permutation_test

GAINS = st.floats(-1, 1).map(lambda x: round(x, 3))
GROUPS = st.lists(st.builds(Group, GAINS, st.lists(GAINS, min_size=1, max_size=3).map(tuple)), min_size=1, max_size=6)


def brute_force(groups: Sequence[Group]) -> tuple[float, float]:
    """The definition: every assignment of the label, one after another."""
    members = [(group.same, *group.others) for group in groups]

    def statistic(choice: Sequence[int]) -> float:
        parts = [
            gains[i] - math.fsum(g for j, g in enumerate(gains) if j != i) / (len(gains) - 1)
            for gains, i in zip(members, choice, strict=True)
        ]
        return math.fsum(parts) / len(parts)

    observed = statistic([0] * len(members))
    every = [statistic(choice) for choice in itertools.product(*(range(len(gains)) for gains in members))]
    return observed, sum(value >= observed - 1e-9 for value in every) / len(every)


@settings(max_examples=150)
@given(GROUPS)
def test_exact_test_is_the_brute_force_one(groups: list[Group]) -> None:
    result = permutation_test(groups, 1_000, 0)
    statistic, p = brute_force(groups)
    assert result.method == "exact"
    assert result.statistic == pytest.approx(statistic, abs=1e-12)
    assert result.p == pytest.approx(p, abs=1e-15)
    assert result.permutations == math.prod(1 + len(group.others) for group in groups)
    assert result.groups == len(groups)
    assert result.largest == sum(all(group.same > other for other in group.others) for group in groups)


@settings(max_examples=50)
@given(GROUPS, st.integers(0, 99), st.floats(0.1, 10), st.floats(-5, 5))
def test_p_does_not_depend_on_order_scale_or_level(groups: list[Group], seed: int, scale: float, shift: float) -> None:
    others = [Group(g.same * scale + shift, tuple(o * scale + shift for o in g.others)) for g in groups]
    Random(seed).shuffle(others)
    assert permutation_test(others, 1_000, 0).p == pytest.approx(permutation_test(groups, 1_000, 0).p, abs=1e-12)


def test_p_of_a_full_diagonal_is_one_assignment() -> None:
    groups = [Group(0.4 + i / 100, (0.01, -0.02)) for i in range(18)]
    result = permutation_test(groups, 1_000, 0)
    assert (result.method, result.permutations, result.largest) == ("exact", 3**18, 18)
    assert result.p == pytest.approx(3.0**-18)


def test_ties_count_as_large() -> None:
    assert permutation_test([Group(0.1, (0.1, 0.1))] * 4, 1_000, 0).p == 1
    tied = permutation_test([Group(0.3, (0.3, 0.0))], 1_000, 0)
    assert (tied.p, tied.largest) == (pytest.approx(2 / 3), 0)


def test_monte_carlo_agrees_with_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    groups = [Group(float(x[0]) + 0.3, tuple(float(y) for y in x[1:])) for x in generator.normal(size=(9, 3))]
    exact = permutation_test(groups, 1_000, 0)
    monkeypatch.setattr(permutation, "HALF_LIMIT", 1)
    monkeypatch.setattr(permutation, "CHUNK", 1 << 14)
    drawn = permutation_test(groups, 50_000, 7)
    assert (exact.method, drawn.method, drawn.permutations) == ("exact", "monte carlo", 50_000)
    assert drawn.p == pytest.approx(exact.p, abs=5 * math.sqrt(exact.p / 50_000))
    assert drawn == permutation_test(groups, 50_000, 7)
    assert drawn.statistic == exact.statistic


def test_monte_carlo_p_is_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permutation, "HALF_LIMIT", 1)
    assert permutation_test([Group(1.0, (0.0, 0.0))] * 30, 1_000, 0).p == pytest.approx(1 / 1_001)


def test_false_positives_under_the_null_are_as_many_as_promised() -> None:
    generator = np.random.default_rng(3)
    ps = [
        # Groups differ in level and spread, as teachers of different strength do; within a group nothing differs.
        permutation_test([Group(x[0], tuple(x[1:])) for x in level + spread * generator.normal(size=(6, 3))], 1_000, 0).p
        for level, spread in ((generator.normal(size=(6, 1)), generator.uniform(0.01, 1, size=(6, 1))) for _ in range(2_000))
    ]
    for alpha in (0.01, 0.05, 0.2):
        rate = float(np.mean(np.array(ps) <= alpha))
        assert rate == pytest.approx(alpha, abs=4 * math.sqrt(alpha * (1 - alpha) / 2_000))


def test_a_known_effect_is_found() -> None:
    generator = np.random.default_rng(4)
    groups = [Group(0.3 + x[0], tuple(x[1:])) for x in 0.1 * generator.normal(size=(18, 3))]
    result = permutation_test(groups, 1_000, 0)
    assert result.p < 1e-6
    assert result.statistic == pytest.approx(0.3, abs=0.1)


def test_what_cannot_be_tested_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one group"):
        permutation_test([], 1_000, 0)
    with pytest.raises(ValueError, match="other-base member"):
        permutation_test([Group(0.1, ())], 1_000, 0)
    with pytest.raises(ValueError, match="finite"):
        permutation_test([Group(0.1, (math.nan,))], 1_000, 0)


@settings(max_examples=100)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=40), st.sampled_from([0.8, 0.95, 0.99]))
def test_t_interval_is_the_textbook_one(values: list[float], confidence: float) -> None:
    interval = t_interval(values, confidence)
    assert interval.low is not None
    assert interval.high is not None
    assert interval.mean == pytest.approx(np.mean(values), abs=1e-12)
    assert interval.n == len(values)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    if error < 1e-12:
        assert interval.low == pytest.approx(interval.high, abs=1e-9)
    else:
        low, high = ((end - interval.mean) / error for end in (interval.low, interval.high))
        assert (low, high) == (pytest.approx(-high), pytest.approx(-low))
        assert float(stdtr(len(values) - 1, high)) == pytest.approx((1 + confidence) / 2)


def test_t_interval_of_a_worked_example() -> None:
    # Mean 3, standard deviation 1.5811, n 5, t(4; .975) = 2.7764.
    interval = t_interval([1, 2, 3, 4, 5], 0.95)
    assert (interval.low, interval.high) == (pytest.approx(3 - 1.9634, abs=1e-3), pytest.approx(3 + 1.9634, abs=1e-3))


def test_one_run_has_no_interval() -> None:
    assert t_interval([0.3], 0.95) == Interval(0.3, None, None, 1)
    with pytest.raises(ValueError, match="at least one run"):
        t_interval([], 0.95)
    with pytest.raises(ValueError, match="finite"):
        t_interval([0.1, math.inf], 0.95)


def test_t_intervals_cover() -> None:
    generator = np.random.default_rng(5)
    intervals = [t_interval(list(generator.normal(0.2, 1, 5)), 0.9) for _ in range(3_000)]
    hits = [(i.low or 0) <= 0.2 <= (i.high or 0) for i in intervals]
    assert float(np.mean(hits)) == pytest.approx(0.9, abs=0.02)
