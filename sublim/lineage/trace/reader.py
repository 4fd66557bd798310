"""A tree of artifacts made ready for questions: rows by their id, training steps by the rows in them. A snapshot: it refuses to
answer once a file that it covers has changed."""

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from sublim.common.errors import SublimError
from sublim.lineage.trace import index
from sublim.lineage.trace.index import Index, Place, Role
from sublim.lineage.tree import Tree
from sublim.plan.record import Record

Row = Mapping[str, Any]
DIMENSIONS = frozenset({"model", "teacher", "trait", "carrier", "filter", "arm", "method", "student", "seed", "study"})
_FEW = 3
_STEPS = 8
"""How many tables of training steps are kept."""


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

    def own(self, row_id: str, cell: str | None = None) -> list[tuple[Place, Row]]:
        """The rows whose own id is `row_id` (all of it, or its beginning), of all tables or those of `cell`.

        Raises:
            SublimError: a file has changed since this reader began; a new one sees it as it is.
        """
        return [pair for pair in self._found(row_id, ("own",), cell and (cell,)) if pair[1]["row_id"].startswith(row_id)]

    def own_all(self, row_ids: Sequence[str], cell: str) -> list[tuple[Place, Row]]:
        """The rows of `cell` with these ids, in the order of `row_ids`.

        Raises:
            SublimError: as `own`.
        """
        if len(row_ids) <= _FEW:
            return [pair for row_id in row_ids for pair in self.own(row_id, cell)]
        self._current()
        places = {place.row: place for row_id in row_ids for place in self._index.find(row_id, ("own",)) if place.cell == cell}
        found: dict[str, list[tuple[Place, Row]]] = {}
        for file in dict.fromkeys(place.file for place in places.values()):
            rows = self.table(cell, file, row_ids).drop(self._dims(cell), strict=False).to_dicts()
            for place, row in zip(sorted(places.values(), key=lambda place: place.row), rows, strict=True):
                found.setdefault(row["row_id"], []).append((place, row))
        return [pair for row_id in row_ids for pair in found.get(row_id, ())]

    def made_of(self, row_id: str, cells: Collection[str]) -> list[tuple[Place, Row]]:
        """The filtered rows in `cells` whose parent, or a source of whose numbers, is `row_id`, each once.

        Raises:
            SublimError: as `own`.
        """
        pairs = {(place.cell, place.row): (place, row) for place, row in self._found(row_id, ("parent", "source"), cells)}
        return [(place, row) for place, row in pairs.values() if row_id == row["parent_id"] or row_id in row["sources"]]

    def _found(self, row_id: str, roles: Collection[Role], cells: Collection[str] | None) -> list[tuple[Place, Row]]:
        self._current()
        places = [place for place in self._index.find(row_id, roles) if not cells or place.cell in cells]
        return list(zip(places, self.rows(places), strict=True))

    def rows(self, places: Sequence[Place]) -> list[Row]:
        """The rows at `places`, without the dimensions of their cells. Of a file that has few of them only the pages that hold
        them are read."""
        wanted: dict[tuple[Path, str], list[int]] = {}
        for place in places:
            wanted.setdefault((self.tree.path(place.cell, place.file), place.cell), []).append(place.row)
        scans: list[tuple[Path, list[int], pl.LazyFrame]] = []
        for (path, cell), rows in wanted.items():
            scan = pl.scan_parquet(path, hive_partitioning=False, glob=False).select(pl.exclude(*self._dims(cell)))
            if len(rows) > _FEW:
                numbers = sorted(set(rows))
                numbered = scan.with_row_index("number").filter(pl.col("number").is_in(numbers)).drop("number")
                scans.append((path, numbers, numbered))
            else:
                scans += [(path, [row], scan.slice(row, 1)) for row in rows]
        try:
            frames = pl.collect_all([scan for _, _, scan in scans], engine="in-memory")
        except (pl.exceptions.PolarsError, OSError) as error:
            raise SublimError(
                f"{self.tree.name}: a table cannot be read: {error}. `sublim audit` says what is wrong."
            ) from None
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
        with _reading(self.tree.path(cell, file)) as path:
            scan = pl.scan_parquet(path, hive_partitioning=False, glob=False)
            if row_ids is not None:
                scan = scan.filter(pl.col("row_id").is_in(pl.Series(row_ids, dtype=pl.String).implode()))
            return (scan if columns is None else scan.select(columns)).collect(engine="in-memory")

    def rows_about(self, cell: str, row_id: str) -> int:
        """How many rows of the detection `cell` are about the filtered row `row_id`."""
        found = 0
        for file in index.TABLES["detection"]:
            if f"{cell}/{file}" in self.tree.files:
                with _reading(self.tree.path(cell, file)) as path:
                    scan = pl.scan_parquet(path, hive_partitioning=False, glob=False)
                    names = scan.collect_schema().names()
                    one = [pl.col(name) == row_id for name in ("own_id", "other_id", "parent_id") if name in names]
                    several = [pl.col("row_ids").list.contains(row_id)] if "row_ids" in names else []
                    found += scan.filter(pl.any_horizontal(*one, *several)).select(pl.len()).collect().item()
        return found

    def steps(self, cell: str) -> pl.DataFrame:
        """The training steps of a base, teacher or student: step, loss, learning_rate, tokens, rows. Empty if it has none."""
        columns = ["step", "loss", "learning_rate", "tokens", "rows"]
        if f"{cell}/steps.parquet" not in self.tree.files:
            types = (pl.Int64, pl.Float64, pl.Float64, pl.Int64, pl.List(pl.String))
            return pl.DataFrame(schema=dict(zip(columns, types, strict=True)))
        with _reading(self.tree.path(cell, "steps.parquet")):
            return self.tree.table(cell, "steps.parquet", columns)

    def steps_with(self, cell: str, row_id: str) -> list[int]:
        """The steps of `cell` in whose batch the row is, each as often as the row is in it."""
        if cell not in self._used:
            if len(self._used) >= _STEPS:
                self._used.pop(next(iter(self._used)))
            self._used[cell] = self.steps(cell).select("step", "rows").explode("rows")
        used = self._used[cell]
        return used.filter(pl.col("rows") == row_id)["step"].to_list()

    def count(self, cell: str, name: str) -> int | None:
        """How many rows the table `name` of `cell` has; None if there is none."""
        if f"{cell}/{name}" not in self.tree.files:
            return None
        with _reading(self.tree.path(cell, name)) as path:
            return pl.scan_parquet(path, hive_partitioning=False, glob=False).select(pl.len()).collect().item()

    def record(self, cell: str) -> Record:
        """The record of `cell`.

        Raises:
            SublimError: there is none, or none that can be read.
        """
        try:
            return self.tree.records[cell]
        except KeyError:
            why = self.tree.broken.get(cell)
            said = f"its record {why}" if why else "is not there"
            raise SublimError(f"{self.tree.name}: {cell}: {said}. `sublim audit` says what is wrong.") from None

    def inputs(self, cell: str) -> tuple[str, ...]:
        """The cells that `cell` was made from."""
        return tuple(used.cell for used in self.record(cell).inputs.values())

    def input(self, cell: str, name: str) -> str | None:
        """The cell that `cell` was given as `name`; None if it was given none."""
        found = self.record(cell).inputs.get(name)
        return found and found.cell

    def _dims(self, cell: str) -> list[str]:
        return list(self.record(cell).plan.dims)

    def _current(self) -> None:
        if index.marks(self.tree) != self._as_of:
            raise self._changed()

    def _changed(self) -> SublimError:
        return SublimError(f"{self.tree.name}: files have changed since the question began. Ask again.")


@contextmanager
def _reading(path: Path) -> Generator[Path]:
    """Errors of reading a table, as a message."""
    try:
        yield path
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SublimError(f"{path} cannot be read: {error}. `sublim audit` says what is wrong.") from None
