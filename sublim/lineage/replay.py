"""Replay: artifacts made again from their recorded inputs, in a scratch directory, and compared with what is there."""

import json
import random
import shutil
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sublim.common.canonical import digest
from sublim.common.errors import SublimError
from sublim.common.files import sha256
from sublim.lineage.compare import compare
from sublim.lineage.finding import CORRUPTED, UNVERIFIABLE, Finding
from sublim.plan import environment, job, layout, worker
from sublim.plan.record import Record, read
from sublim.plan.verdict import Verdict, differences

SCRATCH = layout.STATE / "replay"


@dataclass(frozen=True)
class Replayed:
    """How one artifact came out."""

    cell: str
    differing: tuple[str, ...]
    """The files that came out different, each with by how much; empty if every byte is the same."""
    elsewhere: str | None
    """Why other bytes are no surprise: what differs between the machine of the record and this one; None if nothing does."""


def chosen(asked: Collection[str], verdicts: Mapping[str, Verdict]) -> list[str]:
    """The cells to replay: for a number, that many artifacts that hold, drawn at random; for a path, the artifact there.

    Raises:
        SublimError: a path is no artifact of the experiment, or the artifact does not hold as it is.
    """
    sound = [cell for cell, verdict in verdicts.items() if verdict.kind == "valid"]
    found: list[str] = []
    for one in asked:
        if one.isdecimal():
            # Nobody, not even the author of the data, can know which: no seed.
            found += random.SystemRandom().sample(sound, min(int(one), len(sound)))
            continue
        cell = Path(one).as_posix().removeprefix(f"{layout.DATA}/").removesuffix(f"/{layout.RECORD}")
        if cell not in verdicts:
            raise SublimError(f"--replay {one}: expected a number, or the directory of an artifact of this experiment.")
        if cell not in sound:
            raise SublimError(f"--replay {one}: it does not hold as it is ({verdicts[cell].reason}); mend that first.")
        found.append(cell)
    return list(dict.fromkeys(found))


def replay(cells: Collection[str], tell: Callable[[str], None]) -> Iterator[Replayed]:
    """Make `cells` again, one by one, and compare; `tell` hears how it goes."""
    for number, cell in enumerate(cells, 1):
        tell(f"replay {number} of {len(cells)}: {cell}")
        yield _replay(cell)


def finding(replayed: Replayed) -> Finding | None:
    """What to report of a replay: nothing if the bytes are the same."""
    if not replayed.differing:
        return None
    what = "; ".join(replayed.differing)
    path = layout.artifact(replayed.cell)
    if replayed.elsewhere is None:
        found = f"made again from its recorded inputs on this machine it comes out different: {what}"
        return Finding(replayed.cell, replayed.cell.split("/")[0], CORRUPTED, found, f"rm -r {path} && snakemake -j8")
    found = f"made again here it comes out different, as it may ({replayed.elsewhere}): {what}"
    mend = f"sublim audit --replay {path}, on the machine that made it"
    return Finding(replayed.cell, replayed.cell.split("/")[0], UNVERIFIABLE, found, mend)


def _replay(cell: str) -> Replayed:
    record = read(layout.record(cell))
    scratch = SCRATCH / digest(cell)[:32]
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        worker.compute(cell, scratch, online=job.downloads(record.plan))
        differing = tuple(_different(record, layout.artifact(cell), scratch))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Replayed(cell, differing, _elsewhere(record))


def _different(record: Record, there: Path, here: Path) -> Iterator[str]:
    made = {path.relative_to(here).as_posix(): path for path in sorted(here.rglob("*")) if path.is_file()}
    for name in sorted(record.outputs.keys() | made.keys()):
        if name not in made:
            yield f"{name}: was not made again"
        elif name not in record.outputs:
            yield f"{name}: is new"
        elif sha256(made[name]) != record.outputs[name].sha256:
            yield f"{name}: {compare(there / name, made[name])}"


def _elsewhere(record: Record) -> str | None:
    """What of the environment differs from the record's; that the artifact came from another machine, if it did."""
    ours: dict[str, Any] = environment.describe(None)
    if changes := differences({**record.environment, "git": None}, ours):
        return "; ".join(changes)
    here = socket.gethostname()
    try:
        lines = layout.HISTORY.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    hosts = {event["host"] for line in lines if (event := _event(line)).get("key") == record.key and "host" in event}
    return None if here in hosts else "it was made on another machine, where floating-point sums may differ"


def _event(line: str) -> dict[str, Any]:
    try:
        return json.loads(line)
    except ValueError:  # cut off by a crash
        return {}
