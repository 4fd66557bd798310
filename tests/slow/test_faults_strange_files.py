"""What may stand where a file of an artifact should be: named, not waited for, and mended."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from sublim.engine import layout
from sublim.engine.digests import differs
from sublim.engine.record import Output, RecordError, read
from sublim.evidence.finding import CORRUPTED
from tests.shared.project import Project

STUDENT = "student/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=a/seed=1"
RAW = "raw/teacher=a/trait=fox/carrier=numbers/seed=1"
Put = Callable[[Path], object]


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the whole path may be longer than the name of a socket may be
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def a_sparse_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(30 << 30)


def an_endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


STRANGE: dict[str, tuple[Put, str]] = {
    f"{STUDENT}/steps.parquet": (os.mkfifo, "a pipe"),
    f"{STUDENT}/tensors.parquet": (a_socket, "a socket"),
    f"{RAW}/rows.parquet": (a_link_to_itself, "something that cannot be read (Too many levels of"),
    "report/study=numbers/summary.json": (a_sparse_file, "other bytes, 32,212,254,720 instead of"),
    "report/study=numbers/gains.svg": (an_endless_device, "a device"),
    "overview/metrics.json": (Path.mkdir, "a folder"),
    "base/model=a/config.json": (lambda path: path.symlink_to("nowhere"), "missing"),
}


@pytest.mark.timeout(300)
def test_what_is_no_file_is_named_by_every_reader_and_mended(project: Project) -> None:
    before = project.digests()
    for name, (put, _) in STRANGE.items():
        path = project.path / layout.DATA / name
        path.unlink()
        put(path)
    for arguments in (("audit",), ("audit", "--full", "--cache"), ("why", RAW), ("status",)):
        done = project.sublim(*arguments, check=False)
        assert "Traceback" not in done.output
        if arguments[0] == "audit":
            assert done.status & CORRUPTED
            for name, (_, words) in STRANGE.items():
                cell, _, file = name.rpartition("/")
                line = next(line for line in done.output.splitlines() if f"data/{cell}: " in line and f"{file}: " in line)
                assert f"→ {words}" in line
    project.snakemake()
    assert project.digests() == before
    shutil.rmtree(project.path / ".sublim" / "store")
    (project.path / "data" / "overview" / "link").symlink_to("../raw")
    os.mkfifo(project.path / "data" / "raw" / "pipe")
    done = project.sublim("audit", check=False)
    assert "data/overview: corrupted: link is not in its record" in done.output
    assert "data/raw: corrupted: 1 files here belong to no artifact" in done.output


def test_a_folder_with_something_in_it_is_not_removed(project: Project) -> None:
    path = project.path / "data" / RAW / "rows.parquet"
    path.unlink()
    path.mkdir()
    (path / "mine.txt").write_text("mine")
    done = project.snakemake(check=False)
    log = (project.path / layout.LOGS / f"{RAW}.log").read_text()
    assert done.status
    assert "rows.parquet: expected a file, found a folder. Remove it" in log
    assert (path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("put", [os.mkfifo, Path.mkdir, a_sparse_file, an_endless_device, a_link_to_itself])
def test_what_stands_where_a_record_should_be_is_no_record(tmp_path: Path, put: Put) -> None:
    put(tmp_path / "record.json")
    with pytest.raises(RecordError, match=r"is none: expected a file|cannot be read \(Too many"):
        read(tmp_path / "record.json")


def test_below_a_file_there_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "base").touch()
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "base" / "record.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("x")
    path.chmod(0)
    assert differs(path, Output("0" * 64, 1)) == "something that cannot be read (Permission denied)"
    with pytest.raises(RecordError, match="Permission denied"):
        read(path)


def test_a_file_that_reading_fails_on_is_said_to_be_so(tmp_path: Path) -> None:
    """As on a broken disk, or without the right to read."""
    (tmp_path / "x").write_text("x")

    def broken(path: Path) -> str:
        raise PermissionError(13, "Permission denied", path)

    assert differs(tmp_path / "x", Output("0" * 64, 1), broken) == "something that cannot be read (Permission denied)"
