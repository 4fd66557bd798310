"""What a design can see: the smallest effect that a test finds with 80 % power, and how often equivalence would be shown.

The paper (arXiv 2507.14805) says nothing about power. t tests: noncentral t (Cohen 1988, chapter 2). Permutation test:
simulated. Equivalence: Schuirmann 1987 (doi 10.1007/BF01068419), integrated over the estimate of the spread.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sublim.stats.special import special

POWER = 0.8
LARGEST = 1.0
"""A gain is a difference of probabilities: an effect that would have to be larger than this cannot be seen at all."""
ENUMERATED = 1 << 10
"""Designs with at most so many assignments of the label are simulated with all of them, others with `DRAWN` random ones."""
DRAWN = 999
EXPERIMENTS = 2_000
"""Simulated experiments: the power at the effect that is found is 80 % with a standard error of 0.9 points."""
QUANTILES = 4_096
FAR = 1_000.0


def smallest_effect(error: float, freedom: float, level: float) -> float | None:
    """The smallest mean that a two-sided t test at `level` calls different from its null with probability `POWER`.

    Args:
        error: standard error of the mean.
        freedom: its degrees of freedom.
        level: the p below which a test rejects.

    Returns:
        A gain (the other tail, which rejects with the wrong sign, is left out: it is below 10⁻⁵ of the cases); none where it
        would have to be larger than `LARGEST`.
    """
    critical = -float(special().stdtrit(freedom, level / 2))
    if critical > FAR:
        # The mean's own noise is nothing beside the spread of its estimated error (and the library's series takes for ever).
        return _possible(error * critical * math.sqrt(float(special().chdtri(freedom, 1 - POWER)) / freedom))
    return _possible(error * float(special().nctdtrinc(freedom, 1 - POWER, critical)))


def equivalence_chance(error: float, freedom: float, margin: float, level: float) -> float:
    """How often two one-sided t tests at `level` show a mean to be within ±`margin` when it is exactly zero.

    It is shown if |mean| ≤ margin − t·s. Given s, the mean is normal with standard deviation `error`; s²/error² is
    chi-squared over `freedom`, of which `QUANTILES` equally likely values are taken.
    """
    upper = (np.arange(QUANTILES) + 0.5) / QUANTILES
    estimated = error * np.sqrt(special().chdtri(freedom, upper) / freedom)
    room = (margin - float(special().stdtrit(freedom, 1 - level)) * estimated) / error
    return float(np.clip(2 * special().ndtr(room) - 1, 0, None).mean())


def smallest_permuted(others: Sequence[int], spread: float, other: float, level: float, seed: int) -> float | None:
    """The smallest mean gain of same-base students over other-base students that the permutation test finds with probability
    `POWER`, where gains are normal.

    In one simulated experiment a larger effect d moves the observed sum and that of each other assignment by known amounts, so
    that assignment stops being as large as the observed one at one value of d. The test rejects from the value on at which few
    enough are left: the answer is a quantile of these values over experiments.

    Args:
        others: for each group, how many other-base students it has.
        spread: standard deviation between same-base students.
        other: standard deviation between other-base students.
        level: the p below which the test rejects.
        seed: of the simulation.

    Returns:
        A gain; none where even all groups together have too few assignments, or it would have to be larger than `LARGEST`.
    """
    generator = np.random.default_rng(seed)
    sizes = [1 + number for number in others]
    chosen, allowed = _assignments(sizes, level, generator)
    # For each assignment and experiment the sum over groups, and for each assignment how the sum moves with d.
    sums = np.zeros((len(chosen), EXPERIMENTS))
    observed = np.zeros(EXPERIMENTS)
    moved = np.zeros(len(chosen))
    for size, places in zip(sizes, chosen.T, strict=True):
        gains = generator.normal(size=(size, EXPERIMENTS)) * np.array([[spread]] + [[other]] * (size - 1))
        statistic = (gains * size - gains.sum(axis=0)) / (size - 1)  # of the group, for each member, as in `permutation_test`
        sums += statistic[places]
        observed += statistic[0]
        moved += np.where(places == 0, 1.0, -1.0 / (size - 1))
    away = len(sizes) - moved
    same = away < 1e-9  # as large as the observed one whatever d is: it is the same assignment
    ends = np.where(same[:, None], np.inf, (sums - observed) / np.where(same, 1.0, away)[:, None])
    place = len(chosen) - 1 - allowed
    needed = np.partition(ends, place, axis=0)[place]
    return _possible(float(np.quantile(needed, POWER, method="higher")))


def _assignments(sizes: Sequence[int], level: float, generator: np.random.Generator) -> tuple[NDArray[np.int64], int]:
    """Assignments of the label [assignments, groups], and how many of them may be as large as the observed one."""
    total = math.prod(sizes)
    if total <= ENUMERATED:
        # The observed one is among them.
        return np.indices(sizes).reshape(len(sizes), -1).T, math.floor(level * total + 1e-9)
    drawn = np.stack([generator.integers(size, size=DRAWN) for size in sizes], axis=1)
    return drawn, math.floor(level * (1 + DRAWN) + 1e-9) - 1


def _possible(effect: float) -> float | None:
    return effect if effect <= LARGEST else None
