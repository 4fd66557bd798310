"""Parquet with the same bytes for the same rows."""

from pathlib import Path

import polars as pl


def write(frame: pl.DataFrame, path: Path) -> None:
    """Write `frame`, in the order of its rows, as one Parquet file whose bytes depend on the rows and the schema alone.

    Rechunked first: polars writes several chunks as several row groups, and the same rows would give other bytes.
    """
    frame.rechunk().write_parquet(path, compression="zstd", compression_level=3, statistics=True, row_group_size=1 << 17)
