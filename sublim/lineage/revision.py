"""The artifacts of a git revision, from its dvc.lock and DVC's cache, without a checkout."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML

from sublim.common.errors import SublimError
from sublim.common.names import HarmfulNameError, harmful
from sublim.common.reading import reading
from sublim.engine import layout
from sublim.evidence.tree import Tree

LOCK = "dvc.lock"
SHALLOW = "`git fetch --unshallow` gets the older commits."
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


def revision(rev: str, objects: Path | None = None) -> Tree:
    """The artifacts that `rev` (a commit, branch, tag or the name of a DVC experiment) has versioned.

    Args:
        rev: the revision.
        objects: the objects of DVC's cache, if the caller knows where they are (asking takes half a second).

    Raises:
        SublimError: there is no such revision, it has versioned nothing, DVC's cache lacks some of it, or what it says is no
            name of a file under data/ or of an object of the cache.
    """
    commit = resolve(rev)
    lock = show(commit, LOCK)
    if lock is None:
        raise SublimError(f"{rev}: has no {LOCK}: nothing was versioned there. `dvc repro` and a commit version a run.")
    objects = objects or cache()
    found: dict[str, Path] = {}
    missing: list[Path] = []
    for name, md5 in sorted(_outs(lock).items()):
        for file, digest in _listed(objects, name, md5, missing).items():
            if why := harmful(file):
                raise HarmfulNameError(
                    f"{rev}: expected names of files under data/ in its {LOCK}, found {file!r}, which {why}."
                )
            path = _object(objects, digest)
            if not path.is_file():
                missing.append(path)
            found[Path(file).relative_to(layout.DATA).as_posix()] = path
    if missing:
        raise SublimError(
            f"{rev}: DVC's cache lacks {len(missing)} of its files, first {missing[0]}. "
            f"`dvc fetch --all-commits` gets them from the remote, if they were pushed."
        )
    return Tree(f"{rev} ({commit[:7]})" if not commit.startswith(rev) else commit[:7], found)


def resolve(rev: str) -> str:
    """The commit that `rev` names, 40 hexadecimal digits."""
    found = git("rev-parse", "--verify", "--quiet", f"{rev}^{{commit}}")
    if found is None:  # DVC keeps experiments under refs/exps/<two>/<digits>/<name>, where git does not look
        refs = (git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps") or "").splitlines()
        named = [line.split()[0] for line in refs if line.endswith(f"/{rev}")]
        if len(named) != 1:
            more = f" This clone is shallow: {SHALLOW}" if shallow() else ""
            raise SublimError(f"{rev}: expected a git revision or the name of a DVC experiment, found neither here.{more}")
        found = named[0]
    return found


def show(commit: str, name: str) -> str | None:
    """The text of the file `name` of this experiment's folder at `commit`; None if it is not there."""
    return git("show", f"{commit}:./{name}")


def cache() -> Path:
    """Where DVC's cache keeps objects by md5. Raises SublimError: this is no DVC repository, or DVC is not installed."""
    done = dvc("cache", "dir")
    if done.returncode:
        raise SublimError(f"expected a DVC repository here, found: {done.stderr.strip() or done.stdout.strip()}")
    return Path(done.stdout.strip()) / "files" / "md5"


def _outs(lock: str) -> dict[str, str]:
    """Path of each output under data/ → its md5."""
    with reading(Path("dvc.lock"), "Look at another revision, or take this file of it from one.", shape=True):
        read = cast("dict[str, Any]", YAML(typ="safe", pure=True).load(lock))  # pyright: ignore[reportUnknownMemberType]
        outs = [out for stage in read.get("stages", {}).values() for out in stage.get("outs", [])]
        return {out["path"]: out["md5"] for out in outs if Path(out["path"]).is_relative_to(layout.DATA)}


def _listed(objects: Path, name: str, md5: str, missing: list[Path]) -> dict[str, str]:
    """File → md5, for an output that is a file or a directory."""
    if not md5.endswith(".dir"):
        return {name: md5}
    listing = _object(objects, md5)
    if not listing.is_file():
        missing.append(listing)
        return {}
    with reading(listing, "Remove it and `dvc fetch` it again.", shape=True):
        return {f"{name}/{entry['relpath']}": entry["md5"] for entry in json.loads(listing.read_text(encoding="utf-8"))}


def _object(objects: Path, md5: str) -> Path:
    if _MD5.fullmatch(md5) is None:
        raise HarmfulNameError(f"{LOCK}: expected an md5 as DVC writes it, found {md5!r}.")
    return objects / md5[:2] / md5[2:]


def shallow() -> bool:
    """Whether the repository around the working directory lacks older commits."""
    return git("rev-parse", "--is-shallow-repository") == "true"


def repository() -> bool:
    """Whether the working directory is in a git repository. Raises SublimError: it seems so, but git cannot read it."""
    done = _git("rev-parse", "--git-dir")
    if done.returncode == 0:
        return True
    said = done.stderr.strip()
    if "not a git repository" in said:
        return False
    raise SublimError(f"expected a git repository or none here, found one that git does not read: {said}")


def git(*arguments: str) -> str | None:
    """What git prints, white space around it left out; None if it fails. Raises SublimError: git is not installed."""
    done = _git(*arguments)
    return done.stdout.strip() if done.returncode == 0 else None


def dvc(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """How DVC ends, and what it prints. Raises SublimError: it is not installed."""
    try:
        return subprocess.run(["dvc", *arguments], capture_output=True, errors="surrogateescape", check=False)
    except OSError as error:
        raise SublimError(f"expected dvc, which keeps the revisions, found that it cannot be run: {error.strerror}.") from None


def _git(*arguments: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            ["git", *arguments],
            capture_output=True, encoding="utf-8", errors="replace", check=False, env=os.environ | {"LC_ALL": "C"},
        )  # fmt: skip
    except OSError as error:
        raise SublimError(f"expected git, which knows the revisions, found that it cannot be run: {error.strerror}.") from None
