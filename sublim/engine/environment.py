"""Where a result was computed: what a record says of the machine. No host, no time, no environment variable."""

import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sublim.engine.code import PACKAGE

WATCHED = ("numpy", "peft", "polars", "pyarrow", "safetensors", "scikit-learn", "sublim", "tokenizers", "torch", "transformers")


FOREIGN = "the code's repository belongs to another user"


@cache
def packages() -> dict[str, str]:
    """Package → installed version, for the packages that results can depend on."""
    found: dict[str, str] = {}
    for name in WATCHED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe(git: dict[str, Any] | None) -> dict[str, Any]:
    """Python, platform and packages of this process, and the state of the code's repository as `git` has found it."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()}-{platform.machine()}",
        "packages": packages(),
        "git": git,
    }


def git_state() -> dict[str, Any]:
    """Commit of the repository that the code is in, and whether tracked code differs from it; `unknown`: because of what, where
    git cannot tell.

    Only code counts: params are in every plan, and dvc.lock changes while DVC runs.
    """
    try:
        commit = _git("rev-parse", "--verify", "HEAD")
        changes = _git("status", "--porcelain", "--untracked-files=no", "--", "sublim", "workflow", "Snakefile")
    except GitError as error:
        return {"unknown": f"because {error}"}
    return {"commit": commit, "dirty": bool(changes)}


def commit(environment: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a record's environment says of the code's `commit` and whether it was `dirty`; None if that is not known."""
    git = environment.get("git")
    return git if git and "commit" in git else None


def why_unknown(git: Mapping[str, Any] | None) -> str:
    """In words, where the code's commit is not known: because of what, as far as that was recorded."""
    return f"unknown, {git['unknown']}" if git and "unknown" in git else "unknown"


def advice(git: Mapping[str, Any]) -> str:
    """What a person is told before a run whose records will not name the code's commit; nothing if they will."""
    if "unknown" not in git:
        return ""
    mend = (
        f" `git config --global --add safe.directory {PACKAGE.parent}` lets git read it." if FOREIGN in git["unknown"] else ""
    )
    return f"Records will not name the commit of the code: it is {why_unknown(git)}.{mend}"


class GitError(Exception):
    """Why git does not answer, for a record: without paths of this machine."""


def _git(*arguments: str) -> str:
    root: Path = PACKAGE.parent
    try:
        command = ["git", "-C", os.fspath(root), *arguments]
        done = subprocess.run(command, capture_output=True, check=False, env=os.environ | {"LC_ALL": "C"})
    except OSError:
        raise GitError("git is not installed here") from None
    if done.returncode == 0:
        return done.stdout.decode(errors="replace").strip()
    said = done.stderr.decode(errors="replace")
    reasons = {"dubious ownership": FOREIGN, "not a git repository": "the code is in no git repository"}
    reasons |= {"Needed a single revision": "the code's repository has no commit"}
    raise GitError(next((why for words, why in reasons.items() if words in said), "git cannot read the code's repository"))
