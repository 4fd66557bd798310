"""Stops a job at each of its steps on the file system: by SIGKILL, by an error of the disk, or by a loss of power.

A job runs in a child process that sees each step (creating, opening for writing, renaming, removing, flushing) just before it
is done. A kill is real; a loss of power is simulated by the rules of POSIX: what was not flushed may be gone.
"""

import errno
import json
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from sublim.common.errors import SublimError
from sublim.engine import compute, layout, run, worker
from sublim.engine.digests import Digests
from sublim.engine.planning import cells, experiment
from sublim.engine.stage import stages
from sublim.engine.verdict import Cell, Verdict, judge, publish
from sublim.engine.workflow import Workflow
from sublim.lineage import adopt as adopting

PARAMS = Path("params.yaml")
CELL = "filtered/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/seed=1"
"""The cell that is interrupted: the filter takes milliseconds and no torch, and the job around it is the same for all cells."""

Action = Callable[[], None]


# --- what is interrupted


def bring(project: Path) -> None:
    """Plan and do in `project` what Snakemake would do for the cell, undisturbed."""
    with chdir(project):
        for name, verdict in plan().items():
            if verdict.reason is not None:
                _job(name)


def run_job() -> None:
    """Only the job of the cell, as it is planned."""
    _job(CELL)


def plan() -> dict[str, Verdict]:
    """Judge the cell and what it is made from, and publish the verdicts, as the main process does."""
    digests = Digests(layout.DIGESTS)
    verdicts = judge(_needed(cells(experiment(PARAMS), digests)), digests)
    digests.save()
    publish(verdicts)
    return verdicts


def adopt() -> None:
    """Adopt what other code alone made stale, as `sublim adopt` does."""
    digests = Digests(layout.DIGESTS)
    verdicts = judge(cells(experiment(PARAMS), digests), digests)
    with patch.object(worker, "compute", _in_this_process):
        adopting.adopt(adopting.groups(verdicts, stages(), digests), verdicts, 1, lambda _: None)


def replan() -> None:
    """All that the main process does before its first job."""
    Workflow(PARAMS, main=True).clear()


def _job(cell: str) -> None:
    with patch.object(worker, "compute", _in_this_process):
        run.run(cell)


def _in_this_process(cell: str, inputs: object, into: Path | None = None, *, online: bool, **_: object) -> None:  # noqa: ARG001
    assert not online
    if compute.compute(cell, into):
        raise SublimError(f"{cell}: not made")


def _needed(known: tuple[Cell, ...]) -> list[Cell]:
    by_name = {cell.id: cell for cell in known}
    wanted: list[str] = [CELL]
    for name in wanted:
        wanted += [upstream for upstream in by_name[name].inputs.values() if upstream not in wanted]
    return [cell for cell in known if cell.id in wanted]


# --- children and their steps


@dataclass(frozen=True)
class Step:
    """What is about to be done to which file."""

    event: str
    path: str


class Done(Exception):  # noqa: N818 - not an error: the job went through
    """The action has fewer steps than asked for."""


def killed(project: Path, action: Action, at: int, *, only: str = "") -> None:
    """Run `action` in `project`, and SIGKILL it just before its step number `at` (with `only`: of those that change a path
    which begins with it).

    Raises:
        Done: it has fewer steps; it went through.
    """
    _expect(_child(project, _killing, action, at, only), -signal.SIGKILL)


def failing(project: Path, action: Action, at: int, number: int) -> None:
    """Run `action` in `project`; its step number `at` fails with the error `number`. Of a full disk, all later steps that need
    space fail as well.

    Raises:
        Done: it has fewer steps; it went through.
    """
    _expect(_child(project, _erring, action, at, number), 1)


def powerless(project: Path, action: Action, into: Path) -> Iterator[Path]:
    """Run `action` in `project`; then, for each step and each kind of loss, a folder (made at `into`, for one turn) as it would
    be after a loss of power just before that step. Each different one once."""
    journal = into.with_suffix(".journal")
    journal.mkdir()
    assert _child(project, _watching, action, journal) == 0
    seen: set[str] = set()
    for number in count():
        path = journal / f"{number}.json"
        if not path.exists():
            return
        moment = json.loads(path.read_text())
        for loss in LOSSES:
            left = _left(moment, loss)
            if (looks := json.dumps(left, sort_keys=True)) not in seen:
                seen.add(looks)
                shutil.rmtree(into, ignore_errors=True)
                _restore(left, moment["marks"], journal, into)
                shutil.copy(project / PARAMS, into / PARAMS)
                yield into


