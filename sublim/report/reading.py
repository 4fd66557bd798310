"""Tables of many artifacts as one, as reports read them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from sublim.common.table import Table


def read(
    inputs: Mapping[str, Path],
    stage: str,
    dims: Sequence[str],
    table: type[Table],
    columns: Sequence[str],
    *,
    optional: bool = False,
) -> pl.DataFrame:
    """A table of all cells of a stage in one scan: its dimensions and `columns`.

    Every row must carry the dimensions that its cell has, so that files put into the wrong place are found, not averaged.

    Args:
        inputs: cell, `STAGE/teacher=a/…/seed=1`, → its directory.
        stage: the stage, with the dimensions `dims`.
        table: the table, of which `columns` are read; null where a file lacks one that only some files have.
        optional: cells without the file are passed over.

    Raises:
        ValueError: no cell of the stage is there, a file is empty, or its rows carry other dimensions than its cell.
    """
    types: dict[str, Any] = {dim: pl.Int64 if dim == "seed" else pl.String for dim in dims}
    types |= {name: table.columns[name].type for name in columns}
    cells = {str(path / table.file): cell for cell, path in sorted(inputs.items()) if cell.startswith(f"{stage}/")}
    if optional:
        cells = {path: cell for path, cell in cells.items() if Path(path).exists()}
    if not cells:
        if optional:
            return pl.DataFrame(schema=types)
        raise ValueError(f"the report needs cells of the stage {stage}, its inputs have none: {sorted(inputs)[:5]}")
    some = any(table.columns[name].optional for name in columns)
    scan = pl.scan_parquet(
        list(cells),
        schema=types if some else None,
        missing_columns="insert" if some else "raise",
        extra_columns="ignore" if some else "raise",
        include_file_paths="file",
        hive_partitioning=False,
        glob=False,
    )
    frame = scan.select("file", *dims, *columns).collect(engine="in-memory")
    expected = pl.DataFrame([{"file": path, **dimensions(cell)} for path, cell in cells.items()])
    found = frame.select("file", *dims).unique()
    if len(strange := found.join(expected, on=["file", *dims], how="anti")):
        path, *values = strange.sort("file").row(0)
        carried = ", ".join(f"{dim} {value}" for dim, value in zip(dims, values, strict=True))
        raise ValueError(
            f"{path} is of the cell {cells[path]}, but has rows of {carried}: data were mixed up; remake that cell"
        )
    if len(empty := expected.join(found, on="file", how="anti")):
        raise ValueError(f"{empty['file'][0]} (cell {cells[empty['file'][0]]}) has no rows; remake that cell")
    return frame.drop("file")


def dimensions(cell: str) -> dict[str, str | int]:
    """`STAGE/teacher=a/seed=1` → `{"teacher": "a", "seed": 1}`."""
    pairs = (part.partition("=") for part in cell.split("/")[1:])
    return {name: int(value) if name == "seed" else value for name, _, value in pairs}
