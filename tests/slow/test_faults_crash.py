"""A job stopped at each of its steps on the file system: what is at a final path is whole, and the next run is right."""

import errno
import json
import os
from collections.abc import Callable
from contextlib import chdir
from itertools import count
from pathlib import Path

import pytest

from sublim.common.files import sha256
from sublim.engine import layout
from sublim.engine.digests import Digests
from tests.shared import interruptions
from tests.shared.interruptions import CELL, Done, bring, failing, killed, linked, powerless, replan, run_job, small
from tests.shared.project import Project

OLD, NEW = "maximum: 999", "maximum: 500"
ARTIFACT = f"data/{CELL}"


@pytest.fixture
def changed(finished: Project, tmp_path: Path) -> Path:
    """Another filter is planned: the job has something to compute."""
    project = Project(small(finished.path, tmp_path / "changed"))
    project.edit("params.yaml", OLD, NEW)
    return _planned(project.path)


@pytest.fixture
def returned(changed: Path, tmp_path: Path) -> Path:
    """Another filter was planned and done, then the old one again: the job has something to restore."""
    project = Project(linked(changed, tmp_path / "returned"))
    bring(project.path)
    project.edit("params.yaml", NEW, OLD)
    return _planned(project.path)


@pytest.fixture
def smaller(finished: Project, tmp_path: Path) -> Path:
    """An arm was taken out of the experiment: the main process has artifacts to remove."""
    project = Project(linked(finished.path, tmp_path / "smaller"))
    project.edit("params.yaml", "shuffled_across: same", "shuffled_across: none")
    return project.path


def _planned(project: Path) -> Path:
    with chdir(project):
        interruptions.plan()
    return project


def _digests(path: Path) -> dict[str, str]:
    return Project(path).digests()


@pytest.fixture
def get(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    return lambda name: request.getfixturevalue(name)


JOB = pytest.mark.parametrize("name", ["changed", "returned"], ids=["compute", "restore"])


@JOB
@pytest.mark.timeout(300)
def test_a_job_killed_at_each_step(get: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    start = get(name)
    before, after = _digests(start), _undisturbed(start, tmp_path)
    step = 0
    for step in count():
        project = linked(start, tmp_path / "project")
        try:
            killed(project, run_job, step)
        except Done:
            break
        _nothing_half(project, before, after, f"killed before step {step}")
        bring(project)
        assert _digests(project) == after, f"killed before step {step}"
    assert step > 20


@pytest.mark.timeout(300)
def test_the_main_process_killed_while_it_removes_what_the_experiment_has_no_more(smaller: Path, tmp_path: Path) -> None:
    before, whole = _digests(smaller), linked(smaller, tmp_path / "whole")
    _replan(whole)
    after = _digests(whole)
    assert after.keys() < before.keys()
    step = 0
    for step in count():
        project = linked(smaller, tmp_path / "project")
        try:
            killed(project, replan, step, only="data/")
        except Done:
            break
        _replan(project)
        assert _digests(project) == after, f"killed before step {step}"
    assert step > 1


def _replan(project: Path) -> None:
    with chdir(project):
        replan()


@JOB
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
def test_a_disk_that_fails_at_each_step(get: Callable[[str], Path], tmp_path: Path, name: str, number: int) -> None:
    start = get(name)
    before, after = _digests(start), _undisturbed(start, tmp_path)
    step = 0
    for step in count():
        project = linked(start, tmp_path / "project")
        try:
            failing(project, run_job, step, number)
        except Done:
            break
        found = _digests(project)
        _nothing_half(project, before, after, f"failed at step {step}")
        if number == errno.ENOSPC:
            assert found in (before, after), f"on a disk that is full from step {step} on, the old artifact did not stay"
        bring(project)
        assert _digests(project) == after, f"failed at step {step}"
    assert step > 20


@JOB
@pytest.mark.timeout(300)
def test_a_loss_of_power_at_each_step(get: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    start = get(name)
    after = _undisturbed(start, tmp_path)
    moments = 0
    for project in powerless(linked(start, tmp_path / "project"), run_job, tmp_path / "found"):
        bring(project)
        assert _digests(project) == after
        moments += 1
    assert moments > 40


def _undisturbed(start: Path, tmp_path: Path) -> dict[str, str]:
    whole = linked(start, tmp_path / "whole")
    bring(whole)
    after = _digests(whole)
    assert after != _digests(start)
    return after


def _nothing_half(project: Path, before: dict[str, str], after: dict[str, str], when: str) -> None:
    """Every file at a final path is the old or the new one."""
    found = _digests(project)
    assert not {file for file, digest in found.items() if digest not in (before.get(file), after.get(file))}, when


@pytest.mark.parametrize("damage", [b"", b"\0" * 64, b"\xff\xfe\x80", b"[1, 2]", b"null", b'{"a"'], ids=repr)
@pytest.mark.parametrize("name", [layout.DIGESTS, layout.plan(CELL), layout.PLANS / "experiment.json", layout.GIT], ids=str)
def test_a_damaged_file_of_state_is_written_anew(finished: Project, tmp_path: Path, name: Path, damage: bytes) -> None:
    project = linked(finished.path, tmp_path / "project")
    before = _digests(project)
    _replan(project)
    whole = (project / name).read_bytes()
    (project / name).write_bytes(damage)
    _replan(project)
    assert name == layout.DIGESTS or (project / name).read_bytes() == whole
    json.loads((project / name).read_text(encoding="utf-8"))
    bring(project)
    assert _digests(project) == before


def test_half_a_line_of_history_costs_one_line(changed: Path) -> None:
    with (changed / layout.HISTORY).open("ab") as history:
        history.write(b'{"time": 1767225600.0, "cell": "filt')
    start = len((changed / layout.HISTORY).read_bytes().splitlines())
    bring(changed)
    assert len((changed / layout.HISTORY).read_bytes().splitlines()) > start, "the next event was written into the half line"


def test_what_is_remembered_of_a_file_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that others wrote (dvc pull, cp) may not have been flushed. Remembering their digest while a loss of power can
    still take them, and leave size and times, would call lost bytes proven."""
    flushed: list[int] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        flushed.append(os.fstat(handle).st_ino)
        fsync(handle)

    path = tmp_path / "file"
    path.write_bytes(b"pulled")
    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr("sublim.engine.digests.SETTLED_NS", 0)
    digests = Digests(tmp_path / "digests.json")
    assert digests(path) == sha256(path)
    digests.save()
    assert path.stat().st_ino in flushed


def test_a_file_that_belongs_to_no_artifact_is_named(finished: Project, tmp_path: Path) -> None:
    """As a killed removal, or a copy by hand, leaves it: whoever reads the whole stage as one table would read it too."""
    project = finished.copy(tmp_path / "project")
    stray = project.path / "data/raw/teacher=a/trait=owl/carrier=numbers/seed=1/rows.parquet"
    stray.parent.mkdir(parents=True)
    stray.write_bytes((project.path / "data/raw/teacher=a/trait=fox/carrier=numbers/seed=1/rows.parquet").read_bytes())
    audit = project.sublim("audit", check=False)
    assert audit.status != 0
    assert "data/raw/teacher=a/trait=owl/carrier=numbers/seed=1" in audit.output
