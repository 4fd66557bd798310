"""A tree of artifacts to read: those in data/, those of a git revision by way of DVC's cache, or those of a bundle."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from sublim.common.errors import SublimError
from sublim.common.names import is_cell
from sublim.common.reading import reading
from sublim.engine import layout
from sublim.engine.record import Record, RecordError, read
from sublim.engine.stage import stages


@dataclass(frozen=True)
class Tree:
    """Artifacts and where their bytes are. Nothing is hashed here: the audit does that. Names out of records are looked up in
    `files` and never made into paths."""

    name: str  #: What a person calls it: `data`, a git revision, a bundle's file name.
    files: Mapping[str, Path]
    """Path under data/ → the file that holds the bytes, e.g. `base/model=a/record.json` → an object of a cache."""

    @cached_property
    def records(self) -> Mapping[str, Record]:
        """Cell → its record, stage by stage in the order of the pipeline, then by name. Unreadable ones are in `broken`."""
        return self._read[0]

    @cached_property
    def broken(self) -> Mapping[str, str]:
        """Cell → why its record cannot be read."""
        return self._read[1]

    @cached_property
    def consumers(self) -> Mapping[str, tuple[str, ...]]:
        """Cell → the cells that were made from it, in the order of `records`."""
        found: dict[str, list[str]] = {}
        for cell, record in self.records.items():
            for used in record.inputs.values():
                found.setdefault(used.cell, []).append(cell)
        return {cell: tuple(users) for cell, users in found.items()}

    def part(self, cells: Container[str]) -> "Tree":
        """The part of it that is `cells`."""
        return Tree(self.name, {file: path for file, path in self.files.items() if _cell(file) in cells})

    def path(self, cell: str, name: str) -> Path:
        """Where the file `name` of `cell` is. Raises SublimError: the tree does not hold it."""
        try:
            return self.files[f"{cell}/{name}"]
        except KeyError:
            raise SublimError(f"{self.name}: there is no {layout.DATA / cell / name}.") from None

    def table(self, cell: str, name: str, columns: list[str] | None = None) -> pl.DataFrame:
        """One Parquet table of one artifact, all columns or `columns`. Raises UnreadableError: it is none, or lacks one."""
        with reading(self.path(cell, name)) as path:
            return pl.read_parquet(path, columns=columns, hive_partitioning=False)

    def tables(self, stage: str, name: str, columns: Sequence[str]) -> pl.DataFrame:
        """The table `name` of all cells of `stage` in one scan: a column `cell` (Categorical), a column `row` (position in the
        file) and `columns`, cells in the order of `records`. Without rows if no cell has the table. Raises SublimError: a file
        cannot be read as such a table."""
        found = {str(self.files[f"{cell}/{name}"]): cell for cell in self.cells(stage) if f"{cell}/{name}" in self.files}
        if not found:
            return pl.DataFrame(schema={"cell": pl.Categorical, "row": pl.UInt32, **dict.fromkeys(columns, pl.Null)})
        read = (pl.read_parquet(path, columns=list(columns), hive_partitioning=False) for path in found)
        cells = (pl.lit(cell, dtype=pl.Categorical).alias("cell") for cell in found.values())
        try:
            each = (frame.with_row_index("row").select(cell, "row", *columns) for cell, frame in zip(cells, read, strict=True))
            return pl.concat(each)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise SublimError(f"{self.name}: a {name} of the stage {stage} cannot be read: {error}") from None

    def cells(self, stage: str) -> tuple[str, ...]:
        """The cells of `stage`."""
        return tuple(cell for cell, record in self.records.items() if record.plan.stage == stage)

    def upstream(self, cells: Iterable[str]) -> tuple[str, ...]:
        """`cells` and all that they were made from, in the order of the pipeline."""
        return self._beyond(cells, lambda cell: (used.cell for used in self.records[cell].inputs.values()))

    def downstream(self, cells: Iterable[str]) -> tuple[str, ...]:
        """`cells` and all that was made from them, in the order of the pipeline."""
        return self._beyond(cells, lambda cell: self.consumers.get(cell, ()))

    def _beyond(self, cells: Iterable[str], beside: Callable[[str], Iterable[str]]) -> tuple[str, ...]:
        found, waiting = set[str](), list(cells)
        while waiting:
            cell = waiting.pop()
            if cell not in found and cell in self.records:
                found.add(cell)
                waiting += beside(cell)
        return tuple(cell for cell in self.records if cell in found)

    @cached_property
    def _read(self) -> tuple[dict[str, Record], dict[str, str]]:
        records: dict[str, Record] = {}
        broken: dict[str, str] = {}
        for name, path in self.files.items():
            cell, _, file = name.rpartition("/")
            if file == layout.RECORD and not is_cell(cell):
                broken[cell] = "lies where no artifact can: expected it under `stage/dim=value/…`"
            elif file == layout.RECORD:
                try:
                    records[cell] = read(path)
                except (OSError, RecordError) as error:
                    broken[cell] = str(error)
        order = {stage: position for position, stage in enumerate(stages())}
        ranked = sorted(records, key=lambda cell: (order.get(records[cell].plan.stage, len(order)), cell))
        return {cell: records[cell] for cell in ranked}, broken


def _cell(file: str) -> str:
    """`stage/model=a/tokenizer.json` → `stage/model=a`. An artifact may have folders of its own inside."""
    name, *rest = file.split("/")
    stage = stages().get(name)
    return "/".join([name, *rest[:-1][: len(stage.dims) if stage else None]])


def working() -> Tree:
    """The artifacts in data/."""
    paths = sorted(path for path in layout.DATA.rglob("*") if path.is_file() and path.name != ".gitignore")
    return Tree(str(layout.DATA), {path.relative_to(layout.DATA).as_posix(): path for path in paths})
