"""What this machine and this file system can do of what a run needs: tried out in the folder of an experiment, in a second."""

import fcntl
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sublim.common.errors import SublimError
from sublim.engine import devices, environment, layout
from sublim.engine.code import PACKAGE
from sublim.engine.store import root

OTHER = "Put the experiment on another file system"
LEAST_BYTES = 2 << 30  #: Less room than this is soon used up by the default experiment and what DVC keeps of it.
SKEW_SECONDS = 2.0  #: How far a file system's clock may be from this machine's.
_SHOWN = 4


@dataclass(frozen=True)
class Examined:
    """One thing that was tried."""

    what: str
    found: str
    advice: str | None = None  #: What to do; None if all is well.
    severe: bool = False  #: Whether nothing can be run as it is.


def examine(folder: Path) -> Iterator[Examined]:
    """Everything, for an experiment in `folder`, which must be one that can be written to."""
    yield _python()
    yield _packages()
    yield _git()
    yield _processors()
    with tempfile.TemporaryDirectory(prefix=".sublim-doctor-", dir=folder) as scratch:
        for test in (_locks, _times, _renames, _sockets):
            try:
                yield test(Path(scratch))
            except OSError as error:
                name = test.__name__.removeprefix("_")
                yield Examined(name, f"{error.strerror}", f"{OTHER}.", severe=True)
    yield from _room(folder)
    yield _devices()


def _python() -> Examined:
    return Examined("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _packages() -> Examined:
    """What is installed against requirements.lock, where that is beside the code."""
    lock = PACKAGE.parent / "requirements.lock"
    if not lock.is_file():
        return Examined("packages", "no requirements.lock beside the code to compare with")
    pinned = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))
    odd: list[str] = []
    for name, wanted in pinned.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "missing"
        if found.partition("+")[0] != wanted:  # torch has a local version, by its kind of build
            odd.append(f"{name} {found} for {wanted}")
    if not odd:
        return Examined("packages", f"all {len(pinned)} as in requirements.lock")
    shown = ", ".join(odd[:_SHOWN]) + (f" and {len(odd) - _SHOWN} more" if len(odd) > _SHOWN else "")
    return Examined("packages", shown, "`pip install -r requirements.lock`, or results may differ from those of others.")


def _git() -> Examined:
    if said := environment.advice(environment.git_state()):
        return Examined("git", "the commit of the code is not known", said)
    return Examined("git", "the commit of the code can be told")


def _processors() -> Examined:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS")
    found = f"{usable} usable; threads in a job: {threads or '1, which jobs set themselves'}"
    if threads not in (None, "1"):
        return Examined("processors", found, "`export OMP_NUM_THREADS=1`: jobs side by side are faster than threads in a job.")
    return Examined("processors", found)


_TRY = """
import fcntl, sys
with open(sys.argv[1], "a+") as lock:
    try:
        fcntl.flock(lock, getattr(fcntl, sys.argv[2]) | fcntl.LOCK_NB)
    except BlockingIOError:
        print("held")
    else:
        print("free")
"""

_LOCKS = tuple(
    (mine, others, "free" if mine == others == "LOCK_SH" else "held")
    for mine in ("LOCK_EX", "LOCK_SH")
    for others in ("LOCK_EX", "LOCK_SH")
)
"""What one process holds, what another asks for, and what it must be told."""


def _locks(scratch: Path) -> Examined:
    """Whether a lock of one process is seen by another, as those of a run, of cells and of the store must be."""
    alone, shared = "LOCK_EX", "LOCK_SH"
    for mine, others, expected in (
        (alone, alone, "held"),
        (alone, shared, "held"),
        (shared, shared, "free"),
        (shared, alone, "held"),
    ):
        with (scratch / "lock").open("a+") as lock:
            fcntl.flock(lock, getattr(fcntl, mine))
            said = subprocess.run(
                [sys.executable, "-c", _TRY, os.fspath(scratch / "lock"), others], capture_output=True, text=True, check=False
            )
        if said.stdout.strip() != expected:
            found = said.stdout.strip() or (said.stderr.strip().splitlines() or ["nothing"])[-1]
            told = f"{others} beside {mine} of another process: expected {expected}, found {found}"
            advice = f"Two runs could write one artifact. {OTHER}; mount Lustre with `-o flock`."
            return Examined("locks", told, advice, severe=True)
    return Examined("locks", "seen by other processes of this machine; of other machines that was not tried")


