"""Machines that lack something: the right to write, a home, letters, permissions of one's own files."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sublim.common.errors import SublimError
from sublim.engine.surroundings import check_permissions
from tests.shared.project import Done, Project, environment

READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && cd "$1" || exit 99; shift; exec "$@"'
NO_LETTERS = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}


def read_only(project: Project, *command: str) -> Done:
    """Run a command where the project's file system is read-only."""
    bound = ["unshare", "-rm", "bash", "-c", READ_ONLY, "-", os.fspath(project.path), *command]
    done = subprocess.run(bound, env=environment(), text=True, capture_output=True, check=False)
    if done.returncode == 99 or "unshare: " in done.stderr:
        pytest.skip(f"no name space for a read-only mount: {done.stderr}")
    return Done(done.returncode, done.stdout + done.stderr)


def test_on_a_read_only_file_system_one_can_look(project: Project) -> None:
    shutil.rmtree(project.path / ".sublim" / "index", ignore_errors=True)
    (project.path / ".sublim" / "digests.json").unlink(missing_ok=True)
    (project.path / ".sublim" / "proven.json").unlink(missing_ok=True)
    for arguments, said in (
        (("audit",), "proven: 44 artifacts"),
        (("status",), "all 44 artifacts are up to date"),
        (("why", "overview"), "overview is up to date"),
        (("valid", "base"), ""),
        (("gc", "--dry-run"), "would free"),
        (("lineage", "overview"), "overview"),
        (("sql", "select count(*) from runs"), "12"),
    ):
        done = read_only(project, sys.executable, "-m", "sublim", *arguments)
        assert said in done.output
        assert done.status == 0
        assert "Traceback" not in done.output
    for command in (("snakemake", "-n"), ("snakemake", "-j2"), (sys.executable, "-m", "sublim", "gc")):
        done = read_only(project, *command)
        assert done.status
        assert "expected to write here, found that it cannot be: Read-only file system" in done.output
        assert "Traceback" not in done.output


def test_without_a_home_or_letters_the_bytes_are_the_same(finished: Project, tmp_path: Path) -> None:
    project, before = finished.copy(tmp_path / "project"), finished.digests()
    homeless = {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "", "PYTHONPATH": os.fspath(project.path)}
    for environ in (homeless, NO_LETTERS):
        shutil.rmtree(project.path / ".sublim" / "store")
        shutil.rmtree(project.path / "data" / "overview")
        project.edit("params.yaml", "permutations: 1000", "permutations: 1001")
        done = project.run("snakemake", "-j2", check=True, **environ)
        assert "2 computed" in done.output
        assert "Traceback" not in done.output
        shutil.rmtree(project.path / "data" / "report")
        project.edit("params.yaml", "permutations: 1001", "permutations: 1000")
        project.run("snakemake", "-j2", check=True, **environ)
        assert project.digests() == before
    for arguments in (("lineage", "overview"), ("sql", "select '…' as three_points"), ("power",), ("status",)):
        done = project.run(sys.executable, "-m", "sublim", *arguments, check=True, **NO_LETTERS)
        assert "Traceback" not in done.output
    asked = project.run(sys.executable, "-m", "sublim", "sql", "--json", "select '…' as points", check=True, **NO_LETTERS)
    assert json.loads(asked.output) == [{"points": "…"}]


@pytest.mark.parametrize(("mask", "fit"), [(0o022, True), (0o077, True), (0o777, False), (0o277, False), (0o177, False)])
def test_a_umask_that_closes_files_to_their_owner_is_refused(mask: int, fit: bool) -> None:
    before = os.umask(mask)
    try:
        if fit:
            check_permissions()
        else:
            with pytest.raises(SublimError, match=f"umask {mask:04o}: expected one that leaves your own files to you"):
                check_permissions()
        assert os.umask(mask) == mask
    finally:
        os.umask(before)


def test_such_a_run_changes_nothing(project: Project) -> None:
    before = project.digests()
    project.edit("params.yaml", "permutations: 1000", "permutations: 1001")
    done = project.run("bash", "-c", "umask 0777; snakemake -j2", check=False)
    assert done.status
    assert "umask 0777: expected one" in done.output
    assert "Traceback" not in done.output
    assert project.digests() == before
