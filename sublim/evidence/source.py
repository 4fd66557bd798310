"""The artifacts of a tree as the checks read them: params as models, tables as their classes say. What cannot be read is an
`UnfitError`, never a traceback: a file may be anything."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar, cast

import polars as pl
from pydantic import ValidationError

from sublim.common.table import Table
from sublim.engine import layout
from sublim.engine.record import Record
from sublim.engine.stage import stages
from sublim.evidence.accident import UnfitError, constant
from sublim.evidence.finding import UNVERIFIABLE
from sublim.evidence.tree import Tree
from sublim.params.slice import CellParams

P = TypeVar("P", bound=CellParams)
T = TypeVar("T")

_HELD = 8  #: How many whole tables are kept at a time: artifacts that have one in common are checked one after the other.


@dataclass(frozen=True)
class Source:
    """What the checks of one audit read, and what several of them need computed once."""

    tree: Tree
    unsound: set[str] = field(default_factory=lambda: set[str]())
    """The cells in which something was found: what was made from them is not compared with them, mending them comes first."""
    looked_at: set[tuple[str, str]] = field(default_factory=lambda: set[tuple[str, str]]())
    """Cell and table of all that were read: a table that no check has reason to read does not follow from the params."""
    _results: dict[tuple[object, ...], Any] = field(default_factory=lambda: dict[tuple[object, ...], Any]())
    _tables: dict[tuple[object, ...], Any] = field(default_factory=lambda: dict[tuple[object, ...], Any]())
    _lock: RLock = field(default_factory=RLock, compare=False)

    def record(self, cell: str) -> Record:
        """The record of `cell`, which is in the tree."""
        return self.tree.records[cell]

    def params(self, cell: str, slice_: type[P]) -> P:
        """What the record of `cell` says that it was made with, checked against its dimensions."""
        plan = self.record(cell).plan
        try:
            params = slice_.model_validate_json(json.dumps(plan.params))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UnfitError("params", f"expected params of the stage {plan.stage}, found {where}: {first['msg']}") from None
        for name in {**params.dims, **plan.dims}:
            given, value = params.dims.get(name), plan.dims.get(name)
            if given != value:
                raise UnfitError("params", f"{name}: expected that of the artifact, {value!r}, found {given!r}")
        return params

    def has(self, cell: str, name: str) -> bool:
        """Whether the tree holds the file `name` of `cell`."""
        return f"{cell}/{name}" in self.tree.files

    def path(self, cell: str, name: str) -> Path:
        """Where the file `name` of `cell` is."""
        try:
            return self.tree.files[f"{cell}/{name}"]
        except KeyError:
            raise UnfitError("files", f"expected {name}, found none in {self.tree.name}", UNVERIFIABLE) from None

    def json(self, cell: str, name: str) -> dict[str, Any]:
        """The JSON object in the file `name` of `cell`."""
        try:
            found: object = json.loads(self.path(cell, name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise UnfitError("files", f"expected JSON in {name}, found none ({error})") from None
        if not isinstance(found, dict):
            raise UnfitError("files", f"expected a JSON object in {name}, found {type(found).__name__}")
        return cast("dict[str, Any]", found)

    def table(
        self, cell: str, table: type[Table], nullable: Collection[str] | None = None, also: Collection[str] = ()
    ) -> pl.DataFrame:
        """The table of `cell` without the columns of its dimensions, which are checked here, like its columns' names, types and
        gaps. `nullable`: the columns that may have gaps, if other ones than the class says; `also`: the optional columns that
        are to be there."""
        name, schema = table.file, table.schema(also)
        allowed = table.nullable() if nullable is None else nullable
        path = self.path(cell, name)
        self.looked_at.add((cell, name))
        try:
            frame = pl.read_parquet(path, hive_partitioning=False)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            said = str(error).splitlines() or [type(error).__name__]
            raise UnfitError("tables", f"{name} cannot be read: {said[0]}") from None
        dims = self.record(cell).plan.dims if table.dims else {}
        types = {dim: pl.Int64 if isinstance(value, int) else pl.String for dim, value in dims.items()}
        _check_schema(name, frame.schema, pl.Schema({**types, **schema}))
        for column, count in frame.null_count().row(0, named=True).items():
            if count and column not in allowed:
                raise UnfitError("tables", f"{name}: expected a {column} in every row, found none in {count:,} rows")
        for column in [column for column, type_ in frame.schema.items() if type_ == pl.List(pl.String)]:
            if frame[column].explode(empty_as_null=False).null_count():
                raise UnfitError("tables", f"{name}: expected text in the lists of {column}, found nothing in some")
        floats = [column for column, type_ in frame.schema.items() if type_ == pl.Float64]
        # All in one go: most tables are small, and asking polars takes longer than the answer.
        whole = frame.select(
            *(pl.col(column).is_finite().all() for column in floats),
            *((pl.col(dim) == value).all() for dim, value in dims.items()),
        ).row(0, named=True)
        for column in floats:
            if not whole[column]:
                raise UnfitError("tables", f"{name}: expected finite numbers in {column}, found others")
        for dim, value in dims.items():
            for wrong in () if whole[dim] else constant("dimensions", f"{dim} in {name}", value, frame[dim]):
                raise UnfitError(wrong.kind, wrong.text)
        return frame.select(*schema)

    def upstream(self, cell: str, name: str) -> str | None:
        """The cell that is the input `name` of `cell`, if the tree holds it as it was when `cell` was made from it. If it does
        not, that is for the check of bytes and plans to say. An unsound one is as good as none, unless it `repeats` numbers of
        others: what repeats these once more must repeat them, whether they are right or wrong."""
        given = self.record(cell).inputs.get(name)
        if given is None or given.cell not in self.tree.records or (given.cell in self.unsound and not repeats(given.cell)):
            return None
        return given.cell if self.record(given.cell).digest == given.digest else None

    def once(self, key: tuple[object, ...], compute: Callable[[], T]) -> T:
        """What `compute` gives, computed once for `key`. For small things that many artifacts need."""
        with self._lock:
            if key not in self._results:
                self._results[key] = compute()
            return self._results[key]

    def held(self, key: tuple[object, ...], compute: Callable[[], T]) -> T:
        """What `compute` gives, computed once while `key` is among the last that were asked for. For whole tables."""
        with self._lock:
            if key in self._tables:
                self._tables[key] = self._tables.pop(key)
                return cast("T", self._tables[key])
        found = compute()
        with self._lock:
            self._tables[key] = found
            if len(self._tables) > _HELD:
                self._tables.pop(next(iter(self._tables)))
        return found


def repeats(cell: str) -> bool:
    """Whether `cell` holds numbers of the cells that it was made from once more, so that it is checked after all of these."""
    stage = stages().get(cell.partition("/")[0])
    return stage is not None and stage.repeats


def recorded_path(cell: str) -> str:
    """How an artifact is called in files that name it: relative to the experiment, wherever the tree is."""
    return layout.artifact(cell).as_posix()


def _check_schema(name: str, found: pl.Schema, expected: pl.Schema) -> None:
    if found == expected:
        return
    missing = [column for column in expected if column not in found]
    strange = [column for column in found if column not in expected]
    both = [(column, type_, expected[column]) for column, type_ in found.items() if column in expected]
    other = [f"{column} as {type_} instead of {due}" for column, type_, due in both if due != type_]
    said = [f"no {', '.join(missing)}"] * bool(missing) + [f"also {', '.join(strange)}"] * bool(strange) + other
    columns = f"expected the columns {', '.join(expected)}"
    raise UnfitError("tables", f"{name}: {columns}, found {'; '.join(said) or 'them in another order'}")
