"""A tree of artifacts made ready for questions: rows by their id, training steps by the rows in them. A snapshot: it refuses to
answer once a file that it covers has changed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from sublim.common.errors import SublimError
from sublim.common.reading import reading
from sublim.common.table import Table
from sublim.engine.record import Record
from sublim.engine.stage import stages
from sublim.evidence import index
from sublim.evidence.index import Index, Place
from sublim.evidence.tree import Tree
from sublim.learn.tables import TrainingSteps

Row = Mapping[str, Any]
_FEW = 3
_STEPS = 8  #: How many tables of training steps are kept.


@dataclass(frozen=True)
class Found:
    """A row. Artifacts of a stage may have the same rows, as bases that are pretrained on one corpus: then it has several
    places."""

    row_id: str
    places: tuple[Place, ...]
    rows: tuple[Row, ...]

    @property
    def cell(self) -> str:
        """The first artifact that has it."""
        return self.places[0].cell

    @property
    def file(self) -> str:
        """The table that it is in."""
        return self.places[0].file

    @property
    def row(self) -> Row:
        """The row, without the dimensions of its cell."""
        return self.rows[0]


def dimensions() -> tuple[str, ...]:
    """Every dimension of some stage."""
    return tuple(dict.fromkeys(name for stage in stages().values() for name in stage.dims))


def trained(stage: str) -> type[TrainingSteps] | None:
    """The table of `stage` that has the steps of a training, with the ids of the rows in each; None if it trains nothing."""
    tables = stages()[stage].tables if stage in stages() else ()
    return next((table for table in tables if issubclass(table, TrainingSteps)), None)


@dataclass(frozen=True)
class Reader:
    """Reads rows of `tree`. Keep it for several questions: the first one opens the index, the others find it open."""

    tree: Tree

    @cached_property
    def keys(self) -> Mapping[str, str]:
        """Cell → its key."""
        return {cell: record.key for cell, record in self.tree.records.items()}

    @cached_property
    def _as_of(self) -> list[tuple[int, ...]]:
        return index.marks(self.tree)

    @cached_property
    def _index(self) -> Index:
        return index.opened(self.tree, index.identity(self.tree, self._as_of))

    @cached_property
    def _used(self) -> dict[str, pl.DataFrame]:
        return {}

    def own(self, *row_ids: str, cell: str | None = None) -> list[Found]:
        """The rows with these ids, or whose ids begin so, in their order, place by place: of all tables or those of `cell`.
        Raises SublimError: a file has changed since this reader began; a new one sees it as it is."""
        return [found for found in self._find(row_ids, cell and (cell,), own=True) if found.row_id.startswith(row_ids)]

    def made_of(self, row_id: str, cells: Collection[str]) -> list[Found]:
        """The rows in `cells` that came from the row `row_id`, each once. Raises SublimError: as `own`."""
        every = {each.places: each for each in self._find([row_id], cells, own=False)}.values()
        parents = {each.places: self.table_of(each.places[0]).parents for each in every}
        return [each for each in every if any(row_id in (each.row[name] or ()) for name in parents[each.places])]

    def table_of(self, place: Place) -> type[Table]:
        """The table that a row is in."""
        return index.tables(self.record(place.cell).plan.stage)[place.file]

    def _find(self, row_ids: Iterable[str], cells: Collection[str] | None, *, own: bool) -> list[Found]:
        if index.marks(self.tree) != self._as_of:
            raise self._changed()
        every = [place for row_id in row_ids for place in self._index.find(row_id, own=own)]
        places = [place for place in every if cells is None or place.cell in cells]
        rows = zip(places, self.rows(places), strict=True)
        return [Found(str(row[str(self.table_of(place).id)]), (place,), (row,)) for place, row in rows]

    def rows(self, places: Sequence[Place]) -> list[Row]:
        """The rows at `places`, without the dimensions of their cells. Of a file that has few of them only the pages that hold
        them are read."""
        wanted: dict[tuple[Path, str], list[int]] = {}
        for place in places:
            wanted.setdefault((self.tree.path(place.cell, place.file), place.cell), []).append(place.row)
        scans: list[tuple[Path, list[int], pl.LazyFrame]] = []
        for (path, cell), rows in wanted.items():
            scan = pl.scan_parquet(path, hive_partitioning=False, glob=False).drop(*self.record(cell).plan.dims, strict=False)
            if len(rows) > _FEW:
                numbers = sorted(set(rows))
                numbered = scan.with_row_index("number").filter(pl.col("number").is_in(numbers)).drop("number")
                scans.append((path, numbers, numbered))
            else:
                scans += [(path, [row], scan.slice(row, 1)) for row in rows]
        try:
            frames = pl.collect_all([scan for _, _, scan in scans], engine="in-memory")
        except (pl.exceptions.PolarsError, OSError) as error:
            said = f"a table cannot be read: {error}. `sublim audit` says what is wrong."
            raise SublimError(f"{self.tree.name}: {said}") from None
        found: dict[tuple[Path, int], Row] = {}
        for (path, rows, _), frame in zip(scans, frames, strict=True):
            if frame.height != len(rows):
                raise self._changed()
            found |= {(path, row): values for row, values in zip(rows, frame.iter_rows(named=True), strict=True)}
        return [found[self.tree.path(place.cell, place.file), place.row] for place in places]

    def table(
        self, cell: str, file: str, row_ids: Sequence[str] | pl.Series | None = None, columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """A table, in the order of its file: all of it, or the rows with these ids, or these columns."""
        with reading(self.tree.path(cell, file)) as path:
            scan = pl.scan_parquet(path, hive_partitioning=False, glob=False)
            if row_ids is not None:
                scan = scan.filter(pl.col("row_id").is_in(pl.Series(row_ids, dtype=pl.String).implode()))
            return (scan if columns is None else scan.select(columns)).collect(engine="in-memory")

    def steps(self, cell: str) -> pl.DataFrame:
        """The training steps of a model: step, loss, learning_rate, tokens, rows. Empty if it has none."""
        of = trained(self.record(cell).plan.stage)
        if of is None or f"{cell}/{of.file}" not in self.tree.files:
            return TrainingSteps.empty()
        return self.tree.table(cell, of.file, list(of.columns))

    def steps_with(self, cell: str, row_id: str) -> list[int]:
        """The steps of `cell` in whose batch the row is, each as often as the row is in it."""
        if trained(self.record(cell).plan.stage) is None:
            return []
        if cell not in self._used:
            if len(self._used) >= _STEPS:
                self._used.pop(next(iter(self._used)))
            self._used[cell] = self.steps(cell).select("step", "rows").explode("rows", empty_as_null=False)
        used = self._used[cell]
        return used.filter(pl.col("rows") == row_id)["step"].to_list()

    def count(self, cell: str, name: str) -> int | None:
        """How many rows the table `name` of `cell` has; None if there is none."""
        if f"{cell}/{name}" not in self.tree.files:
            return None
        with reading(self.tree.path(cell, name)) as path:
            return pl.scan_parquet(path, hive_partitioning=False, glob=False).select(pl.len()).collect().item()

    def record(self, cell: str) -> Record:
        """The record of `cell`. Raises SublimError: there is no record, or none that can be read."""
        try:
            return self.tree.records[cell]
        except KeyError:
            why = self.tree.broken.get(cell)
            said = f"its record {why}" if why else "is not there"
            raise SublimError(f"{self.tree.name}: {cell}: {said}. `sublim audit` says what is wrong.") from None

    def input(self, cell: str, name: str) -> str | None:
        """The cell that `cell` was given as `name`; None if it was given none."""
        found = self.record(cell).inputs.get(name)
        return found and found.cell

    def _changed(self) -> SublimError:
        return SublimError(f"{self.tree.name}: files have changed since the question began. Ask again.")
