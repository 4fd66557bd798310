"""effect = a · share^k by least squares, with intervals by a bootstrap over clusters of runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sublim.stats.interval import finite

DRAWS = 2_000  #: Bootstrap draws.
BOUNDS = (0.05, 50.0)  #: Of k: below, every share but 0 has nearly all of the effect; above, none but 1 has any.
SHARES = 3  #: A fit needs so many different shares at least.
_GRID = np.geomspace(*BOUNDS, 241)
_HALVINGS = 60
_Floats = NDArray[np.float64]


class Point(NamedTuple):
    """The effect of one run."""

    share: float  #: From 0 to 1.
    effect: float
    cluster: tuple[str | int, ...]  #: Runs of one cluster are drawn together.


class Span(NamedTuple):
    """An estimate with the ends of its interval; one cluster alone has none."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class PowerLaw:
    """A fit, and the fits of the bootstrap's draws."""

    a: float  #: The effect at share 1.
    k: float
    n: int  #: Runs.
    clusters: int
    confidence: float
    drawn_a: _Floats  #: [draws]
    drawn_k: _Floats  #: [draws]

    @property
    def at_bound(self) -> bool:
        """Whether k is as small or as large as it may be: the true one may be beyond."""
        return self.k in BOUNDS

    @property
    def draws(self) -> int:
        """How many draws count. One with fewer than two shares above 0 tells no k and is left out."""
        return len(self.drawn_a)

    @property
    def draws_at_bound(self) -> int:
        """In how many draws k is at a bound: an interval that ends there may be longer."""
        return int(np.isin(self.drawn_k, BOUNDS).sum())

    @cached_property
    def spans(self) -> dict[str, Span]:
        """`a`, `k`, and `half`: the effect at share .5, as a share of a."""
        return {
            "a": self._span(self.a, self.drawn_a),
            "k": self._span(self.k, self.drawn_k),
            "half": self._span(0.5**self.k, 0.5**self.drawn_k),
        }

    def at(self, share: float) -> Span:
        """The effect at a share."""
        return self._span(self.a * share**self.k, self.drawn_a * share**self.drawn_k)

    def _span(self, value: float, drawn: _Floats) -> Span:
        if self.clusters < 2 or not len(drawn):
            return Span(value, None, None)
        low, high = np.quantile(drawn, [(1 - self.confidence) / 2, (1 + self.confidence) / 2])
        return Span(value, float(low), float(high))


def power_law(points: Sequence[Point], confidence: float, seed: int, draws: int = DRAWS) -> PowerLaw | None:
    """Fit effect = a · share^k to runs, whose order does not matter; None with fewer than `SHARES` different shares.

    For a given k the best a is known, so that one number is sought: the best k on a grid, then the zero of the derivative
    beside it. A bootstrap draw takes as many clusters as there are, with replacement, each with all of its runs.

    Raises:
        ValueError: an effect is not finite, or a share is not from 0 to 1.
    """
    finite([point.effect for point in points])
    if strange := [point.share for point in points if not 0 <= point.share <= 1]:
        raise ValueError(f"a share must be from 0 to 1, found {strange}")
    shares = sorted({point.share for point in points})
    if len(shares) < SHARES:
        return None
    clusters = sorted({point.cluster for point in points})
    counts, sums = np.zeros((2, len(clusters), len(shares)))
    for point in sorted(points):
        place = clusters.index(point.cluster), shares.index(point.share)
        counts[place] += 1
        sums[place] += point.effect
    taken = np.random.default_rng(seed).integers(len(clusters), size=(draws, len(clusters)))
    times = (taken[:, :, None] == np.arange(len(clusters))).sum(axis=1)  # [draws, clusters]
    # The runs as they are come first. Summed without a library of its own, so that every machine has the same digits.
    times = np.concatenate([np.ones((1, len(clusters))), times])
    weighed = [(times[:, :, None] * each).sum(axis=1) for each in (counts, sums)]
    a, k = _best(weighed[0], weighed[1], np.array(shares))
    return PowerLaw(float(a[0]), float(k[0]), len(points), len(clusters), confidence, a[1:], k[1:])


def _best(counts: _Floats, sums: _Floats, shares: _Floats) -> tuple[_Floats, _Floats]:
    """The best a and k of each draw that has two shares above 0 at least. `counts`, `sums`: runs, and the sum of their effects,
    [draws, shares]. Effects at share 0 bear on neither."""
    known = (counts[:, shares > 0] > 0).sum(axis=1) >= 2
    n, t, s = counts[known][:, shares > 0], sums[known][:, shares > 0], shares[shares > 0]

    def explained(k: float) -> _Floats:
        return (t * s**k).sum(axis=1) ** 2 / (n * s ** (2 * k)).sum(axis=1)

    def rising(k: _Floats) -> NDArray[np.bool_]:
        """Whether a larger k explains more: the sign of the derivative of `explained`."""
        power, log = s ** k[:, None], np.log(s)
        p, q = (t * power).sum(axis=1), (n * power**2).sum(axis=1)
        return p * ((t * power * log).sum(axis=1) * q - p * (n * power**2 * log).sum(axis=1)) > 0

    place = np.argmax(np.stack([explained(float(k)) for k in _GRID]), axis=0)
    low, high = _GRID[np.maximum(place - 1, 0)], _GRID[np.minimum(place + 1, len(_GRID) - 1)]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        up = rising(middle)
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    ends = np.full(len(place), _GRID[0]), np.full(len(place), _GRID[-1])
    k = np.where((place == 0) & ~rising(ends[0]), BOUNDS[0], (low + high) / 2)
    k = np.where((place == len(_GRID) - 1) & rising(ends[1]), BOUNDS[1], k)
    power = s ** k[:, None]
    return (t * power).sum(axis=1) / (n * power**2).sum(axis=1), k
