"""The story of the overview: its numbers are those of the reports and of theory."""

from collections.abc import Iterator

from sublim.evidence.accident import Accident
from sublim.evidence.again import made_again
from sublim.evidence.source import Source
from sublim.stages.overview.rows import Slice


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the overview."""
    from sublim.stages.overview import make

    params = source.params(cell, Slice)

    yield from made_again(
        *(source, cell),
        lambda inputs, again: make.tables_of(inputs, params, again),
        "overview.html",
        lambda inputs, again: make.page_of(inputs, params, again, None),
        make.READS,
    )
