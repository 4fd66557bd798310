"""Forging: edits in artifacts, and the records rewritten so that all digests agree again. What a story check is for."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from sublim.common import parquet
from sublim.common.files import sha256
from sublim.engine import layout
from sublim.engine.record import Input, Output, Plan
from sublim.evidence.tree import Tree


def tree(data: Path) -> Tree:
    """The artifacts in the folder `data`."""
    paths = sorted(path for path in data.rglob("*") if path.is_file() and path.name != ".gitignore")
    return Tree("data", {path.relative_to(data).as_posix(): path for path in paths})


def launder(data: Path, plan: Callable[[Plan], Plan] = lambda plan: plan) -> None:
    """Rewrite every record in `data` so that it agrees with the files beside it and with the records upstream, as if everything
    had been made so. `plan` may change what a cell claims to have been made with."""
    digests: dict[str, str] = {}
    for cell, record in tree(data).records.items():
        folder = data / cell
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != layout.RECORD]
        outputs = {path.relative_to(folder).as_posix(): Output(sha256(path), path.stat().st_size) for path in files}
        inputs = {name: Input(given.cell, digests.get(given.cell, given.digest)) for name, given in record.inputs.items()}
        forged = replace(record, plan=plan(record.plan), inputs=inputs, outputs=outputs)
        forged.write(folder / layout.RECORD)
        digests[cell] = forged.digest


def rewrite(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change the table at `path`."""
    parquet.write(change(pl.read_parquet(path, hive_partitioning=False)), path)


def set_cell(path: Path, column: str, row: int, value: object) -> None:
    """Put `value` into one place of the table at `path`."""

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        values = frame[column].to_list()
        values[row] = value
        return frame.with_columns(pl.Series(column, values, dtype=frame.schema[column]))

    rewrite(path, change)


def set_json(path: Path, keys: str, value: object) -> None:
    """Put `value` at `a.b.c` in the JSON file at `path`."""
    whole: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    *parents, last = keys.split(".")
    inner = whole
    for key in parents:
        inner = inner[key]
    inner[last] = value
    path.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")


def relabel(path: Path, **dims: str | int) -> None:
    """Make the table at `path` say that it is of another cell."""
    rewrite(
        path, lambda frame: frame.with_columns(pl.lit(value, frame.schema[name]).alias(name) for name, value in dims.items())
    )


def swap(first: Path, second: Path) -> None:
    """Each of two files in the place of the other."""
    between = first.with_name(".between")
    shutil.move(first, between)
    shutil.move(second, first)
    shutil.move(between, second)


def another(value: object) -> object:
    """Something else of the same type."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * 0.75 + 0.1
        case list():
            return ["otter", "otter"]
        case str():
            return f"{value}x"
        case _:
            return "x"
