"""Where each row is: an index over the row ids of all tables, memory-mapped, made anew when a file it covers has changed.

Three arrays of the same length, sorted by the first: the first 15 hexadecimal digits of an id, the table and column that the id
stands in, the row there. Whoever reads a row compares the whole id, so a wrong index can only fail, not mislead.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sublim.common.canonical import digest
from sublim.lineage.tree import Tree
from sublim.plan import layout

Role = Literal["own", "parent", "source"]
_ROLES: tuple[Role, ...] = ("own", "parent", "source")
COLUMNS: dict[Role, str] = {"own": "row_id", "parent": "parent_id", "source": "sources"}
TABLES: dict[str, tuple[str, ...]] = {
    "base": ("corpus.parquet",),
    "teacher": ("rows.parquet", "freeform.parquet"),
    "raw": ("rows.parquet",),
    "filtered": ("rows.parquet",),
    "eval": ("answers.parquet", "samples.parquet"),
    "theory": ("nets.parquet", "theorem.parquet"),
    "detection": ("pairs.parquet", "scores.parquet", "context.parquet", "shown.parquet", "quiz.parquet"),
}
"""Stage → its tables whose rows have an id of their own. Free-form answers of an evaluation are among its samples."""

FOLDER = layout.STATE / "index"
KEPT = 3
_STALE = 3600.0
FORMAT = 2
_DIGITS = 15
"""60 bits: as many digits as always fit."""


@dataclass(frozen=True)
class Place:
    """A row of a table, found by an id in it."""

    cell: str
    file: str
    row: int
    role: Role
    """Whether the id is the row's own, that of the row it came from, or that of a row whose numbers it has."""


@dataclass(frozen=True)
class Index:
    """The row ids of a tree, as found on the disk."""

    columns: Sequence[tuple[str, str, Role]]
    """(cell, file, role), as numbered in `places`."""
    ids: NDArray[np.uint64]
    places: NDArray[np.uint32]
    rows: NDArray[np.uint32]

    def find(self, prefix: str, roles: Collection[Role]) -> Iterator[Place]:
        """Where ids stand, in one of the `roles`, whose first 15 digits agree with `prefix` as far as it goes."""
        shift = 4 * max(_DIGITS - len(prefix), 0)
        low = int(prefix[:_DIGITS], 16) << shift
        start = int(np.searchsorted(self.ids, np.uint64(low)))
        end = int(np.searchsorted(self.ids, np.uint64(low + (1 << shift) - 1), side="right"))
        for position in range(start, end):
            cell, file, role = self.columns[int(self.places[position])]
            if role in roles:
                yield Place(cell, file, int(self.rows[position]), role)


def marks(tree: Tree) -> list[tuple[int, ...]]:
    """Size, times and inode of each file that an index of `tree` covers, as they are now: as long as they stay, it is good."""
    return [_mark(tree.path(cell, file)) for cell, file in covered(tree)]


def identity(tree: Tree, found: Sequence[tuple[int, ...]]) -> str:
    """The name of the index of `tree` whose files have the marks `found`."""
    names = [f"{cell}/{file}" for cell, file in covered(tree)]
    return digest([FORMAT, names, list(found)])[:32]


def covered(tree: Tree) -> list[tuple[str, str]]:
    """The (cell, file) whose rows are in the index."""
    return [
        (cell, file)
        for cell, record in tree.records.items()
        for file in TABLES.get(record.plan.stage, ())
        if f"{cell}/{file}" in tree.files
    ]


def opened(tree: Tree, name: str, folder: Path = FOLDER) -> Index:
    """The index of `tree` as of the identity `name`: the one on the disk, or a new one, put there for the next time."""
    path = folder / name
    columns: list[tuple[str, str, Role]] = [
        (cell, file, role)
        for cell, file in covered(tree)
        for role in (_ROLES if tree.records[cell].plan.stage == "filtered" else _ROLES[:1])
    ]
    try:
        ids, places, rows = (np.load(path / f"{part}.npy", mmap_mode="r") for part in ("ids", "places", "rows"))
        os.utime(path)
        return Index(columns, ids, places, rows)
    except (OSError, ValueError, EOFError):
        index = build(tree, columns)
    _save(index, path)
    return index


def build(tree: Tree, columns: Sequence[tuple[str, str, Role]]) -> Index:
    """The index over `columns`, made from the files."""
    numbers = {column: number for number, column in enumerate(columns)}
    files = dict.fromkeys((cell, file) for cell, file, _ in columns)
    parts = [part for cell, file in files for part in _entries(tree, cell, file, numbers)]
    schema = {"id": pl.UInt64, "place": pl.UInt32, "row": pl.UInt32}
    # They stand in the order of files and rows, which a stable sort keeps.
    entries = (pl.concat(parts) if parts else pl.DataFrame(schema=schema)).sort("id", maintain_order=True)
    return Index(columns, entries["id"].to_numpy(), entries["place"].to_numpy(), entries["row"].to_numpy())


def _entries(tree: Tree, cell: str, file: str, numbers: Mapping[tuple[str, str, Role], int]) -> Iterator[pl.DataFrame]:
    roles: list[Role] = [role for role in _ROLES if (cell, file, role) in numbers]
    table = tree.table(cell, file, [COLUMNS[role] for role in roles]).with_row_index("row")
    for role in roles:
        found = table.select("row", pl.col(COLUMNS[role]).alias("id"))
        if role == "source":
            # A row that has its parent's numbers, and no others, is found by its parent.
            apart = (pl.col("sources").list.len() != 1) | (pl.col("sources").list.first() != pl.col("parent_id"))
            # A source that gave several numbers is named several times.
            found = table.filter(apart).select("row", pl.col("sources").list.unique().alias("id")).explode("id")
        head = pl.col("id").str.head(_DIGITS).str.to_integer(base=16, dtype=pl.UInt64, strict=False)
        place = pl.lit(numbers[cell, file, role], dtype=pl.UInt32).alias("place")
        yield found.select(head, place, "row").drop_nulls("id")


def _save(index: Index, path: Path) -> None:
    """Put the index at `path` for later commands. It can be made again at any time, so a full disk is no reason to stop."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=path.parent))
        try:
            for part, array in (("ids", index.ids), ("places", index.places), ("rows", index.rows)):
                np.save(scratch / f"{part}.npy", array)
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


def _mark(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
