"""How fast rows are traced, beside plain DuckDB on the same files.

    python -m benchmarks.lineage FOLDER [ROWS]

Builds a synthetic experiment of ROWS raw rows (1,000,000) in FOLDER, unless one is there. Prints the time to make the index,
then for each kind of row the median and the slowest of 20 look-ups in a kept `Trace` (warm) and the whole command (cold).
"""

import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import duckdb
import polars as pl

from benchmarks.synthetic import build
from sublim.evidence import index
from sublim.evidence.tree import working
from sublim.lineage.trace.trace import Trace

T = TypeVar("T")
LOOKUPS = 20
COMMANDS = 3
KINDS = {
    "raw row": "raw/*/*/*/*/rows.parquet",
    "filtered row": "filtered/*/*/*/*/arm=trait/*/rows.parquet",
    "row shuffled across": "filtered/*/*/*/*/arm=shuffled_across/*/rows.parquet",
    "teacher's row": "teacher/*/*/*/rows.parquet",
    "sampled answer": "eval/*/*/*/*/arm=trait/*/*/*/samples.parquet",
}


def main(folder: Path, rows: int) -> None:
    """Print the table."""
    if not (folder / "data" / "overview" / "record.json").exists():
        build(folder, rows)
    os.chdir(folder)
    files = sorted(Path("data").rglob("*.parquet"))
    raw = pl.scan_parquet("data/raw/*/*/*/*/rows.parquet", hive_partitioning=False).select(pl.len()).collect().item()
    print(f"{raw:,} raw rows, {len(files):,} Parquet files, {len(os.sched_getaffinity(0))} cores")
    shutil.rmtree(index.FOLDER, ignore_errors=True)
    trace, seconds = _timed(lambda: Trace(working()))
    _, read = _timed(lambda: trace.tree.consumers)
    _, made = _timed(lambda: trace.reader.own("0" * 32))
    print(f"tree {seconds + read:.2f} s, index made in {made:.2f} s; found on the disk in {_timed(_opened)[1]:.2f} s")
    print(f"{'':22} {'lineage, warm':>18} {'impact, warm':>18} {'duckdb, one row':>18} {'duckdb, the chain':>18}")
    connection = duckdb.connect()
    for kind, pattern in KINDS.items():
        chosen = _rows(pattern)
        some = chosen[: LOOKUPS // 4]
        up = [_timed(partial(trace.lineage, [row]))[1] for row in chosen]
        down = [_timed(partial(trace.impact, [row]))[1] for row in chosen]
        plain = [_timed(partial(_find, connection, pattern, row))[1] for row in some]
        chain = [_timed(partial(_chain, connection, row))[1] for row in some] if "filtered" in pattern else []
        print(f"{kind:22} {_said(up):>18} {_said(down):>18} {_said(plain):>18} {_said(chain):>18}")
    row = _rows(KINDS["filtered row"])[0]
    for question in ("lineage", "impact"):
        command = [sys.executable, "-m", "sublim", question, row]
        ask = partial(subprocess.run, command, check=True, capture_output=True)
        times = [_timed(ask)[1] for _ in range(COMMANDS)]
        print(f"whole command, {question} of a filtered row: {min(times):.2f} s")


def _opened() -> None:
    Trace(working()).reader.own("0" * 32)


def _rows(pattern: str) -> list[str]:
    choose = random.Random(1)  # noqa: S311
    paths = choose.choices(sorted(Path("data").glob(pattern)), k=LOOKUPS)
    found: list[str] = []
    for path in paths:
        rows = pl.read_parquet(path, hive_partitioning=False)
        ids = (rows.filter("used") if "used" in rows.columns else rows)["row_id"]
        found.append(ids[choose.randrange(len(ids))])
    return found


def _find(connection: duckdb.DuckDBPyConnection, pattern: str, row: str) -> tuple[object, ...]:
    """One row by its id, all files of the stage read."""
    (found,) = connection.execute(f"from read_parquet('data/{pattern}') where row_id = ?", [row]).fetchall()
    return found


def _chain(connection: duckdb.DuckDBPyConnection, row: str) -> None:
    """A filtered row and its raw rows, as one would ask by hand."""
    filtered = "read_parquet('data/filtered/*/*/*/*/*/*/rows.parquet')"
    wanted = f"select list_append(sources, parent_id) from {filtered} where row_id = ?"  # noqa: S608
    sources = connection.execute(wanted, [row]).fetchall()
    raw = "read_parquet('data/raw/*/*/*/*/rows.parquet')"
    connection.execute(f"from {raw} where row_id in (select unnest(?))", [sources[0][0]]).fetchall()


def _timed(what: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    found = what()
    return found, time.perf_counter() - start


def _said(times: list[float]) -> str:
    return f"{1000 * statistics.median(times):,.0f} ms (≤ {1000 * max(times):,.0f})" if times else ""


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)
