"""Copies under another name: two artifacts that hold the same random numbers, though each was made with a seed of its own.

This gives away a data set or an evaluation whose dimensions, row ids and records were all rewritten to call it another one.
"""

from collections.abc import Callable, Mapping

from sublim.lineage.story import evaluation, raw
from sublim.lineage.story.accident import Accident, UnfitError
from sublim.lineage.story.source import Source

FINGERPRINTS: Mapping[str, tuple[Callable[[Source, str], str | None], str]] = {
    "raw": (raw.fingerprint, "completions"),
    "eval": (evaluation.fingerprint, "probabilities"),
}
"""Stage → what in its artifacts no other one can have, and what that is called."""


def check(source: Source, stage: str) -> dict[str, Accident]:
    """Cell → which other artifact of `stage` it shares its numbers with. Where something else was found in one of them, that
    one is the copy; where not, all are named."""
    fingerprint, what = FINGERPRINTS[stage]
    owners: dict[str, list[str]] = {}
    for cell in source.tree.cells(stage):
        try:
            found = fingerprint(source, cell)
        except UnfitError:
            continue  # named by the check of the cell itself
        if found is not None:
            owners.setdefault(found, []).append(cell)
    named: dict[str, Accident] = {}
    for cells in owners.values():
        for cell in [cell for cell in cells if cell in source.unsound] or cells:
            if others := [other for other in cells if other != cell]:
                text = f"expected {what} of its own, found exactly those of {others[0]}"
                named[cell] = Accident("copies", text, also=tuple(others) if cell not in source.unsound else ())
    return named
