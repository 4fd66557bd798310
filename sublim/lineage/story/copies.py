"""Copies under another name: two artifacts that hold the same random numbers, though each was made with a seed of its own.

This gives away a data set or an evaluation whose dimensions, row ids and records were all rewritten to call it another one.
"""

from sublim.engine.stage import Stage
from sublim.evidence.accident import Accident, UnfitError
from sublim.evidence.source import Source


def check(source: Source, stage: Stage) -> dict[str, Accident]:
    """Cell → which other artifact of `stage` it shares its numbers with. Where something else was found in one of them, that
    one is the copy; where not, all are named."""
    has = stage.check()
    owners: dict[str, list[str]] = {}
    for cell in source.tree.cells(stage.name):
        try:
            fingerprint: str | None = has.fingerprint(source, cell)
        except UnfitError:
            continue  # named by the check of the cell itself
        if fingerprint is not None:
            owners.setdefault(fingerprint, []).append(cell)
    named: dict[str, Accident] = {}
    for cells in owners.values():
        for cell in [cell for cell in cells if cell in source.unsound] or cells:
            if others := [other for other in cells if other != cell]:
                text = f"expected {has.FINGERPRINT_WORDS} of its own, found exactly those of {others[0]}"
                named[cell] = Accident("copies", text, also=tuple(others) if cell not in source.unsound else ())
    return named
