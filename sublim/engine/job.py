"""A job: what the main process planned for a cell, what of it is there already, and putting what was made into place.

Imports nothing heavy: most jobs of a rerun only restore bytes.
"""

import errno
import json
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sublim.common.canonical import digest
from sublim.common.errors import SublimError
from sublim.common.files import sha256, sync
from sublim.common.names import HarmfulNameError, linked, within
from sublim.common.reading import json_in, reading
from sublim.engine import layout, remote, store
from sublim.engine.digests import Digests, differs
from sublim.engine.record import Input, Output, Plan, Record, RecordError, key, read, record_at, unfit

PART = ".part"


@dataclass(frozen=True)
class Job:
    """What a job has to do, as the main process planned it."""

    plan: Plan
    inputs: dict[str, Input]
    online: bool = False  #: Whether it may use the network.

    @property
    def key(self) -> str:
        """What the artifact is a function of."""
        return key(self.plan, {name: found.digest for name, found in self.inputs.items()})


def planned(cell: str) -> Job:
    """What the main process planned for `cell`, with the digests of the inputs as they are now."""
    path = layout.plan(cell)
    if not path.is_file():
        raise SublimError(f"{path}: nothing is planned for {cell}. Jobs are started by snakemake, which writes that file.")
    with reading(path, "Start snakemake again, which writes it.", shape=True):
        found = json.loads(path.read_text(encoding="utf-8"))
        plan, upstream, online = Plan(**found["plan"]), dict(found["inputs"]), found["online"]
    digests = Digests(layout.DIGESTS)
    inputs = {name: Input(cell, _input(cell, digests)) for name, cell in upstream.items()}
    return Job(plan, inputs, online)


def git() -> dict[str, Any] | None:
    """The state of the code's repository as the main process found it: one look for a whole run, also on cluster nodes."""
    return json_in(layout.GIT, "Start snakemake again, which writes it.") if layout.GIT.is_file() else None


def finish(job: Job, made: Path, environment: dict[str, Any]) -> None:
    """Put what a stage wrote in the directory `made` into the store and into place, the record last; then where others find it.
    Raises SublimError: it wrote a file under a name that no record may have, or its place leads out of data/."""
    paths = [path for path in sorted(made.rglob("*")) if path.is_file()]
    for path in paths:
        sync(path)
    outputs = {path.relative_to(made).as_posix(): Output(sha256(path), path.stat().st_size) for path in paths}
    record = Record(job.plan, job.inputs, outputs, environment)
    if why := unfit(record):
        raise SublimError(f"{job.plan.cell}: what was computed cannot be kept: {why}.")
    kept = store.Store(store.root(layout.STORE))
    with kept.in_use():
        kept.put(record, made)
        _place(record, made, kept)
        remote.share(record, kept)


def reuse(job: Job) -> str | None:
    """Bring the artifact up to date without computing it, if that can be. Returns `valid` or `restored`; None if it must be
    computed."""
    target, kept = layout.artifact(job.plan.cell), store.Store(store.root(layout.STORE))
    old = record_at(target / layout.RECORD)
    digests = Digests(layout.DIGESTS)
    if old is not None and old.key == job.key and _intact(target, old, digests):
        return "valid"
    with kept.in_use():
        record = kept.find(job.key) or remote.found(job.key, kept)
        return "restored" if record is not None and restored(record, kept, digests) else None


def restored(record: Record, kept: store.Store, digests: Digests) -> bool:
    """Put an artifact of the store into place. False: the store has lost some of it."""
    target = layout.artifact(record.plan.cell)
    with scratch(record.plan.cell) as made:
        try:
            for name, output in record.outputs.items():
                if not _same(target, name, output, digests):
                    kept.fetch(output.sha256, within(made, name))
        except store.LostError:
            return False
        _place(record, made, kept)
    return True


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
    temporary name in the artifact's directory, unless that is on another disk: there is nothing to remove after a crash.
    Nothing outside of that directory is touched, whatever the records name and wherever links in it lead.

    Raises:
        HarmfulNameError: the artifact's directory is reached through a link, or a name leads out of it.
    """
    _not_elsewhere(record.plan.cell)
    record.write(made / layout.RECORD)
    target = layout.artifact(record.plan.cell)
    target.mkdir(parents=True, exist_ok=True)
    old = record_at(target / layout.RECORD)
    if old is not None:
        preserve(old, target, kept)
    for name in (*record.outputs, layout.RECORD):
        _no_folder(target / name)
    copies: list[Path] = []
    for name in record.outputs:
        if (new := within(made, name)).is_file():
            while link := linked(target, name):
                link.unlink()  # where a folder was: it is part of an artifact that was altered, what it leads to is not
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            place = within(target, name)
            copies += _moved(new, place)
    record_made = _copied(made / layout.RECORD, target / layout.RECORD) if copies else made / layout.RECORD
    for copy in copies:
        copy.replace(copy.with_name(copy.name.removeprefix(".").removesuffix(PART)))
    if old is not None:
        for name in old.outputs.keys() - record.outputs.keys():
            if linked(target, name) is None:
                within(target, name).unlink(missing_ok=True)
    sync(target)
    record_made.replace(target / layout.RECORD)
    sync(target)


def _moved(new: Path, place: Path) -> list[Path]:
    """Rename `new` to `place`; where nothing can be renamed to (data/, or a folder in it, may be a link to another disk), it is
    copied beside it, and the copy returned."""
    try:
        new.replace(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return [_copied(new, place)]
    return []


def _copied(new: Path, place: Path) -> Path:
    """A copy of `new` beside `place`, on the disk. Its name is always the same: a rerun after a crash writes it again."""
    part = place.with_name(f".{place.name}{PART}")
    shutil.copyfile(new, part)
    sync(part)
    return part


def _no_folder(path: Path) -> None:
    """Stop where a file is to be and a folder with something in it is: what that is, nobody here knows."""
    if path.is_dir() and not path.is_symlink():
        if any(path.iterdir()):
            raise SublimError(f"{path}: expected a file, found a folder. Remove it, and run snakemake again.")
        path.rmdir()


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
    return all(_same(directory, name, output, digests) for name, output in record.outputs.items())


def _same(directory: Path, name: str, output: Output, digests: Digests) -> bool:
    try:
        return differs(within(directory, name), output, digests) is None
    except HarmfulNameError:
        return False


def _not_elsewhere(cell: str) -> None:
    """Stop, if one of the folders in which the artifact of `cell` lies, below that of its stage, is a link. data/ and the
    folders of the stages may be links, made by a person to a larger disk."""
    stage, *dims = cell.split("/")
    if dims:
        within(layout.DATA / stage, "/".join([*dims, layout.RECORD]))
