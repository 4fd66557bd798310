"""Two committed runs of the micro experiment: the second with another learning rate for one student model."""

from pathlib import Path

import pytest

from tests.shared.project import Project, once

RATE = ("b: {learning_rate: 0.005} # student b", "b: {learning_rate: 0.02} # student b")


def two_runs(finished: Project, factory: pytest.TempPathFactory) -> Project:
    """A project with the commits `first` and `second` (tags). Made once for all test processes. Copy it, do not touch it."""

    def make(path: Path) -> None:
        project = finished.copy(path)
        _commit(project, "first")
        project.edit("params.yaml", *RATE)
        project.snakemake()
        _commit(project, "second")

    return once(factory, "two-runs", make)


def _commit(project: Project, tag: str) -> None:
    project.dvc("commit", "-f", "-q")
    project.git("add", "-A")
    project.git("commit", "-qm", tag)
    project.git("tag", tag)
