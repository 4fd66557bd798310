"""Gains of runs set against what controls gain: two-sided p, false discoveries over a table, equivalence.

Training on any numbers shifts preferences, so that a gain is set against students of the same base that were trained on the
numbers of an untouched base, wherever an experiment has them. The paper (arXiv 2507.14805) compares by intervals alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sublim.stats.interval import finite
from sublim.stats.power import smallest_effect
from sublim.stats.special import special

Against = Literal["control", "untrained"]
EQUAL = 1e-12  #: Gains whose standard error is below this do not differ: there is no spread to judge them by.


@dataclass(frozen=True)
class Difference:
    """The mean gain of some runs, less the gain of control students of the same bases."""

    mean: float
    error: float | None  #: Standard error; none for one run, or where runs do not differ at all.
    freedom: float | None  #: Degrees of freedom of the error (Welch–Satterthwaite).
    n: int
    against: Against
    """`control`, or `untrained`: these bases have no controls whose spread is known, and the gain is set against zero."""


@dataclass(frozen=True)
class Equivalence:
    """The outcome of two one-sided t tests (TOST) of "the difference is outside ±margin"."""

    mean: float
    low: float | None
    high: float | None
    """Ends of the interval of confidence 1 − 2α: equivalence is shown if and only if it lies inside the margin."""
    p: float | None  #: The larger of the two one-sided p.
    n: int
    against: Against
    smallest: float | None
    """The smallest difference from zero that these runs, with the spread that they have, show with 80 % power."""
    verdict: str
    """`no transmission within ±margin`; else `transmission`, if the mean is above zero (two-sided p ≤ α); else `not shown`."""


def difference(gains: Mapping[str, Sequence[float]], controls: Mapping[str, Sequence[float]]) -> Difference:
    """Welch's t statistic of gains over controls, the controls weighted as the runs are spread over bases.

    The spread of the runs is that around their common mean, as in their interval; that of controls is around the mean of their
    own base.

    Args:
        gains: student's base → gains of its runs.
        controls: student's base → gains of its control runs; those of other bases are passed over.

    Raises:
        ValueError: there is no run, or a gain is not finite.
    """
    runs = [gain for of in gains.values() for gain in finite(of)]
    if not runs:
        raise ValueError("a mean gain needs at least one run, found none")
    mean = math.fsum(runs) / len(runs)
    counts = {student: len(of) for student, of in gains.items() if len(of)}
    known = {student: finite(controls.get(student, ())) for student in counts}
    numbers = {student: len(of) for student, of in known.items()}
    variance = _squares(runs) / (len(runs) - 1) if len(runs) > 1 else None
    if not comparable(numbers):
        return _difference(mean, counts, variance, {}, 0.0)
    expected = math.fsum(counts[student] / len(runs) * math.fsum(of) / len(of) for student, of in known.items())
    spread = math.fsum(_squares(of) for of in known.values()) / sum(number - 1 for number in numbers.values())
    return _difference(mean - expected, counts, variance, numbers, spread)


def comparable(controls: Mapping[str, int]) -> bool:
    """Whether every base has a control run, and the bases together enough of them to know their spread."""
    return min(controls.values(), default=0) > 0 and max(controls.values()) > 1


def standard_error(
    runs: Mapping[str, int], variance: float, controls: Mapping[str, int], control_variance: float
) -> tuple[float, float]:
    """Standard error and degrees of freedom of the mean of `runs` (base → number) less that of `controls` (base → number; none:
    the mean alone), from the variance between each."""
    n = sum(runs.values())
    first = variance / n
    if not controls:
        return math.sqrt(first), n - 1
    second = control_variance * math.fsum((number / n) ** 2 / controls[student] for student, number in runs.items())
    freedom = sum(number - 1 for number in controls.values())
    total = first + second
    return math.sqrt(total), total**2 / (first**2 / (n - 1) + second**2 / freedom) if total else n - 1


def two_sided_p(difference: Difference) -> float | None:
    """Two-sided p of "no difference"; none where there is no standard error."""
    if difference.error is None or difference.freedom is None:
        return None
    return 2 * float(special().stdtr(difference.freedom, -abs(difference.mean) / difference.error))


def false_discovery_rates(ps: Sequence[float | None]) -> list[float | None]:
    """Benjamini and Hochberg's q of each p (1995, J. R. Stat. Soc. B 57:289), over all that are there."""
    # By hand, as importing scipy.stats takes longer than all else that a report or an audit computes. A test compares the two.
    known = np.array([p for p in ps if p is not None], float)
    order = np.argsort(known)
    scaled = known[order] * (len(known) / np.arange(1, len(known) + 1))
    known[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(0, 1)
    rates = iter(known.tolist())
    return [None if p is None else next(rates) for p in ps]


def equivalence(difference: Difference, margin: float, confidence: float) -> Equivalence:
    """Two one-sided tests that a difference is within ±`margin`, each at α = 1 − `confidence` (Schuirmann 1987)."""
    level = 1 - confidence
    if difference.error is None or difference.freedom is None:
        return Equivalence(difference.mean, None, None, None, difference.n, difference.against, None, "not shown")
    half = float(special().stdtrit(difference.freedom, confidence)) * difference.error
    p = float(special().stdtr(difference.freedom, (abs(difference.mean) - margin) / difference.error))
    low, high = difference.mean - half, difference.mean + half
    differs = difference.mean > 0 and (two_sided_p(difference) or 0) <= level
    verdict = f"no transmission within ±{margin:g}" if p <= level else "transmission" if differs else "not shown"
    smallest = smallest_effect(difference.error, difference.freedom, level)
    return Equivalence(difference.mean, low, high, p, difference.n, difference.against, smallest, verdict)


def _difference(
    mean: float, runs: Mapping[str, int], variance: float | None, controls: Mapping[str, int], control_variance: float
) -> Difference:
    n = sum(runs.values())
    against: Against = "control" if controls else "untrained"
    if variance is None:
        return Difference(mean, None, None, n, against)
    error, freedom = standard_error(runs, variance, controls, control_variance)
    return Difference(mean, *((error, freedom) if error > EQUAL else (None, None)), n, against)


def _squares(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values)
