"""Where a result was computed: what a record says of the machine. No host, no time, no environment variable."""

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sublim.engine.code import PACKAGE

WATCHED = ("numpy", "peft", "polars", "pyarrow", "safetensors", "scikit-learn", "sublim", "tokenizers", "torch", "transformers")


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


def git_state() -> dict[str, Any] | None:
    """Commit of the repository that the code is in, and whether tracked code differs from it; None outside a repository.

    Only code counts: params are in every plan, and dvc.lock changes while DVC runs.
    """
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", "sublim", "workflow", "Snakefile")
    return {"commit": commit, "dirty": bool(changes)}


def _git(*arguments: str) -> str | None:
    root: Path = PACKAGE.parent
    try:
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
