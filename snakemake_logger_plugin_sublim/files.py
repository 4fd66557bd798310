"""What the summary reads: heartbeats, the history, ends of logs. Nothing is found where there is nothing to read.

The paths are those of sublim/engine/layout.py, which must not be imported here: Snakemake loads this package before the
Snakefile says which sublim is meant.
"""

import json
import os
from collections import Counter
from pathlib import Path

PROGRESS = Path(".sublim/progress")
PLANNED = Path(".sublim/plan/experiment.json")
HISTORY = Path(".sublim/history.jsonl")
OVERVIEW = Path("data/overview/overview.html")
LOG_BYTES = 100_000


def heartbeat(root: Path, cell: str, since: float) -> str:
    """What the job of `cell` last said, unless that was before `since` (a killed run leaves its heartbeats)."""
    path = root / PROGRESS / f"{cell.replace('/', '+')}.json"
    try:
        return "" if path.stat().st_mtime < since else " ".join(str(json.loads(path.read_bytes())["line"]).split())
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def homeless() -> None:
    """Give Snakemake's cache a place in the experiment where there can be none in the home of the user: it begins by making
    that folder, and would end there."""
    try:
        (Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "snakemake").mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        os.environ["XDG_CACHE_HOME"] = os.fspath(Path(".sublim/cache").absolute())


def stages(root: Path) -> tuple[str, ...]:
    """The stages of what is planned, in the order of the pipeline."""
    try:
        return tuple(map(str, json.loads((root / PLANNED).read_bytes())["stages"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()


def size(path: Path) -> int:
    """Bytes of a file; 0 if it does not exist."""
    return path.stat().st_size if path.is_file() else 0


def actions(root: Path, start: int) -> Counter[str]:
    """How often a job `computed`, `restored` or found `valid`, as the history says from byte `start` on."""
    found: Counter[str] = Counter()
    for line in _end(root / HISTORY, start).splitlines():
        try:
            found[json.loads(line)["action"]] += 1
        except (ValueError, KeyError, TypeError):
            continue  # a line that a crash cut off
    return found


def tail(path: Path, count: int) -> list[str]:
    """The last lines of a log, fit for a terminal: a stranger may have written what is in it."""
    lines = _end(path, max(0, size(path) - LOG_BYTES)).splitlines()[-count:]
    return ["".join(each if each == "\t" or each.isprintable() else ascii(each)[1:-1] for each in line) for line in lines]


def _end(path: Path, start: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")
    except OSError:
        return ""
