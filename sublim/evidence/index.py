"""Where each row is: an index over the row ids of all tables, memory-mapped, made anew when a file it covers has changed.

Three arrays of the same length, sorted by the first: the first 15 hexadecimal digits of an id, the table and column that the id
stands in, the row there. Whoever reads a row compares the whole id, so a wrong index can only fail, not mislead.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sublim.common.canonical import digest
from sublim.common.table import Table
from sublim.engine import layout
from sublim.engine.stage import stages
from sublim.evidence.tree import Tree

FOLDER = layout.STATE / "index"
KEPT = 3
_STALE = 3600.0
FORMAT = 3
_DIGITS = 15  #: 60 bits: as many digits as always fit.


@dataclass(frozen=True)
class Place:
    """A row of a table, found by an id in it."""

    cell: str
    file: str
    row: int


@dataclass(frozen=True)
class Index:
    """The row ids of a tree, as found on the disk."""

    columns: Sequence[tuple[str, str, bool]]  #: (cell, file, whether the ids are the rows' own), as numbered in `places`.
    ids: NDArray[np.uint64]
    places: NDArray[np.uint32]
    rows: NDArray[np.uint32]

    def find(self, prefix: str, *, own: bool) -> Iterator[Place]:
        """Where ids stand, as the row's own or as those of rows that it came from, whose first 15 digits agree with `prefix` as
        far as it goes."""
        shift = 4 * max(_DIGITS - len(prefix), 0)
        low = int(prefix[:_DIGITS], 16) << shift
        start = int(np.searchsorted(self.ids, np.uint64(low)))
        end = int(np.searchsorted(self.ids, np.uint64(low + (1 << shift) - 1), side="right"))
        for position in range(start, end):
            cell, file, is_own = self.columns[int(self.places[position])]
            if is_own == own:
                yield Place(cell, file, int(self.rows[position]))


def tables(stage: str) -> Mapping[str, type[Table]]:
    """File → the table, of those of `stage` whose rows have an id."""
    return {table.file: table for table in (stages()[stage].tables if stage in stages() else ()) if table.id is not None}


def covered(tree: Tree) -> Mapping[tuple[str, str], type[Table]]:
    """(cell, file) → the table, of those whose rows are in the index."""
    return {
        (cell, file): table
        for cell, record in tree.records.items()
        for file, table in tables(record.plan.stage).items()
        if f"{cell}/{file}" in tree.files
    }


def marks(tree: Tree) -> list[tuple[int, ...]]:
    """Size, times and inode of each file that an index of `tree` covers, as they are now: as long as they stay, it is good."""
    stats = (tree.path(cell, file).stat() for cell, file in covered(tree))
    return [(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino) for stat in stats]


def identity(tree: Tree, found: Sequence[tuple[int, ...]]) -> str:
    """The name of the index of `tree` whose files have the marks `found`."""
    return digest([FORMAT, _columns(tree), list(found)])[:32]


def opened(tree: Tree, name: str, folder: Path = FOLDER) -> Index:
    """The index of `tree` as of the identity `name`: the one on the disk, or a new one, put there for the next time."""
    path, columns = folder / name, _columns(tree)
    try:
        ids, places, rows = (np.load(path / f"{part}.npy", mmap_mode="r") for part in ("ids", "places", "rows"))
        os.utime(path)
        return Index(columns, ids, places, rows)
    except (OSError, ValueError, EOFError):
        numbers = {column: number for number, column in enumerate(columns)}
    parts = [part for (cell, file), table in covered(tree).items() for part in _entries(tree, cell, file, table, numbers)]
    schema = {"id": pl.UInt64, "place": pl.UInt32, "row": pl.UInt32}
    # They stand in the order of files and rows, which a stable sort keeps.
    entries = (pl.concat(parts) if parts else pl.DataFrame(schema=schema)).sort("id", maintain_order=True)
    index = Index(columns, entries["id"].to_numpy(), entries["place"].to_numpy(), entries["row"].to_numpy())
    _save(index, path)
    return index


def _columns(tree: Tree) -> list[tuple[str, str, bool]]:
    return [(*file, own) for file, table in covered(tree).items() for own in ((True, False) if table.parents else (True,))]


def _entries(
    tree: Tree, cell: str, file: str, table: type[Table], numbers: Mapping[tuple[str, str, bool], int]
) -> Iterator[pl.DataFrame]:
    rows = tree.table(cell, file, [str(table.id), *table.parents]).with_row_index("row")
    columns = [(rows.select("row", id=str(table.id)), True)]
    texts = [name for name in table.parents if rows.schema[name] == pl.String]
    columns += [(rows.select("row", id=name), False) for name in texts]
    for ids in [pl.col(name) for name in table.parents if name not in texts]:
        # A row that has the numbers of its parent, and no others, is found by its parent.
        apart = rows.filter(*((ids.list.len() != 1) | (ids.list.first() != pl.col(text)) for text in texts))
        # A row that gave several numbers is named several times.
        columns.append((apart.select("row", id=ids.list.unique()).explode("id", empty_as_null=False), False))
    for found, own in columns:
        head = pl.col("id").str.head(_DIGITS).str.to_integer(base=16, dtype=pl.UInt64, strict=False)
        place = pl.lit(numbers[cell, file, own], dtype=pl.UInt32).alias("place")
        yield found.select(head, place, "row").drop_nulls("id")


def _save(index: Index, path: Path) -> None:
    """Put the index at `path` for later commands. It can be made again at any time, so a full disk is no reason to stop."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=path.parent))
        try:
            for part in ("ids", "places", "rows"):
                np.save(scratch / f"{part}.npy", getattr(index, part))
            shutil.rmtree(path, ignore_errors=True)
            scratch.replace(path)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        others = sorted(path.parent.iterdir(), key=lambda other: -other.stat().st_mtime)
        unfinished = [other for other in others if other.name.startswith(".") and time.time() - other.stat().st_mtime > _STALE]
        for old in [*[other for other in others if not other.name.startswith(".")][KEPT:], *unfinished]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError:
        return
