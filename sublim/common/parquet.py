"""Parquet with the same bytes for the same rows."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from sublim.common.table import Table


def write(frame: pl.DataFrame, path: Path) -> None:
    """Write `frame`, in the order of its rows, as one Parquet file whose bytes depend on the rows and the schema alone.

    Rechunked first: polars writes several chunks as several row groups, and the same rows would give other bytes.
    """
    frame.rechunk().write_parquet(path, compression="zstd", compression_level=3, statistics=True, row_group_size=1 << 17)


def write_tables(made: Mapping[type[Table], pl.DataFrame], dims: Mapping[str, str | int], folder: Path) -> None:
    """Write tables of the cell with `dims` into `folder`: their columns in order, optional ones if `made` has them,
    and the dimensions in front, so that a table tells what it is wherever it goes."""
    for table, frame in made.items():
        own = frame.select(*table.schema(frame.columns))
        write(with_dims(own, **dims) if table.dims else own, folder / table.file)


def by_table(tables: Iterable[type[Table]], frames: Mapping[str, pl.DataFrame]) -> dict[type[Table], pl.DataFrame]:
    """Those of `tables` that are among `frames`, which go by the names of files without their endings."""
    return {table: frames[name] for table in tables if (name := Path(table.file).stem) in frames}


def with_dims(frame: pl.DataFrame, **dims: str | int) -> pl.DataFrame:
    """`frame` with a constant column per dimension in front: text as String, seeds as Int64."""
    types = {name: pl.Int64 if isinstance(value, int) else pl.String for name, value in dims.items()}
    return frame.select(*(pl.lit(value, dtype=types[name]).alias(name) for name, value in dims.items()), pl.all())
