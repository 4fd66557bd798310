"""What a record says of the machine: of a commit that is not known, why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sublim.engine import environment
from sublim.engine.record import read
from tests.shared.project import Project

FOREIGN = {"unknown": "because the code's repository belongs to another user"}


def test_the_commit_is_known_or_why_it_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = environment.git_state()
    assert environment.commit({"git": found}) == found
    assert len(found["commit"]) == 40
    assert environment.advice(found) == ""
    monkeypatch.setenv("HOME", os.fspath(tmp_path))  # no safe.directory
    with monkeypatch.context() as patch:
        patch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        assert environment.git_state() == FOREIGN
        assert "safe.directory" in environment.advice(environment.git_state())
    empty = tmp_path / "empty"
    subprocess.run(["git", "init", "-q", empty], check=True)
    for variable, value, why in (
        ("GIT_DIR", tmp_path, "because the code is in no git repository"),
        ("GIT_DIR", empty / ".git", "because the code's repository has no commit"),
        ("PATH", tmp_path, "because git is not installed here"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(variable, os.fspath(value))
            found = environment.git_state()
        assert found == {"unknown": why}
        assert environment.commit({"git": found}) is None
        assert why in environment.advice(found)
        assert environment.why_unknown(found) == f"unknown, {why}"
    assert environment.commit({"git": None}) is None  # a record of an earlier version


def test_an_unknown_commit_is_said_before_the_run_and_by_everything_that_names_commits(
    project: Project, tmp_path: Path
) -> None:
    project.edit("params.yaml", "report: {", "report: {confidence: 0.9, ")
    said = project.snakemake(GIT_TEST_ASSUME_DIFFERENT_OWNER="1", HOME=os.fspath(tmp_path)).output
    assert said.count("Records will not name the commit of the code") == 1
    assert read(project.path / "data/report/study=numbers/record.json").environment["git"] == FOREIGN
    why = f"unknown, {FOREIGN['unknown']}"
    assert why in " ".join(project.sublim("lineage", "report").output.split())
    origins = project.sublim("sql", "--csv", "select distinct commit is null as none from records order by 1").output
    assert origins.split() == ["none", "False", "True"]
    project.sublim("export", "report", "--to", "r.zip")
    assert project.sublim("verify", "r.zip").status == 0
    # Without git: one sentence, not a traceback.
    for command in (("gc",), ("card", "report", "--rev", "HEAD")):
        done = project.run(sys.executable, "-m", "sublim", *command, check=False, PATH=os.fspath(tmp_path))
        assert done.status == 1
        assert "expected git" in done.output
        assert "Traceback" not in done.output
