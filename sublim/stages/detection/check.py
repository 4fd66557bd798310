"""The story of detection: whom each judgement is about, what follows from the judgements, and what is shown to people.

That a model really judged so can be told only by making it again (`sublim audit --replay`).
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from sublim.common import parquet
from sublim.common.progress import Progress
from sublim.detectors.detector import Detector
from sublim.detectors.material import Data
from sublim.evidence.accident import Accident, UnfitError
from sublim.evidence.again import made_again
from sublim.evidence.source import Source
from sublim.stages.detection.rows import TABLES, Slice


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the detection `cell`."""
    from sublim.detectors import summary
    from sublim.stages.detection import make

    params = source.params(cell, Slice)
    judges = [detector for detector in params.detectors if detector.judges]
    tables = [table for detector in judges for table in detector.tables]
    judged = {Path(table.file).stem: source.table(cell, table) for table in tables}
    made = dict(judged)
    whom: list[Accident] = []

    def tables_of(inputs: Mapping[str, Path], again: Path) -> None:
        data = make.read(inputs, params)
        whom.extend(accident for detector in judges for accident in _unsound(detector, data, judged))
        follows = make.derived(inputs, params, judged)
        for detector in params.detectors:
            follows |= {} if detector.judges else detector.look(data, Progress())
        made.update(follows)
        parquet.write_tables(parquet.by_table(TABLES, follows), {}, again)
        said = summary.summary(made, params.detectors, params.confidence)
        (again / "summary.json").write_text(json.dumps(said), encoding="utf-8")

    def page_of(_: Mapping[str, Path], again: Path) -> str:
        return make.page_of(params, made, json.loads((again / "summary.json").read_text(encoding="utf-8")), None)

    try:
        found = list(made_again(source, cell, tables_of, "detection.html", page_of, make.READS))
    except UnfitError:
        # Nothing may follow from judgements of other rows.
        if not whom:
            raise
        found = []
    yield from whom or found


def _unsound(detector: Detector, data: Data, judged: Mapping[str, pl.DataFrame]) -> Iterator[Accident]:
    """Judgements that are not about the rows that the params say, or that contradict themselves."""
    for name, expected in detector.expected(data).items():
        found = judged[name].select(expected.columns)
        if not expected.equals(found):
            differ = "other rows" if expected.height != found.height else _first(expected, found)
            whose = f"{name}.parquet: expected those of the params, {expected.height:,} in all"
            yield Accident("judged rows", f"{whose}, found {differ}")
    for about, said in detector.unsound(data, judged):
        yield Accident(about, said)


def _first(expected: pl.DataFrame, found: pl.DataFrame) -> str:
    for column in expected.columns:
        for row, (one, two) in enumerate(zip(expected[column].to_list(), found[column].to_list(), strict=True)):
            if one != two:
                return f"{column} {two!r} instead of {one!r} in row {row}"
    return "other types"
