"""Computations that a launcher starts: only these, with what the rule reserves, and believed only if they are there."""

import json
import os
import sys
from pathlib import Path

import pytest

from sublim.common.errors import SublimError
from sublim.engine import launcher, layout
from sublim.engine.job import Job
from sublim.engine.launcher import filled, launch
from sublim.engine.record import Plan
from tests.shared.project import ROOT, Project

CELL = "teacher/teacher=a/trait=fox/seed=1"
WORK = Job(Plan("teacher", {"teacher": "a", "trait": "fox", "seed": 1}, {}, {}), {})
RAW = "raw/teacher=a/trait=fox/carrier=numbers/seed=1"
LAUNCH = '#!/bin/sh\necho "$@" >> launched.txt\nshift\nexec env -i PATH="$PATH" "$@"\n'
PROFILE = """\
default-resources:
  launcher: "'./launch --mem={mem_mb},gpu:{gpu}'"
  disk_mb: 1
set-resources:
  raw: {mem_mb: 1500, gpu: 2}
"""


def test_fields_are_what_snakemake_reserves() -> None:
    reserved = {"mem_mb": 1200, "runtime": 60, "_cores": 1, "_nodes": 1}
    assert filled("srun --mem={mem_mb} --time={runtime} --gres=gpu:{gpu}", reserved) == "srun --mem=1200 --time=60 --gres=gpu:0"
    assert filled("bsub -K -q '{queue}'", reserved | {"queue": "long"}) == "bsub -K -q 'long'"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("srun --account={account}", r"expected fields that are resources of the rule \(gpu, mem_mb\), found \{account\} in"),
        ("srun --nodes={_nodes}", r"found \{_nodes\}"),
        ("srun {}", r"found \{\}"),
        ("srun --mem={mem_mb", r"expected a command line, found"),
        ("srun 'of", r"expected a command line, found .*No closing quotation"),
    ],
)
def test_a_launcher_that_cannot_be_meant_is_refused(command: str, message: str) -> None:
    with pytest.raises(SublimError, match=message):
        filled(command, {"mem_mb": 1200, "_nodes": 1})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launcher, "SEEN_SECONDS", 0.5)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("false", r"teacher=a.*: not made \(false ended with exit status 1\)"),
        ("no-such-launcher -K", r"no-such-launcher cannot be started: No such file or directory"),
        ("true", r"true ended as if all was well, and .*record\.json is not what was to be made"),
    ],
)
def test_a_launcher_that_fails_or_does_not_wait_makes_nothing(command: str, message: str, here: Path) -> None:
    with pytest.raises(SublimError, match=message):
        launch(WORK, command)
    assert not any(here.iterdir())


def test_what_is_started_needs_nothing_of_its_surroundings(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every launcher hands on a directory or an environment."""
    monkeypatch.setenv("SUBLIM_STORE", "/a store")
    monkeypatch.setenv("PYTHONPATH", "/code")
    monkeypatch.setenv(launcher.COMMAND, "never again")
    Path("launch").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > said\nexit 3\n', encoding="utf-8")
    Path("launch").chmod(0o755)
    with pytest.raises(SublimError, match="exit status 3"):
        launch(WORK, "./launch 'of two words'")
    said = Path("said").read_text(encoding="utf-8").splitlines()
    assert said[:2] == ["of two words", "env"]
    assert {f"--chdir={here}", "--unset=SUBLIM_LAUNCHER", "SUBLIM_STORE=/a store", "PYTHONPATH=/code"} < set(said)
    assert said[-3:] == ["sublim", "run", CELL]


def test_jobs_are_launched_where_something_is_computed_and_nowhere_else(finished: Project, tmp_path: Path) -> None:
    """The launcher hands on no environment. The teacher can be restored, its rows cannot."""
    project = finished.copy(tmp_path / "project")
    before = project.digests()
    (project.path / "launch").write_text(LAUNCH, encoding="utf-8")
    (project.path / "launch").chmod(0o755)
    (project.path / "cluster").mkdir()
    (project.path / "cluster/config.yaml").write_text(PROFILE, encoding="utf-8")
    raw = project.path / "data" / RAW / "record.json"
    key = json.loads(raw.read_text(encoding="utf-8"))["key"]
    (project.path / ".sublim/store/keys" / key[:2] / f"{key}.json").unlink()
    raw.unlink()
    (project.path / "data" / CELL / "record.json").unlink()
    start = len(project.events())
    project.run("snakemake", "-j2", "--profile", "cluster")
    done = project.since(start)
    assert done["computed"] == {RAW}
    assert CELL in done["restored"]
    (launched,) = (project.path / "launched.txt").read_text(encoding="utf-8").splitlines()
    assert launched.startswith("--mem=1500,gpu:2 env ")
    assert launched.endswith(f" sublim run {RAW}")
    assert project.digests() == before
    assert sorted((project.path / ".sublim").glob("worker*.sock")) == [], "who was launched ends with all that it started"


def test_who_was_launched_talks_to_processes_of_its_own_machine_alone() -> None:
    """The directory is shared, a socket in it is not."""
    say = "import socket; socket.gethostname = lambda: '{}'; from sublim.engine import layout; print(layout.SOCKET)"
    names: set[str] = set()
    for host, job in (("one", "1"), ("one", "2"), ("two", "1")):
        for launched in ("", "1"):
            environ = {"PYTHONPATH": os.fspath(ROOT), "SLURM_JOB_ID": job, layout.LAUNCHED: launched}
            names.add(Project(ROOT).run(sys.executable, "-c", say.format(host), check=True, **environ).output.strip())
    assert len(names) == 4
    assert os.fspath(layout.SOCKET) in names
