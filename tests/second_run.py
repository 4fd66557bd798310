"""Two committed runs of the micro experiment: the second with another learning rate for one student model."""

import fcntl
import os
import shutil
from pathlib import Path

from tests.project import Project

RATE = ("b: {learning_rate: 0.005} # student b", "b: {learning_rate: 0.02} # student b")


def two_runs(finished: Project, base: Path) -> Project:
    """A project with the commits `first` and `second` (tags). Made once for all test processes. Copy it, do not touch it."""
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    project = Project(shared / "two-runs")
    with (shared / "two-runs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "two-runs.ok").exists():
            shutil.rmtree(project.path, ignore_errors=True)
            finished.copy(project.path)
            _commit(project, "first")
            project.edit("params.yaml", *RATE)
            project.snakemake()
            _commit(project, "second")
            (shared / "two-runs.ok").touch()
    return project


def _commit(project: Project, tag: str) -> None:
    project.dvc("commit", "-f", "-q")
    project.git("add", "-A")
    project.git("commit", "-qm", tag)
    project.git("tag", tag)
