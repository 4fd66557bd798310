"""What of the store nothing reaches any more, and freeing it."""

import json
import os
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from sublim.common.errors import SublimError
from sublim.engine.record import record_at
from sublim.engine.store import Store
from sublim.evidence.tree import Tree, working
from sublim.lineage import revision


@dataclass(frozen=True)
class Garbage:
    """What can be freed, and what cannot."""

    keys: tuple[Path, ...]  #: Records of computations that no experiment and no revision has.
    objects: tuple[Path, ...]  #: Outputs that only such computations had, or none.
    leftovers: tuple[Path, ...]  #: Half-written files of killed processes.
    size: int  #: Bytes of all that.
    kept: int  #: Computations that something reaches.


class UnknownError(SublimError):
    """Something may reach objects of the store, but what, cannot be told."""


def garbage(store: Store, *, ignore_missing: bool) -> Garbage:
    """What nothing reaches: neither data/ of an experiment that uses the store, nor any commit, branch, tag, stash or DVC
    experiment of its repository. Hold `store.being_cleared()` around this and `free`.

    Args:
        store: the store.
        ignore_missing: whether what cannot be looked into (an experiment's folder that is gone, a revision that DVC's cache
            lacks) counts as reaching nothing.

    Raises:
        UnknownError: something cannot be looked into, and `ignore_missing` is false.
    """
    reached: set[str] = set()
    wanted: set[str] = set()
    unknown: list[str] = []
    here = Path.cwd()
    for user in dict.fromkeys([here, *store.users()]):
        if not user.is_dir():
            unknown.append(f"the experiment in {user}, which is gone")
            continue
        with chdir(user):
            for tree in _trees(unknown):
                # A record that cannot be read has no key; nothing could be restored for it either.
                for record in tree.records.values():
                    reached.add(record.key)
                    # The audit looks for the evidence of what was adopted.
                    reached.update(seen.key for each in record.adopted for seen in each.witnesses.values())
                    wanted.update(output.sha256 for output in record.outputs.values())
    if unknown and not ignore_missing:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise UnknownError(
            f"cannot tell what is reached by {unknown[0]}{more}; nothing was freed. "
            "`dvc fetch --all-commits` brings revisions here; --ignore-missing frees what only they may reach."
        )
    keys: list[Path] = []
    for path in store.computations():
        record = record_at(path)
        if record is not None and record.key in reached:
            wanted.update(output.sha256 for output in record.outputs.values())
        else:
            keys.append(path)
    objects = [path for path in store.objects() if path.name not in wanted]
    leftovers = list(store.leftovers())
    size = sum(path.stat().st_size for path in (*keys, *objects, *leftovers))
    return Garbage(tuple(keys), tuple(objects), tuple(leftovers), size, sum(1 for _ in store.computations()) - len(keys))


def free(garbage: Garbage) -> None:
    """Remove `garbage`, computations before their outputs, so that no computation is ever there without its bytes."""
    for path in (*garbage.keys, *garbage.objects, *garbage.leftovers):
        path.unlink(missing_ok=True)


def _trees(unknown: list[str]) -> Iterator[Tree]:
    """What the experiment in the working directory has, and has ever versioned."""
    yield working()
    try:
        commits = _commits(unknown) if revision.repository() else []
    except SublimError as error:
        unknown.append(f"the revisions of {Path.cwd()}: {error}")
        commits = []
    objects = revision.cache() if commits else None
    for commit in commits:
        try:
            yield revision.revision(commit, objects)
        except SublimError as error:
            unknown.append(f"revision {error}")


def _commits(unknown: list[str]) -> list[str]:
    """One commit for every dvc.lock that there has ever been in the repository around the working directory. What cannot be
    seen is added to `unknown`."""
    listed = revision.git("log", "--all", "--reflog", "--format=%H", "--", revision.LOCK)
    if listed is None:
        unknown.append(f"the revisions of {Path.cwd()}, whose history git cannot read (`git fsck` says why)")
    if revision.shallow():
        unknown.append(f"the commits that {Path.cwd()}, a shallow clone, lacks ({revision.SHALLOW.rstrip('.')})")
    experiments = revision.git("for-each-ref", "--format=%(objectname)", "refs/exps", "refs/stash") or ""
    locks: dict[str, str] = {}
    for commit in f"{listed or ''} {experiments}".split():
        if (lock := revision.show(commit, revision.LOCK)) is not None:
            locks.setdefault(lock, commit)
        elif revision.git("ls-tree", commit, f"./{revision.LOCK}") != "":  # of a commit that removes it, nothing is listed
            unknown.append(f"revision {commit[:7]}, whose {revision.LOCK} is not here (a partial clone without its remote?)")
    return list(locks.values())


def describe(garbage: Garbage, *, dry: bool) -> str:
    """What was, or would be, freed, for a person."""
    verb = "would free" if dry else "freed"
    what = f"{len(garbage.keys)} computations, {len(garbage.objects)} files"
    if garbage.leftovers:
        what += f", {len(garbage.leftovers)} half-written files"
    return f"{verb} {garbage.size / 1e6:,.1f} MB: {what}; kept {garbage.kept} computations that something reaches"


def as_json(garbage: Garbage) -> str:
    """The same for a program: the paths, the bytes, and how many computations are kept."""
    return json.dumps(
        {
            "keys": [os.fspath(path) for path in garbage.keys],
            "objects": [os.fspath(path) for path in garbage.objects],
            "leftovers": [os.fspath(path) for path in garbage.leftovers],
            "bytes": garbage.size,
            "kept": garbage.kept,
        },
        indent=1,
    )
