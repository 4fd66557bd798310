"""Files that cannot be read as what they should be, before every command: a sentence with the path and what to do."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from sublim.cli.main import main
from sublim.common.errors import SublimError
from sublim.common.reading import UnreadableError, explained, json_in, reading
from tests.shared.project import ROOT, Project, environment

STUDENT = "student/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=b/seed=1"
TEACHER = "teacher/teacher=a/trait=fox/seed=1"
RAW = "raw/teacher=a/trait=fox/carrier=numbers/seed=1"
CONTENTS = {
    "deep": b"[" * 100_000, "deep objects": b'{"a":' * 100_000, "other text": b"\xff\xfe\x00{", "cut off": b'{"a": [1, "',
    "empty": b"", "another form": b"[7]", "another form still": b'{"stages": 7, "holds": 7, "known": 7}', "NaN": b'{"a": NaN}',
    "a huge number": b"9" * 10_000, "a table that is none": b"PAR1" + b"\xff" * 40 + b"PAR1", "folder": None,
}  # fmt: skip
COMMANDS = {
    "status": (), "why": (STUDENT,), "audit": (), "lineage": (STUDENT,), "impact": (RAW,), "card": (STUDENT,), "cost": (),
    "sql": ("select count(*) from raw",), "diff": ("HEAD",), "gc": ("--dry-run",),
    "export": (STUDENT, "--to", "bundle.zip", "--date", "2026-01-01"), "schema": (),
}  # fmt: skip
STATE = ("digests.json", "proven.json", "code.json", "rekeying.json", "plan/experiment.json", "history.jsonl", "index/x")
FILES = (
    *(f".sublim/{name}" for name in STATE),
    "params.yaml", "dvc.lock", "requirements.lock", f"data/{STUDENT}/record.json", f"data/{TEACHER}/record.json",
    f"data/{RAW}/rows.parquet", f"data/{TEACHER}/teacher.json", f"data/{STUDENT}/adapter_config.json",
    "data/base/model=a/config.json",
    f"data/{TEACHER}/steps.parquet", "data/report/study=numbers/summary.json", f"data/{STUDENT}/adapter_model.safetensors",
)  # fmt: skip


@pytest.fixture(scope="module")
def experiment(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished experiment without code beside it: this process's is asked."""
    copy = finished.copy(tmp_path_factory.mktemp("unreadable") / "project").path
    shutil.rmtree(copy / "sublim")
    with chdir(copy):
        yield copy


def _run(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["sublim", command, *COMMANDS[command]])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out + said.err


@pytest.mark.usefixtures("experiment")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("file", FILES)
def test_every_command_says_in_a_sentence_what_cannot_be_read(
    file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, aside = Path(file), Path("aside")
    path.parent.mkdir(parents=True, exist_ok=True)
    there = path.exists()
    if there:
        path.rename(aside)
    number = FILES.index(file)
    kinds = list(CONTENTS)
    try:
        for each, command in enumerate(COMMANDS):
            kind = kinds[(number + each) % len(kinds)]
            content = CONTENTS[kind]
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)
            path.write_bytes(content) if content is not None else path.mkdir()
            status, said = _run(command, monkeypatch, capsys)  # anything but an end with a status fails here
            assert "Traceback" not in said, (command, kind)
            if status and "cannot be read" in said:
                assert path.name in said or str(path.parent).removeprefix("data/") in said, (command, kind, said)
    finally:
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
        if there:
            aside.rename(path)


def test_errors_of_reading_have_a_path_and_what_to_do_and_faults_of_our_own_stay(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for content, words in (
        (b"\xff", "expected text in UTF-8, found byte 0xff at 0"), (b"{", "expected JSON, found a mistake in line 1, column 2"),
        (b"[" * 100_000, "it is nested too deeply"), (None, "no such file or directory"),
    ):  # fmt: skip
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UnreadableError) as caught:
            json_in(path, "Do this.")
        assert str(caught.value).startswith(f"{path}: cannot be read: {words}")
        assert str(caught.value).endswith(". Do this.")
    for error in (ZeroDivisionError(), AssertionError(), NotImplementedError(), SublimError("said already")):
        with pytest.raises(type(error)), reading(path, shape=True):
            raise error
    with pytest.raises(KeyError), reading(path):
        raise KeyError
    with pytest.raises(UnreadableError, match="another form"), reading(path, shape=True):
        _ = json.loads("{}")["a"]


def test_what_the_system_refuses_is_explained_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        (tmp_path / "a").rename(tmp_path / "b")
    said = str(explained(caught.value))
    assert said.startswith(f"{tmp_path / 'a'} → {tmp_path / 'b'}: no such file or directory. Check ")
    assert explained(OSError("of nothing")) is None


def test_a_terminal_obeys_nothing_and_a_pipe_gets_what_was_written(tmp_path: Path) -> None:
    code = "import sys; from sublim.cli.main import main; sys.argv = ['sublim', 'verify', 'x\\x1b[2K']; main()"
    leader, follower = os.openpty()
    environ = environment(PYTHONPATH=os.fspath(ROOT))
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environ, stderr=follower, stdout=follower, check=False
    )
    os.close(follower)
    said = os.read(leader, 10_000).decode()
    os.close(leader)
    assert (shown.returncode, "\x1b" in said, r"x\x1b[2K: expected a bundle" in said) == (1, False, True), said