def _times(scratch: Path) -> Examined:
    """Whether times of files can be set, and are those of this machine."""
    path = scratch / "times"
    path.write_bytes(b"")
    skew = path.stat().st_mtime - time.time()
    os.utime(path, (1, 1))
    if path.stat().st_mtime != 1:
        return Examined("times", "cannot be set", f"Snakemake would take valid artifacts for stale. {OTHER}.", severe=True)
    if abs(skew) > SKEW_SECONDS:
        found = f"the file system's clock is {skew:+.1f} s from this machine's"
        return Examined("times", found, "Set the clocks by NTP: runs are dated by both.")
    return Examined("times", "can be set; clocks agree")


def _renames(scratch: Path) -> Examined:
    """Whether a file replaces another at once, and can be made sure to be on the disk."""
    new, old = scratch / "new", scratch / "old"
    for path in (new, old):
        with path.open("w") as file:
            file.write(path.name)
            file.flush()
            os.fsync(file.fileno())
    new.replace(old)
    if old.read_text() != "new" or new.exists():
        return Examined("renames", "a file does not replace another", f"A crash could leave half of one. {OTHER}.", severe=True)
    return Examined("renames", "a file replaces another")


def _sockets(scratch: Path) -> Examined:
    """Whether the warm worker can be talked to: a socket in the file system, by a relative name."""
    advice = "The warm worker cannot be used: `export SUBLIM_WORKER=0` gives the same bytes, slower."
    before = Path.cwd()
    try:
        os.chdir(scratch)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind("socket")
    except (OSError, AttributeError) as error:
        off = os.environ.get("SUBLIM_WORKER") == "0"
        return Examined("sockets", f"none can be made in a folder: {error}", None if off else advice)
    finally:
        os.chdir(before)
    return Examined("sockets", "can be made in a folder")


def _room(folder: Path) -> Iterator[Examined]:
    """Free space where artifacts, the store and temporary files go, each file system once."""
    where = {"data": layout.DATA, "store": root(layout.STORE), "temporary files": Path(tempfile.gettempdir())}
    places: dict[int, tuple[Path, list[str]]] = {}
    for name, path in where.items():
        place = folder / path
        while not place.exists():
            place = place.parent
        places.setdefault(place.stat().st_dev, (place, []))[1].append(name)
    for place, names in places.values():
        usage, files = shutil.disk_usage(place), os.statvfs(place)
        told = f"{usage.free / 2**30:.1f} GiB free of {usage.total / 2**30:.0f} for {', '.join(names)}"
        if files.f_files and not files.f_favail:
            yield Examined("room", f"{told}, and no file more can be made", f"Remove files: {place}.", severe=True)
        else:
            yield Examined("room", told, "`sublim gc` frees what nothing needs." if usage.free < LEAST_BYTES else None)


def _devices() -> Examined:
    names = devices.devices()
    if not names:
        return Examined("GPUs", "none are shared out")
    try:
        devices.folder()
    except SublimError as error:
        return Examined("GPUs", ", ".join(names), str(error), severe=True)
    return Examined("GPUs", f"{', '.join(names)}; each for one large model or {devices.SEATS} small ones")


def table(found: Sequence[Examined]) -> Iterator[str]:
    """As lines of text: what is wrong is marked, and followed by what to do."""
    width = max(len(each.what) for each in found)
    for each in found:
        mark = " " if each.advice is None else "!" if each.severe else "?"
        yield f"{mark} {each.what:{width}}  {each.found}"
        if each.advice is not None:
            yield f"  {'':{width}}  → {each.advice}"
