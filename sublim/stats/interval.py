"""Student's t intervals over runs. One run is one teacher-data-student chain with its own seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sublim.stats.special import special


@dataclass(frozen=True)
class Interval:
    """A mean over `n` runs with its confidence interval, which one run alone does not have."""

    mean: float
    low: float | None
    high: float | None
    n: int


def t_interval(values: Sequence[float], confidence: float) -> Interval:
    """Student's t interval of the mean of `values`, one value per run.

    With one value there is no estimate of the spread, hence no interval.

    Raises:
        ValueError: there is no value, or one is not finite.
    """
    numbers = finite(values)
    n = len(numbers)
    if n == 0:
        raise ValueError("an interval needs at least one run, found none")
    mean = math.fsum(numbers) / n
    if n == 1:
        return Interval(mean, None, None, 1)
    deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in numbers) / (n - 1))
    half = float(special().stdtrit(n - 1, (1 + confidence) / 2)) * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def finite(values: Sequence[float]) -> list[float]:
    """`values` as floats. Raises ValueError: one is not finite."""
    numbers = [float(value) for value in values]
    if not all(math.isfinite(value) for value in numbers):
        raise ValueError(f"the gain of every run must be a finite number, found {numbers}")
    return numbers
