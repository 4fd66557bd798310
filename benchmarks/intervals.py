"""Means over runs, as pages show them."""

from collections.abc import Iterable

from sublim.stats.interval import t_interval


def told(values: Iterable[float]) -> str:
    """The mean with its 95 % t interval, two digits behind the point."""
    found = t_interval(list(values), 0.95)
    return f"{found.mean:+.2f}" + ("" if found.low is None else f" [{found.low:+.2f}, {found.high:+.2f}]")
