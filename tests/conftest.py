"""Fixtures that several test files share."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.project import Project, create

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["DVC_NO_ANALYTICS"] = "1"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment, computed by snakemake. Made once for all test processes. Copy it, do not touch it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    project = Project(shared / "finished")
    with (shared / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "finished.ok").exists():
            shutil.rmtree(project.path, ignore_errors=True)
            create(project.path).snakemake()
            (shared / "finished.ok").touch()
    return project


@pytest.fixture
def fresh_copy(finished: Project, tmp_path: Path) -> Callable[[], Project]:
    """Makes a copy of the finished experiment to play with."""
    return lambda: finished.copy(tmp_path / "project")


@pytest.fixture
def project(fresh_copy: Callable[[], Project]) -> Project:
    """A copy of the finished experiment to play with."""
    return fresh_copy()
