"""A permutation test of "same base > other base". The paper (arXiv 2507.14805) has intervals over runs and no such test; it is
ours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sublim.stats.interval import finite

# All assignments are counted exactly while either half of the groups has at most this many of them (8 MiB of sums).
HALF_LIMIT = 1 << 20
# Sums that differ by less than this share of their scale are ties: the same numbers added in another order.
TIE = 1e-9
CHUNK = 1 << 20


@dataclass(frozen=True)
class Group:
    """The gains of all students of one (teacher, trait, seed): the student of the teacher's own base, and the others."""

    same: float
    others: tuple[float, ...]


@dataclass(frozen=True)
class PermutationTest:
    """The outcome of `permutation_test`."""

    statistic: float  #: Mean over groups of (gain of the same-base student − mean gain of the other-base students).
    p: float  #: One-sided p of a statistic at least as large, if the same-base student were any member of its group.
    method: Literal["exact", "monte carlo"]
    permutations: int  #: Assignments counted (exact), or drawn (Monte Carlo).
    groups: int
    largest: int  #: Groups in which the same-base gain is larger than every other.


def permutation_test(groups: Sequence[Group], permutations: int, seed: int) -> PermutationTest:
    """Test "same base > other base" within groups.

    Under the null the base of a student does not matter, so that within a (teacher, trait, seed) group each student is as
    likely as any other to be the one of the teacher's base: the p is the share of all assignments of that label whose
    statistic is at least the observed one, the observed one included. All assignments are counted (by sorting the sums of one
    half of the groups and looking up those of the other) while either half has at most `HALF_LIMIT`, which 24 groups of three
    still have; beyond that `permutations` of them are drawn from `seed` and p = (1 + as large) / (1 + drawn).

    A group takes part with the students it has, two at least: under the null the rest of an incomplete group is still
    exchangeable. Which groups those are is the caller's to say (`groups_of` in `sublim.report.tables`).

    Raises:
        ValueError: there is no group, a group has no other-base member, or a gain is not finite.
    """
    if not groups:
        raise ValueError("the permutation test needs at least one group, found none")
    if any(not group.others for group in groups):
        raise ValueError("every group of the permutation test needs an other-base member, found one without")
    differences = [_differences(group) for group in groups]
    observed = math.fsum(float(each[0]) for each in differences)
    tie = TIE * max(math.fsum(float(np.abs(each).max()) for each in differences), np.finfo(float).tiny)
    largest = sum(group.same > max(group.others) for group in groups)
    halves = _halves(differences)
    sizes = [math.prod(len(each) for each in half) for half in halves]
    if max(sizes) <= HALF_LIMIT:
        left, right = (_sums(half) for half in halves)
        right.sort()
        below = np.searchsorted(right, observed - tie - left, side="left")
        total = math.prod(sizes)
        p = (total - int(below.sum())) / total
        return PermutationTest(observed / len(groups), p, "exact", total, len(groups), largest)
    count = _drawn_as_large(differences, observed - tie, permutations, seed)
    p = (1 + count) / (1 + permutations)
    return PermutationTest(observed / len(groups), p, "monte carlo", permutations, len(groups), largest)


def _differences(group: Group) -> NDArray[np.float64]:
    """For each member, the statistic of the group if that member were the same-base one; the observed one is first."""
    gains = np.array(finite((group.same, *group.others)))
    return (gains * len(gains) - gains.sum()) / (len(gains) - 1)


def _halves(differences: list[NDArray[np.float64]]) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Two sets of groups with about the same number of assignments each."""
    halves: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]] = ([], [])
    sizes = [1, 1]
    for each in sorted(differences, key=len, reverse=True):
        smaller = 0 if sizes[0] <= sizes[1] else 1
        halves[smaller].append(each)
        sizes[smaller] *= len(each)
    return halves


def _sums(differences: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The sums of all assignments of these groups, in one array."""
    sums = np.zeros(1)
    for each in differences:
        sums = np.add.outer(sums, each).ravel()
    return sums


def _drawn_as_large(differences: list[NDArray[np.float64]], bound: float, permutations: int, seed: int) -> int:
    """How many of `permutations` random assignments have a sum of at least `bound`."""
    generator = np.random.default_rng(seed)
    rows = max(1, CHUNK // len(differences))
    count = 0
    for start in range(0, permutations, rows):
        drawn = min(rows, permutations - start)
        sums = np.zeros(drawn)
        for each in differences:
            sums += each[generator.integers(len(each), size=drawn)]
        count += int((sums >= bound).sum())
    return count
