"""Which GPU a computation runs on: a lease per device, good for all experiments of a user on this machine.

PyTorch takes device 0 in every process, and Snakemake counts GPUs without naming any. So a computation takes a lease in its
job, before anything touches CUDA, and sees no other device. A lease is a lock on files, one for each seat of a device; it dies
with the last process that has it open: the job, and the child that computes for it. A small model takes one seat, any other the
whole device. What is restored takes none.
"""

import fcntl
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import IO

from sublim.common.errors import SublimError
from sublim.engine import layout
from sublim.engine.stage import stage_of

SEATS = 8  #: How many small models share a device.
SMALL = 100_000_000  #: A model with fewer parameters is small.
VISIBLE = "CUDA_VISIBLE_DEVICES"
OURS = "SUBLIM_DEVICES"
"""The devices to share out, by number or UUID, with commas between; empty for none. Else those of `VISIBLE`, which a scheduler
or a person has set; else all that nvidia-smi lists."""
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Lease:
    """The device of a computation, if there is any."""

    environ: Mapping[str, str] = field(default_factory=dict[str, str])  #: What the computing process must find in its own.
    descriptors: Sequence[int] = ()  #: What it must keep open, so that the lease lasts as long as it does.


@contextmanager
def leased(seats: int) -> Generator[Lease]:
    """Hold `seats` seats of one device, of which there are `SEATS`; wait for them, if they are taken. Without a device, or for
    no seats, nothing. Raises SublimError: the folder of the locks belongs to somebody else, or can be written by others."""
    names = devices() if seats else ()
    if not names:
        yield Lease()
        return
    name, held = _waited(folder(), names, seats)
    try:
        yield Lease({VISIBLE: name}, [lock.fileno() for lock in held])
    finally:
        for lock in held:
            lock.close()


def seats(cell: str, inputs: Iterable[str]) -> int:
    """How many seats the computation of `cell` from the cells `inputs` takes: none if no model is in it, one if all models that
    it reads are small, else a whole device."""
    models = [given for given in inputs if stage_of(given).probe is not None]
    if models:
        return 1 if all(_small(model) for model in models) else SEATS
    return SEATS if stage_of(cell).probe is not None else 0


def devices() -> tuple[str, ...]:
    """The devices to share out, as `VISIBLE` names them; none on a machine without, or with a PyTorch that uses none."""
    if (given := os.environ.get(OURS)) is not None:
        return _named(given)
    if version("torch").endswith("+cpu"):
        return ()
    return _named(given) if (given := os.environ.get(VISIBLE)) is not None else _listed()


def _named(given: str) -> tuple[str, ...]:
    """As CUDA reads it: what follows something invalid is not seen."""
    found: list[str] = []
    for name in (part.strip() for part in given.split(",")):
        if not name or name.startswith("-"):
            break
        found.append(name)
    return tuple(found)


def _listed() -> tuple[str, ...]:
    """The UUIDs of all devices by nvidia-smi; of a card that is cut up (MIG), those of its parts."""
    if (program := shutil.which("nvidia-smi")) is None:
        return ()
    said = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)
    if said.returncode:
        return ()
    cards: list[list[str]] = []
    for line in said.stdout.splitlines():
        uuid = line.rpartition("UUID: ")[2].removesuffix(")")
        if line.startswith("GPU "):
            cards.append([uuid])
        elif line.strip().startswith("MIG ") and cards:
            cards[-1].append(uuid)
    return tuple(name for card in cards for name in (card[1:] or card))


def _waited(locks: Path, names: Sequence[str], count: int) -> tuple[str, list[IO[bytes]]]:
    """The first device with enough free seats, and the locks on these. Who waits stands in a line: small ones that come later
    do not go before a large one."""
    with (locks / "line").open("a+b") as line:
        try:
            fcntl.flock(line, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(names)
            fcntl.flock(line, fcntl.LOCK_EX)
        where, told = places(locks, names), False
        while (found := take(where, count)) is None:
            if not told:
                _say(names)
                told = True
            time.sleep(POLL_SECONDS)
        return found


def places(locks: Path, names: Sequence[str]) -> dict[str, Path]:
    """Device → the path that the locks on its seats begin with: the same for a number and for the UUID that nvidia-smi lists
    there."""
    listed = _listed() if any(name.isdecimal() for name in names) else ()
    uuids = {str(number): uuid for number, uuid in enumerate(listed)}
    return {name: locks / hashlib.sha256(uuids.get(name, name).encode()).hexdigest()[:32] for name in names}


def take(places: Mapping[str, Path], count: int) -> tuple[str, list[IO[bytes]]] | None:
    """`count` seats of the device with the most room, so that small models spread; None if no device has as many."""
    room = {name: _free(place) for name, place in places.items()}
    best = max(room, key=lambda name: len(room[name]))
    held = room[best][:count] if len(room[best]) >= count else []
    for lock in (lock for each in room.values() for lock in each if lock not in held):
        lock.close()
    return (best, held) if held else None


def _free(place: Path) -> list[IO[bytes]]:
    """Locks on all seats of a device that are free."""
    found: list[IO[bytes]] = []
    for seat in range(SEATS):
        lock = place.with_suffix(f".{seat}").open("a+b")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            found.append(lock)
    return found


def folder() -> Path:
    """Where the locks are: one place for all experiments of this user, whatever their directory and environment."""
    path = Path("/tmp") / f"sublim-{os.getuid()}"  # noqa: S108 - its owner and mode are looked at
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise SublimError(
            f"{path}: expected a folder of user {os.getuid()} that nobody else can write to, found another; remove it. The "
            f"leases of GPUs are in it. `{OURS}=` shares out none."
        )
    return path


def _small(model: str) -> bool:
    name = stage_of(model).probe
    try:
        found = json.loads((layout.artifact(model) / str(name)).read_text(encoding="utf-8"))
        return int(found["parameters"]) < SMALL
    except (OSError, ValueError, KeyError, TypeError):  # it was not tried out: it may be of any size
        return False


def _say(names: Sequence[str]) -> None:
    print(f"waiting for a GPU: {', '.join(names)} taken by other jobs", file=sys.stderr, flush=True)
