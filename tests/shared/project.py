"""A copy of this repository with a tiny experiment in it, on which scenario tests run the real snakemake and dvc."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sublim.common.files import sha256

ROOT = Path(__file__).parent.parent.parent
MICRO = Path(__file__).parent.parent / "micro.yaml"
COPIED = (
    "Snakefile",
    "workflow",
    "profiles",
    "sublim",
    "snakemake_logger_plugin_sublim",
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
)
TOOLS = Path(sys.executable).parent


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    output: str


@dataclass(frozen=True)
class Project:
    """An experiment in a folder of its own, with the code beside it."""

    path: Path

    def run(self, *command: str, check: bool = True, **environ: str) -> Done:
        """Run a command in the project, with the code of the project."""
        done = subprocess.run(
            command, cwd=self.path, env=environment(**environ), text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
        return Done(done.returncode, done.stdout)

    def snakemake(self, *arguments: str, check: bool = True, **environ: str) -> Done:
        return self.run("snakemake", "-j8", *arguments, check=check, **environ)

    def sublim(self, *arguments: str, check: bool = True) -> Done:
        return self.run(sys.executable, "-m", "sublim", *arguments, check=check)

    def dvc(self, *arguments: str, check: bool = True) -> Done:
        return self.run("dvc", *arguments, check=check)

    def git(self, *arguments: str) -> Done:
        return self.run("git", *arguments)

    def events(self) -> list[dict[str, Any]]:
        """What jobs have done in this project so far, in order."""
        history = self.path / ".sublim" / "history.jsonl"
        return [json.loads(line) for line in history.read_text().splitlines()] if history.exists() else []

    def since(self, start: int) -> dict[str, set[str]]:
        """Action → the cells that it was done to, from event number `start` on."""
        found: dict[str, set[str]] = {"computed": set(), "restored": set(), "valid": set()}
        for event in self.events()[start:]:
            found[event["action"]].add(event["cell"])
        return found

    def computed(self, start: int) -> Counter[str]:
        """Stage → how many of its cells were computed, from event number `start` on."""
        return Counter(cell.split("/")[0] for cell in self.since(start)["computed"])

    def digests(self) -> dict[str, str]:
        """File under data/ → sha256."""
        data = self.path / "data"
        return {
            path.relative_to(data).as_posix(): sha256(path)
            for path in sorted(data.rglob("*"))
            if path.is_file() and path.name != ".gitignore"
        }

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace `old`, which must be there, by `new` in a file."""
        path = self.path / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} does not hold {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def copy(self, path: Path) -> "Project":
        """A copy of everything, without the sockets and locks of processes that run in the original."""
        shutil.copytree(self.path, path, symlinks=True, ignore=shutil.ignore_patterns("worker.sock", "run.lock", "lock", "tmp"))
        return Project(path)


def environment(**more: str) -> dict[str, str]:
    """The environment of a person who has activated the project's virtual environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "SUBLIM_", "PYTHONPATH"))}
    return clean | {
        "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "GIT_AUTHOR_DATE": "1767225600 +0000", "GIT_COMMITTER_DATE": "1767225600 +0000",
        "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t",
        "DVC_NO_ANALYTICS": "1", "COLUMNS": "200",
    } | more  # fmt: skip


def create(path: Path) -> Project:
    """A project with the micro experiment, under git and DVC, nothing computed yet."""
    path.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, path / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, path / name)
    shutil.copy(MICRO, path / "params.yaml")
    project = Project(path)
    project.git("init", "-q", "-b", "main")
    project.dvc("init", "-q")
    shutil.copy(ROOT / ".dvc" / "config", path / ".dvc" / "config")
    project.git("add", "-A")
    project.git("commit", "-qm", "an experiment")
    return project


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Project:
    """A project that `make` makes, once for all test processes."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    project = Project(shared / name)
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / f"{name}.ok").exists():
            shutil.rmtree(project.path, ignore_errors=True)
            make(project.path)
            (shared / f"{name}.ok").touch()
    return project
