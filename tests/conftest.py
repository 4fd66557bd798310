"""Fixtures that several test files share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tests.shared.project import Project, create, once

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["DVC_NO_ANALYTICS"] = "1"
settings.register_profile("sublim", deadline=None)  # tests assert no times
settings.load_profile("sublim")


def pytest_itemcollected(item: pytest.Item) -> None:
    """All in tests/slow is slow."""
    if Path(__file__).parent / "slow" in item.path.parents:
        item.add_marker("slow")


@pytest.hookimpl(trylast=True)  # when those that are not to run are gone
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, in each part: each process begins with one part, and at the end takes from the others. The longest are
    the last in the order of files."""
    parts = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in reversed(items) if item.get_closest_marker("long")]
    rest = [item for item in items if item not in set(long)]
    size = -(-len(rest) // parts)
    items[:] = [item for part in range(parts) for item in (*long[part::parts], *rest[part * size : (part + 1) * size])]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment, computed by snakemake. Made once for all test processes. Copy it, do not touch it."""
    return once(tmp_path_factory, "finished", lambda path: create(path).snakemake())


@pytest.fixture(scope="session")
def committed(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished experiment, versioned by DVC, pushed to a local remote and committed. Copy it, do not touch it."""

    def make(path: Path) -> None:
        project = finished.copy(path)
        project.dvc("repro")
        project.dvc("remote", "add", "-d", "here", os.fspath(path.with_name("remote")))
        project.dvc("push")
        project.git("add", "-A")
        project.git("commit", "-qm", "computed")

    return once(tmp_path_factory, "committed", make)


@pytest.fixture
def fresh_copy(finished: Project, tmp_path: Path) -> Callable[[], Project]:
    """Makes a copy of the finished experiment to play with."""
    return lambda: finished.copy(tmp_path / "project")


@pytest.fixture
def project(fresh_copy: Callable[[], Project]) -> Project:
    """A copy of the finished experiment to play with."""
    return fresh_copy()


@pytest.fixture
def versioned(committed: Project, tmp_path: Path) -> Project:
    """A copy of the finished, versioned, pushed and committed experiment to play with."""
    return committed.copy(tmp_path / "project")
