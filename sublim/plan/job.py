"""One job: bring the artifact of one cell up to date. Imports nothing heavy: most jobs of a rerun only restore bytes."""

import fcntl
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sublim.common.canonical import digest
from sublim.common.errors import SublimError
from sublim.common.files import sha256, sync
from sublim.common.names import HarmfulNameError, linked, within
from sublim.plan import layout, store
from sublim.plan.digests import Digests
from sublim.plan.record import Input, Output, Plan, Record, RecordError, key, read, unfit


@dataclass(frozen=True)
class Task:
    """What a job has to do, as the main process planned it."""

    plan: Plan
    inputs: dict[str, Input]

    @property
    def key(self) -> str:
        """What the artifact is a function of."""
        return key(self.plan, {name: found.digest for name, found in self.inputs.items()})


def run(cell: str) -> str:
    """Bring `cell` up to date. Returns what that took: `valid`, `restored` or `computed`.

    Raises:
        SublimError: an input is missing or is not what its record says, or the stage failed with a message.
    """
    with _sole_writer(cell) as lock:
        started = time.monotonic()
        task = plan(cell)
        action = _reuse(task)
        if action is None:
            from sublim.plan import worker  # only a computation needs it

            worker.compute(cell, online=downloads(task.plan), keep=lock)
            action = "computed"
        _remember(task, action, time.monotonic() - started)
        return action


def plan(cell: str) -> Task:
    """What the main process planned for `cell`, with the digests of the inputs as they are now."""
    path = layout.plan(cell)
    try:
        planned = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SublimError(
            f"{path}: nothing is planned for {cell}. Jobs are started by snakemake, which writes that file."
        ) from None
    digests = Digests(layout.DIGESTS)
    inputs = {name: Input(upstream, _input(upstream, digests)) for name, upstream in planned["inputs"].items()}
    return Task(Plan(**planned["plan"]), inputs)


def finish(task: Task, made: Path, environment: dict[str, Any]) -> None:
    """Put what a stage wrote in the directory `made` into the store and into place, the record last.

    Raises:
        SublimError: it wrote a file under a name that no record may have, or its place leads out of data/.
    """
    paths = [path for path in sorted(made.rglob("*")) if path.is_file()]
    for path in paths:
        sync(path)
    outputs = {path.relative_to(made).as_posix(): Output(sha256(path), path.stat().st_size) for path in paths}
    record = Record(task.plan, task.inputs, outputs, environment)
    if why := unfit(record):
        raise SublimError(f"{task.plan.cell}: what was computed cannot be kept: {why}.")
    kept = store.Store(store.root(layout.STORE))
    with kept.in_use():
        kept.put(record, made)
        _place(record, made, kept)


def downloads(of: Plan) -> bool:
    """Whether making it may use the network: a model from a repository, a judge behind an endpoint."""
    model, judge = of.params.get("model"), of.params.get("judge")
    from_a_repository = of.stage == "base" and model is not None and model.get("repo") is not None
    return from_a_repository or (of.stage == "filtered" and judge is not None and judge["kind"] == "http")


def _reuse(task: Task) -> str | None:
    target, kept = layout.artifact(task.plan.cell), store.Store(store.root(layout.STORE))
    try:
        old = read(target / layout.RECORD)
    except (FileNotFoundError, RecordError):
        old = None
    digests = Digests(layout.DIGESTS)
    if old is not None and old.key == task.key and _intact(target, old, digests):
        return "valid"
    with kept.in_use():
        record = kept.find(task.key)
        if record is None:
            return None
        with scratch(task.plan.cell) as made:
            try:
                for name, output in record.outputs.items():
                    if not _same(target, name, output.sha256, digests):
                        kept.fetch(output.sha256, within(made, name))
            except store.LostError:
                return None
            _place(record, made, kept)
    return "restored"


