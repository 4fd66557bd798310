"""Replay: artifacts made again from their recorded inputs, in a scratch directory, and compared with what is there."""

import json
import random
import shutil
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sublim.common.canonical import digest
from sublim.common.errors import SublimError
from sublim.common.files import sha256
from sublim.engine import environment, layout, worker
from sublim.engine.record import Record, read
from sublim.engine.verdict import Verdict, differences
from sublim.evidence.finding import CORRUPTED, UNVERIFIABLE, Finding
from sublim.evidence.tree import working
from sublim.lineage.compare import compare
from sublim.lineage.naming import artifact

SCRATCH = layout.STATE / "replay"


@dataclass(frozen=True)
class Replayed:
    """How one artifact came out."""

    cell: str
    digest: str  #: Digest over the files that its record names.
    differing: tuple[str, ...]
    """The files that came out different, each with by how much; empty if every byte is the same."""
    elsewhere: str | None
    """Why other bytes are no surprise: what differs between the machine of the record and this one; None if nothing does."""


def chosen(asked: Collection[str], verdicts: Mapping[str, Verdict]) -> dict[str, bool]:
    """The cells to replay, and whether each may use the network: for a number, that many artifacts that hold, drawn at random;
    for anything else, the artifact that it names (`naming.artifact`). Raises SublimError: it names no artifact of the
    experiment, or the artifact does not hold as it is."""
    sound = [cell for cell, verdict in verdicts.items() if verdict.kind == "valid"]
    here = cache(lambda: working().part(verdicts))  # a walk through all of data/
    found: list[str] = []
    for one in asked:
        if one.isdecimal() and len(one) < 6:  # else it may be a digest
            # Nobody, not even the author of the data, can know which: no seed.
            found += random.SystemRandom().sample(sound, min(int(one), len(sound)))
            continue
        cell = artifact(one.split(), here(), tuple(verdicts))
        if cell not in sound:
            raise SublimError(f"--replay {one}: it does not hold as it is ({verdicts[cell].reason}); mend that first.")
        found.append(cell)
    return {cell: verdicts[cell].cell.online for cell in found}


def replay(cells: Mapping[str, bool], tell: Callable[[str], None]) -> Iterator[Replayed]:
    """Make `cells` (cell → whether it may use the network) again, one by one, and compare; `tell` hears how it goes."""
    for number, (cell, online) in enumerate(cells.items(), 1):
        tell(f"replay {number} of {len(cells)}: {cell}")
        yield _replay(cell, online=online)


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


def _replay(cell: str, *, online: bool) -> Replayed:
    record = read(layout.record(cell))
    scratch = SCRATCH / digest(cell)[:32]
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        worker.compute(cell, [given.cell for given in record.inputs.values()], scratch, online=online)
        differing = tuple(_different(record, layout.artifact(cell), scratch))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Replayed(cell, record.digest, differing, _elsewhere(record))


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
    except (OSError, UnicodeDecodeError):  # it is of no consequence: a hint is lost
        lines = []
    keys = {record.key, *(each.key for each in record.adopted)}
    hosts = {event["host"] for line in lines if (event := _event(line)).get("key") in keys and "host" in event}
    return None if here in hosts else "it was made on another machine, where floating-point sums may differ"


def _event(line: str) -> dict[str, Any]:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):  # cut off by a crash
        return {}
