"""What a Parquet file of an artifact holds, said once: a class per file, a column per attribute.

    class Rows(Table, file="rows.parquet", view="raw", id="row_id"):
        "One row per prompt."

        prompt = text()  #: What was asked.

The comments (`#:`, as Sphinx reads them; a long one stands above) are for people (docs/tables.md) and in no code digest. Not
dataframely: its import costs every job 90 ms, its failures are not told as ours are (expected, found, where), and its
descriptions are arguments, so that a better sentence would make artifacts stale.
"""

import inspect
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl


@dataclass(frozen=True)
class Column:
    """A column: its polars type, and whether it may be null."""

    type: Any
    null: bool = False
    optional: bool = False
    """Whether only some files have it, those whose rows it says something of: one that came later, or all files that were there
    before would have other bytes."""


def text(*, null: bool = False) -> Column:
    """Text."""
    return Column(pl.String, null)


def whole(*, null: bool = False) -> Column:
    """A whole number, 64 bits."""
    return Column(pl.Int64, null)


def real(*, null: bool = False, optional: bool = False) -> Column:
    """A real number, finite."""
    return Column(pl.Float64, null, optional)


def flag(*, null: bool = False, optional: bool = False) -> Column:
    """Yes or no."""
    return Column(pl.Boolean, null, optional)


def seed() -> Column:
    """A sampling seed, 64 bits without a sign."""
    return Column(pl.UInt64)


def texts() -> Column:
    """A list of texts."""
    return Column(pl.List(pl.String))


def wholes() -> Column:
    """A list of whole numbers."""
    return Column(pl.List(pl.Int64))


class Table:
    """A Parquet file of an artifact. In front of its columns stand the dimensions of the cell, unless `dims` is false."""

    file: ClassVar[str] = ""  #: Its name.
    view: ClassVar[str | None] = None  #: What `sublim sql` calls the table of all cells; None for none.
    id: ClassVar[str | None] = None  #: The column with the id of a row; None if rows have none.
    parents: ClassVar[tuple[str, ...]] = ()  #: Columns with ids of the rows, of other tables, that a row came from.
    dims: ClassVar[bool] = True  #: Whether the dimensions of the cell stand in front.
    row: ClassVar[str] = "row"  #: What a row of it is, in a word or two.
    columns: ClassVar[Mapping[str, Column]] = {}

    def __init_subclass__(cls, **about: Any) -> None:
        """Collect the columns, those of a base class first."""
        super().__init_subclass__()
        for name, value in about.items():
            setattr(cls, name, value)
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Column)}
        cls.columns = {**cls.columns, **own}

    @classmethod
    def schema(cls, also: Collection[str] = ()) -> dict[str, Any]:
        """Column → polars type, of the columns that every file has, and of the optional ones in `also`."""
        return {name: column.type for name, column in cls.columns.items() if not column.optional or name in also}

    @classmethod
    def nullable(cls) -> tuple[str, ...]:
        """The columns that may be null."""
        return tuple(name for name, column in cls.columns.items() if column.null)

    @classmethod
    def empty(cls) -> pl.DataFrame:
        """The table without rows."""
        return pl.DataFrame(schema=cls.schema())

    @classmethod
    def about(cls) -> str:
        """What it holds, in a sentence or two."""
        return " ".join((inspect.getdoc(cls) or "").split())

    @classmethod
    def sentences(cls) -> dict[str, str]:
        """Column → what it is, in a sentence: the comment behind it or above it."""
        found: dict[str, str] = {}
        for each in reversed(cls.__mro__[: cls.__mro__.index(Table)]):
            above: list[str] = []
            for line in inspect.getsource(each).splitlines():
                match = re.match(r"    (?:(\w+) = \w.*?)?(?:#: (.*))?$", line)
                name, sentence = match.groups() if match else (None, None)
                if sentence and not name:
                    above.append(sentence)
                elif name:
                    found[name] = " ".join([*above, sentence or ""]).strip()
                    above = []
        return {name: found[name] for name in cls.columns if found.get(name)}