def _child(project: Path, target: Callable[..., None], *arguments: object) -> int:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.shared.interruptions", "sublim.stages.filtered.make"])
    process = context.Process(target=_enter, args=(project, target, arguments))
    process.start()
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


def _expect(status: int, expected: int) -> None:
    if status == 0:
        raise Done
    assert status == expected, f"expected exit status {expected}, found {status}"


def _enter(project: Path, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.chdir(project)
    log = os.open(os.devnull if "SHOW" not in os.environ else "/dev/tty", os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        target(*arguments)
    except (SublimError, OSError):
        os._exit(1)
    os._exit(0)


def _killing(action: Action, at: int, only: str) -> None:
    numbers = count()

    def kill(step: Step) -> None:
        if step.path.startswith(only) and not (only and step.event == "fsync") and next(numbers) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    with _steps(kill):
        action()


def _erring(action: Action, at: int, number: int) -> None:
    numbers = count()
    failed = False

    def fail(step: Step) -> None:
        nonlocal failed
        if number != errno.ENOSPC or step.event in ("open", "mkdir") or (step.event == "fsync" and Path(step.path).is_file()):
            now = next(numbers)
            if now == at or (now > at and number == errno.ENOSPC):
                failed = True
                raise OSError(number, os.strerror(number), step.path)

    with _steps(fail):
        action()
    if failed:  # what failed was of no importance, such as a heartbeat
        os._exit(1)


@contextmanager
def _steps(see: Callable[[Step], None]) -> Generator[None]:
    """Have `see` called before each change in the working directory, for the life of this process."""
    here, busy = Path.cwd(), False
    fsync = os.fsync

    def tell(event: str, name: object) -> None:
        nonlocal busy
        if busy or not isinstance(name, str | os.PathLike | bytes):
            return
        path = here / os.fsdecode(cast("Any", name))
        if path.is_relative_to(here) and "__pycache__" not in path.parts:
            busy = True
            try:
                see(Step(event, path.relative_to(here).as_posix()))
            finally:
                busy = False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        match event:
            case "open" if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
                tell("open", arguments[0])
            case "os.rename":
                tell("rename", arguments[1])
            case "os.remove" | "os.mkdir" | "os.rmdir":
                *_, folder = arguments  # a descriptor, or -1
                parent = Path(f"/proc/self/fd/{folder}").readlink() if folder >= 0 else Path()
                tell(event.removeprefix("os."), parent / arguments[0])
            case _:
                pass

    def flush(handle: int) -> None:
        tell("fsync", Path(f"/proc/self/fd/{handle}").readlink())
        fsync(handle)

    sys.addaudithook(hook)
    os.fsync = flush
    yield


# --- loss of power


@dataclass(frozen=True)
class Loss:
    """What a loss of power takes: bytes that were not flushed become `bytes_become`; in the folders under `forgets`, names that
    were not flushed."""

    bytes_become: str
    forgets: tuple[str, ...]


LOSSES = tuple(
    Loss(bytes_become, forgets)
    for bytes_become in ("empty", "zeros")
    for forgets in ((), ("data",), (".sublim",), ("data", ".sublim"))
)


@dataclass
class _Disk:
    """What is on the disk, as opposed to what the running system shows."""

    journal: Path
    moment: int = 0
    synced: dict[int, str] = field(default_factory=dict[int, str])
    """Inode → name of the file in the journal that holds its flushed bytes."""
    names: dict[str, dict[str, int | None]] = field(default_factory=dict[str, dict[str, int | None]])
    """Folder → the names in it when it was flushed, with the inode of each file (None: a folder)."""
    kept: dict[tuple[int, int, int], str] = field(default_factory=dict[tuple[int, int, int], str])

    def keep(self, path: str) -> str:
        stat = Path(path).stat()
        mark = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if mark not in self.kept:
            self.kept[mark] = f"bytes-{len(self.kept)}"
            shutil.copyfile(path, self.journal / self.kept[mark])
        return self.kept[mark]

    def see(self, step: Step) -> None:
        live: dict[str, dict[str, int | None]] = {}
        current: dict[int, str] = {}
        marks: dict[int, list[int]] = {}
        for root in ("data", ".sublim"):
            for folder, folders, files in os.walk(root):
                live[folder] = dict.fromkeys(folders)
                for name in files:
                    path = f"{folder}/{name}"
                    stat = Path(path).stat()
                    live[folder][name] = stat.st_ino
                    current[stat.st_ino] = self.keep(path)
                    marks[stat.st_ino] = [stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns]
        if self.moment == 0:
            self.synced, self.names = dict(current), {folder: dict(names) for folder, names in live.items()}
        moment = {"live": live, "names": self.names, "current": current, "synced": self.synced, "marks": marks}
        (self.journal / f"{self.moment}.json").write_text(json.dumps(moment))
        self.moment += 1
        if step.event == "fsync":
            if step.path in live:
                self.names = {**self.names, step.path: live[step.path]}
            elif Path(step.path).is_file():
                self.synced = {**self.synced, Path(step.path).stat().st_ino: self.keep(step.path)}


def _watching(action: Action, journal: Path) -> None:
    disk = _Disk(journal)
    with _steps(disk.see):
        action()
    disk.see(Step("end", ""))


def _left(moment: dict[str, Any], loss: Loss) -> dict[str, tuple[str, str, str] | None]:
    """Path → what is there after the loss: None for a folder; for a file its inode, the name of its bytes in the journal, and
    what has become of them (`whole`, or what the loss says)."""
    found: dict[str, tuple[str, str, str] | None] = {}
    for root in ("data", ".sublim"):
        entries = moment["names" if root in loss.forgets else "live"]
        waiting = [root]
        for folder in waiting:
            found[folder] = None
            for name, inode in entries.get(folder, {}).items():
                path = f"{folder}/{name}"
                if inode is None:
                    waiting.append(path)
                    continue
                synced, current = moment["synced"].get(str(inode)), moment["current"].get(str(inode))
                whole = synced is not None and current in (None, synced)
                found[path] = (str(inode), synced or current or "", "whole" if whole else loss.bytes_become)
    return found


def _restore(left: dict[str, tuple[str, str, str] | None], marks: dict[str, list[int]], journal: Path, into: Path) -> None:
    """Make the folder that is found after a loss of power."""
    into.mkdir()
    for name, there in left.items():
        path = into / name
        if there is None:
            path.mkdir(exist_ok=True)
        elif there[2] == "whole":
            os.link(journal / there[1], path)
        elif there[2] == "empty" or not there[1]:
            path.touch()
        else:
            path.write_bytes(bytes((journal / there[1]).stat().st_size))
    # A file that comes back with its size comes back with its times and its inode as well: the cache of digests knows it.
    cache = into / layout.DIGESTS
    try:
        known: dict[str, list[Any]] = json.loads(cache.read_text())
    except (FileNotFoundError, ValueError):
        return
    for name, there in left.items():
        if there is not None and name in known and known[name][:4] == marks.get(there[0]):
            stat = (into / name).stat()
            if stat.st_size == known[name][0]:
                known[name][:4] = [stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns]
    cache.unlink()
    cache.write_text(json.dumps(known))


# --- projects


def linked(project: Path, path: Path) -> Path:
    """A copy of an experiment's params, data and state that shares the bytes of artifacts and of the store: nothing that this
    program writes is written in place."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    shutil.copy(project / PARAMS, path / PARAMS)
    for folder in (layout.DATA, layout.STORE):
        if (project / folder).is_dir():
            shutil.copytree(project / folder, path / folder, copy_function=os.link, symlinks=True)
    shutil.copytree(project / layout.PLANS, path / layout.PLANS)
    for file in (layout.DIGESTS, layout.HISTORY):
        if (project / file).exists():
            shutil.copy(project / file, path / file)
    return path


def small(project: Path, path: Path) -> Path:
    """The same with no more than the cell and what it is made from, and an empty store."""
    path.mkdir()
    shutil.copy(project / PARAMS, path / PARAMS)
    with chdir(path):
        wanted = [cell.id for cell in _needed(cells(experiment(PARAMS), Digests(layout.DIGESTS)))]
    for cell in wanted:
        shutil.copytree(project / layout.artifact(cell), path / layout.artifact(cell))
    (path / layout.PLANS).mkdir(parents=True)
    shutil.copy(project / layout.GIT, path / layout.PLANS)
    return path
