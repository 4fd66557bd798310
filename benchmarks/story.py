"""How long the story checks take beside hashing the same files, on a synthetic experiment of any size.

    python -m benchmarks.story [ROWS [FOLDER]]

FOLDER is built if it is empty, and kept if it was given.
"""

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # as in `sublim audit`

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import synthetic
from sublim.common.files import sha256
from sublim.engine.digests import Digests
from sublim.engine.planning import cells, experiment
from sublim.engine.stage import stages
from sublim.evidence.tree import working
from sublim.lineage.story import story


def measure(folder: Path, rows: int) -> None:
    """Build the experiment in `folder` unless it is there, and print seconds (wall clock and CPU)."""
    if not (folder / "data" / "overview" / "record.json").exists():
        started = time.perf_counter()
        synthetic.build(folder, rows)
        print(f"built in {time.perf_counter() - started:.0f} s")
    os.chdir(folder)
    with Timed("planning (the verdict does it before any story is checked)"):
        cells(experiment(Path("params.yaml")), Digests(Path("no cache")))
    with Timed("reading the records"):
        tree = working()
        count = len(tree.records)
    size = sum(path.stat().st_size for path in tree.files.values())
    with Timed(f"sha256 of {len(tree.files):,} files, {size / 1e6:,.0f} MB"):
        for path in tree.files.values():
            sha256(path)
    proven = Path("proven.json")
    proven.unlink(missing_ok=True)
    for when in ("first", "again"):
        with Timed(f"the story of {count} artifacts, {when}"):
            findings = story.check(tree, tuple(stages()), proven)
        for finding in findings:
            print(f"  {finding.artifact}: {finding.found}")
    for stage in stages():
        with Timed(f"  {stage} alone"):
            story.check(tree, (stage,), None)


class Timed:
    """Prints how long a block took."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        self._started = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        wall, cpu = time.perf_counter() - self._started[0], time.process_time() - self._started[1]
        print(f"{self._what}: {wall:.2f} s ({cpu:.2f} s CPU)", flush=True)


if __name__ == "__main__":
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    if len(sys.argv) > 2:
        measure(Path(sys.argv[2]), size)
    else:
        with TemporaryDirectory() as temporary:
            measure(Path(temporary), size)
