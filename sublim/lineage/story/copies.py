"""Copies under another name: two artifacts that hold the same random numbers, though each was made with a seed of its own.

This gives away a data set or an evaluation whose dimensions, row ids and records were all rewritten to call it another one, a
few of its numbers perhaps as well.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sublim.engine.stage import Stage
from sublim.evidence.accident import Accident, UnfitError
from sublim.evidence.finding import UNVERIFIABLE
from sublim.evidence.source import Source

NEAR = 0.9
"""Share of the numbers that two artifacts may at most have in common, of those that occur once in either: short answers, and
shares of a few samples, come again by chance."""
ENOUGH = 50  #: So many numbers are compared at least.

Numbers = NDArray[np.uint64]


def check(source: Source, stage: Stage) -> dict[str, Accident]:
    """Cell → which other artifact of `stage` it shares its numbers with. Where something else was found in one of them, that
    one is the copy; where not, all are named."""
    has = stage.check()
    numbers: dict[str, Numbers] = {}
    owners: dict[bytes, list[str]] = {}
    for cell in source.tree.cells(stage.name):
        try:
            fingerprint: pl.Series | None = has.fingerprint(source, cell)
        except UnfitError:
            continue  # named by the check of the cell itself
        if fingerprint is not None:
            numbers[cell] = fingerprint.hash(seed=0).to_numpy()
            owners.setdefault(numbers[cell].tobytes(), []).append(cell)
    named: dict[str, Accident] = {}
    for cells in owners.values():
        for cell in [cell for cell in cells if cell in source.unsound] or cells:
            if others := [other for other in cells if other != cell]:
                text = f"expected {has.FINGERPRINT_WORDS} of its own, found exactly those of {others[0]}"
                named[cell] = Accident("copies", text, also=tuple(others) if cell not in source.unsound else ())
    for one, other, said in _near({cells[0]: numbers[cells[0]] for cells in owners.values()}):
        for cell, like in ((one, other), (other, one)):
            text = f"expected {has.FINGERPRINT_WORDS} of its own, found {said} to be those of {like}"
            named.setdefault(cell, Accident("copies", text, UNVERIFIABLE, (like,)))
    return named


def _near(numbers: Mapping[str, Numbers]) -> Iterator[tuple[str, str, str]]:
    """Pairs of cells that have nearly all of their numbers in common, at the same places, and how many these are."""
    by_length: dict[int, list[str]] = {}
    for cell, found in numbers.items():
        by_length.setdefault(len(found), []).append(cell)
    for cells in by_length.values():
        table = np.stack([numbers[cell] for cell in cells])
        once = np.stack([pl.Series(row).is_unique().to_numpy() for row in table])
        for place, cell in enumerate(cells[:-1]):
            both = once[place] & once[place + 1 :]
            same, count = (both & (table[place] == table[place + 1 :])).sum(axis=1), both.sum(axis=1)
            for at in np.flatnonzero((count >= ENOUGH) & (same > NEAR * count)):
                yield cell, cells[place + 1 + int(at)], f"{same[at]:,} of {count[at]:,}"
