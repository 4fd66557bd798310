"""Waiting for what other processes do."""

import time
from collections.abc import Callable


def until(holds: Callable[[], object], told: Callable[[], str] = str, seconds: float = 120) -> None:
    """Return when `holds` does. Raises AssertionError, with what `told` says: it did not, for so long."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it never came to that: {told()}"
        time.sleep(0.05)