@contextmanager
def scratch(cell: str) -> Generator[Path]:
    """An empty directory to make the artifact of `cell` in, on the file system of the experiment. What a killed job left there
    is removed."""
    made = layout.STATE / "tmp" / digest(cell)[:32]
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _place(record: Record, made: Path, kept: store.Store) -> None:
    """Put the files in the directory `made` (all of an artifact, or those that are not in place) and their record into place.

    All that needs space is done before the first file is moved, so that on a full disk the old artifact stays. What stood there
    is kept in the store if it was whole. The record is the last: it never claims bytes that are not there yet. Nothing has a
    temporary name in the artifact's directory: there is nothing to remove after a crash. Nothing outside of that directory is
    touched, whatever the records name and wherever links in it lead.

    Raises:
        HarmfulNameError: the artifact's directory is reached through a link, or a name leads out of it.
    """
    _not_elsewhere(record.plan.cell)
    record.write(made / layout.RECORD)
    target = layout.artifact(record.plan.cell)
    target.mkdir(parents=True, exist_ok=True)
    try:
        old = read(target / layout.RECORD)
    except (FileNotFoundError, RecordError):
        old = None
    if old is not None:
        preserve(old, target, kept)
    for name in record.outputs:
        if (new := within(made, name)).is_file():
            while link := linked(target, name):
                link.unlink()  # where a folder was: it is part of an artifact that was altered, what it leads to is not
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            new.replace(within(target, name))
    if old is not None:
        for name in old.outputs.keys() - record.outputs.keys():
            if linked(target, name) is None:
                within(target, name).unlink(missing_ok=True)
    sync(target)
    (made / layout.RECORD).replace(target / layout.RECORD)
    sync(target)


def preserve(record: Record, directory: Path, kept: store.Store) -> None:
    """Keep an artifact that is about to be replaced, if it is whole: in a fresh clone the store has no copy of it."""
    if kept.find(record.key) is None and _intact(directory, record, Digests(layout.DIGESTS)):
        kept.put(record, directory)


def _input(upstream: str, digests: Digests) -> str:
    directory = layout.artifact(upstream)
    try:
        record = read(directory / layout.RECORD)
    except (FileNotFoundError, RecordError) as error:
        raise SublimError(f"{directory}: an input is not there: {error}. Run snakemake, which makes it first.") from None
    if not _intact(directory, record, digests):
        raise SublimError(f"{directory}: an input is not what its record says. Run snakemake again, which mends it first.")
    return record.digest


def _intact(directory: Path, record: Record, digests: Digests) -> bool:
    return all(_same(directory, name, output.sha256, digests) for name, output in record.outputs.items())


def _same(directory: Path, name: str, sha256: str, digests: Digests) -> bool:
    try:
        return digests(within(directory, name)) == sha256
    except (FileNotFoundError, NotADirectoryError, HarmfulNameError):
        return False


def _not_elsewhere(cell: str) -> None:
    """Stop, if one of the folders in which the artifact of `cell` lies, below that of its stage, is a link. data/ and the
    folders of the stages may be links, made by a person to a larger disk."""
    stage, *dims = cell.split("/")
    if dims:
        within(layout.DATA / stage, "/".join([*dims, layout.RECORD]))


@contextmanager
def _sole_writer(cell: str) -> Generator[int]:
    """A lock that dies with this process, and with a process that inherits it. A job that outlived a killed run still holds its
    own, and this one waits for it."""
    layout.LOCKS.mkdir(parents=True, exist_ok=True)
    with (layout.LOCKS / digest(cell)[:32]).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{cell}: another process is writing it; waiting", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _remember(task: Task, action: str, seconds: float) -> None:
    """Who did what when: of no digest, but what a person asks first when a run looks odd."""
    event = {"time": time.time(), "cell": task.plan.cell, "key": task.key, "action": action}
    event |= {"seconds": round(seconds, 3), "host": socket.gethostname()}
    # One write of one line in append mode: jobs side by side do not mix.
    handle = os.open(layout.HISTORY, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        size = os.fstat(handle).st_size
        cut_off = size > 0 and os.pread(handle, 1, size - 1) != b"\n"  # by a crash
        os.write(handle, ("\n" * cut_off + json.dumps(event) + "\n").encode())
    finally:
        os.close(handle)
