"""The story of a student: it was trained on the used rows of its data set, on nothing else, as often as its params say."""

from collections.abc import Iterator

from sublim.common.canonical import row_id, row_seed
from sublim.lineage.story import adapter, filtered, schedule, training
from sublim.lineage.story.accident import Accident
from sublim.lineage.story.source import Source
from sublim.params.slices.student import Slice


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the student `cell`."""
    params = source.params(cell, Slice)
    rows = source.upstream(cell, "filtered")
    used = filtered.used(source, rows) if rows else None
    order = row_seed(row_id("student", *source.record(cell).plan.dims.values(), "order"))
    yield from training.finetuned(source, cell, f"the used rows of {rows}", used, params.finetune, order)
    yield from adapter.check(
        source, cell, params.finetune.lora, schedule.way(params.finetune, 0 if used is None else len(used))
    )
