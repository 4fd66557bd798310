"""What a machine cannot do is found by trying, and said with what to do."""

import fcntl
import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sublim.engine import devices, doctor
from sublim.engine.doctor import Examined, examine
from tests.shared.project import Project, create


def found(folder: Path) -> dict[str, Examined]:
    return {each.what: each for each in examine(folder)}


def test_all_is_well_here_and_nothing_is_left_behind(tmp_path: Path) -> None:
    every = found(tmp_path)
    assert {each.what for each in every.values() if each.severe} == set()
    assert {"locks", "times", "renames", "sockets"} <= {name for name, each in every.items() if each.advice is None}
    assert not any(tmp_path.iterdir())


def _fails(*_: object, **__: object) -> None:
    raise PermissionError(1, "Operation not permitted")


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def _nothing(*_: object) -> None:
    """What a file system does that only pretends."""


def _little(_: object) -> Usage:
    return Usage(9, 8, 1)


def _old(_: str) -> str:
    return "0.0.1"


FAULTS: dict[str, tuple[object, str, object, str, bool]] = {
    "locks": (fcntl, "flock", _nothing, "expected held, found free", True),
    "times": (os, "utime", _nothing, "cannot be set", True),
    "renames": (Path, "replace", _nothing, "does not replace", True),
    "sockets": (socket.socket, "bind", _fails, "none can be made in a folder", False),
    "room": (shutil, "disk_usage", _little, "0.0 GiB free", False),
    "packages": (doctor, "version", _old, "0.0.1 for", False),
}
VARIABLES = {
    "processors": ("OMP_NUM_THREADS", "8", "threads in a job: 8"),
    "git": ("GIT_DIR", "/nowhere", "not known"),
}


@pytest.mark.parametrize("what", [*FAULTS, *VARIABLES])
def test_a_fault_is_found_with_what_to_do(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if what in FAULTS:
        where, name, other, said, severe = FAULTS[what]
        monkeypatch.setattr(where, name, other)
    else:
        (name, value, said), severe = VARIABLES[what], False
        monkeypatch.setenv(name, value)
    each = found(tmp_path)[what]
    assert said in each.found
    assert each.advice is not None
    assert each.severe is severe
    (line, advice) = doctor.table([each])
    assert line.startswith("! " if severe else "? ")
    assert each.advice in advice


def test_what_the_file_system_refuses_is_a_fault_and_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", _fails)
    each = found(tmp_path)["locks"]
    assert (each.severe, each.found) == (True, "Operation not permitted")


def test_gpus_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.OURS, "0,1")
    monkeypatch.setattr(devices, "folder", lambda: tmp_path)
    assert found(tmp_path)["GPUs"].found == "0, 1; each for one large model or 8 small ones"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return create(tmp_path / "project")


def test_the_command_says_it_in_text_and_json_and_by_its_exit_status(project: Project) -> None:
    told: list[dict[str, Any]] = json.loads(project.sublim("doctor", "--json").output)
    text = project.sublim("doctor").output
    assert all(each["found"] in text for each in told if each["what"] != "room")
    project.path.chmod(0o555)
    try:
        closed = project.sublim("doctor", check=False)
        assert closed.status == (0 if os.access(project.path, os.W_OK) else 1)  # root may all the same
    finally:
        project.path.chmod(0o755)
