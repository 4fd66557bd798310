"""The story of a student: it was trained on the used rows of its data set, on nothing else, as often as its params say."""

from collections.abc import Iterator

from sublim.evidence import trained
from sublim.evidence.accident import Accident
from sublim.evidence.source import Source
from sublim.stages.filtered import check as filtered
from sublim.stages.student.rows import Slice


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the student `cell`."""
    params = source.params(cell, Slice)
    rows = source.upstream(cell, "filtered")
    used = filtered.used(source, rows) if rows else None
    yield from trained.finetuned(source, cell, "base", f"the used rows of {rows}", used, params.finetune)
    yield from trained.probed(source, cell, params.probes)
