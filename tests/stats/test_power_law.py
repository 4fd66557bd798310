"""The law of shared history: known numbers come back, with intervals that hold them as often as they say."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from sublim.stats.power_law import BOUNDS, Point, PowerLaw, power_law

SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)


def drawn(a: float, k: float, noise: float, seed: int = 0, clusters: int = 8) -> list[Point]:
    generator = np.random.default_rng(seed)
    return [
        Point(share, a * share**k + noise * float(generator.normal()), ("fox", seed, cluster))
        for cluster in range(clusters)
        for share in SHARES
    ]


def fitted(points: list[Point], seed: int = 0, draws: int = 100) -> PowerLaw:
    found = power_law(points, 0.95, seed, draws)
    assert found is not None
    return found


@given(st.floats(0.1, 9), st.sampled_from([-1, 1]), st.floats(0.1, 40))
def test_without_noise_a_and_k_are_those_of_the_law(size: float, sign: int, k: float) -> None:
    found = fitted(drawn(sign * size, k, 0), seed=1)
    assert (found.a, found.k) == (pytest.approx(sign * size, rel=1e-6), pytest.approx(k, rel=1e-6))
    assert found.spans["half"].value == pytest.approx(0.5**k)
    assert found.at(0.5).value == pytest.approx(sign * size * 0.5**k, rel=1e-5, abs=1e-12)
    assert not found.at_bound


@pytest.mark.parametrize(("a", "k"), [(2.0, 1.5), (2.0, 0.3), (1.0, 8.0), (-1.0, 2.0)])
def test_the_fit_is_that_of_scipy(a: float, k: float) -> None:
    points = drawn(a, k, 0.1, seed=3)
    found = fitted(points)

    def missed(law: Sequence[float]) -> float:
        return sum((point.effect - law[0] * point.share ** law[1]) ** 2 for point in points)

    best = cast("Any", minimize)(missed, [a, k], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-14})
    assert [found.a, found.k] == pytest.approx(best.x.tolist(), rel=1e-5)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    spans = [fitted(drawn(2.0, 2.0, 0.4, seed, clusters=12), seed, 500).spans for seed in range(100)]
    for name, truth in (("a", 2.0), ("k", 2.0), ("half", 0.25)):
        held = sum((each[name].low or 0) <= truth <= (each[name].high or 0) for each in spans)
        # Percentile intervals of twelve clusters are a little short of 95 %; four binomial standard errors below 92.
        assert held >= 81


@settings(max_examples=20)
@given(st.permutations(drawn(1.0, 2.0, 0.2, seed=5)))
def test_the_order_of_runs_changes_nothing(points: list[Point]) -> None:
    one, two = fitted(points), fitted(drawn(1.0, 2.0, 0.2, seed=5))
    assert one.a == pytest.approx(two.a, rel=1e-12)
    assert one.spans["k"] == pytest.approx(two.spans["k"], rel=1e-12)


@pytest.mark.parametrize("shares", [(0.0,), (1.0,), (0.0, 1.0), (0.5, 1.0)])
def test_fewer_than_three_shares_are_no_fit(shares: tuple[float, ...]) -> None:
    assert power_law([Point(share, share, (cluster,)) for share in shares for cluster in range(4)], 0.95, 0) is None


def test_k_stops_at_its_bounds_and_says_so() -> None:
    low, high = (
        fitted(
            [Point(share, effect, (cluster,)) for cluster in range(4) for share, effect in zip(SHARES, effects, strict=True)]
        )
        for effects in ((0, 1, 1, 1, 1, 1), (0, 0, 0, 0, 0, 1))
    )
    assert (low.k, high.k) == BOUNDS
    for found in (low, high):
        assert found.at_bound
        assert found.draws_at_bound == found.draws


def test_one_cluster_has_no_interval_and_a_draw_of_one_share_does_not_count() -> None:
    alone = fitted([Point(share, share, (1,)) for share in SHARES])
    assert alone.spans["k"].low is alone.at(0.5).high is None
    # Each cluster has one share: of three, a draw of one of them three times tells no k.
    apart = fitted([Point(share, share, (f"{share}",)) for share in (0.25, 0.5, 1.0)])
    assert 0 < apart.draws < 100
    assert fitted([Point(share, share**2, (n,)) for n in range(3) for share in (0.0, 0.5, 1.0)]).draws == 100


@pytest.mark.parametrize("point", [Point(1.5, 0.0, ()), Point(-0.1, 0.0, ()), Point(0.5, float("nan"), ())])
def test_what_is_no_share_or_no_effect_is_refused(point: Point) -> None:
    with pytest.raises(ValueError, match="found"):
        power_law([*drawn(1, 1, 0), point], 0.95, 0)
