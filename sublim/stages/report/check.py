"""The story of a report: its numbers are those that its inputs give."""

from collections.abc import Iterator

from sublim.evidence.accident import Accident
from sublim.evidence.again import made_again
from sublim.evidence.source import Source
from sublim.stages.report.rows import Slice


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the report `cell`."""
    from sublim.report import page
    from sublim.stages.report import make

    params = source.params(cell, Slice)

    yield from made_again(
        *(source, cell),
        lambda inputs, again: make.tables_of(inputs, params, again),
        "report.html",
        lambda _, again: page.render(page.read(again), make.names(params), None),
        {stage: [table.file for table in tables] for stage, tables in make.READS.items()},
    )
