"""What is tried in a process of its own before anything runs: once, and never again for the same bytes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sublim.common.errors import SublimError
from sublim.engine import trials
from sublim.engine.digests import Digests
from sublim.params.trial import Trial

HERE = "tests.engine.test_trials"


def fine(folder: str) -> None:
    """Prints, as libraries do."""
    print("loading", folder)
    sys.stderr.write("a warning\n")


def strange(folder: str) -> None:
    raise RuntimeError(f"{folder} has burst\nand more")


def refuses(folder: str) -> None:
    raise SublimError(f"{folder}: expected a thing, found none")


def sleeps(folder: str) -> None:  # noqa: ARG001
    import time

    time.sleep(60)


def dies(folder: str) -> None:  # noqa: ARG001
    import os

    os.abort()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file that has settled, beside an experiment's state."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent.parent))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "file").write_text("1")
    return Path("model")


def trial(name: str, folder: Path, **more: Any) -> Trial:
    return Trial("judges.a.path: ", f"{HERE}:{name}", {"folder": str(folder), **more}, str(folder))


def check(*tried: Trial) -> None:
    trials.check(tried, Digests(Path(".sublim/digests.json")))


def nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "run", run)


def test_nothing_to_try_starts_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_is_started(monkeypatch)
    check()
    assert not Path(".sublim").exists()
    assert folder.exists()


def test_what_is_sound_is_tried_once_for_the_same_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(trial("fine", folder))
    with monkeypatch.context() as patched:
        nothing_is_started(patched)
        check(trial("fine", folder))
        (folder / "file").write_text("2")
        with pytest.raises(AssertionError, match="was started"):
            check(trial("fine", folder))
        (folder / "file").write_text("1")
        check(trial("fine", folder))
        with pytest.raises(AssertionError, match="was started"):
            check(trial("strange", folder))


@pytest.mark.parametrize("name", ["refuses", "strange"])
def test_what_is_refused_is_a_sentence_with_its_key_every_time(name: str, folder: Path) -> None:
    said = {"refuses": "model: expected a thing, found none", "strange": "RuntimeError: model has burst and more"}[name]
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"^judges\.a\.path: .*{said}"):
            check(trial("fine", folder), trial(name, folder))


def test_several_faults_are_told_together(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"(?s)none.*judges\.a\.path: .*RuntimeError"):
        check(trial("refuses", folder), trial("strange", folder))


def test_what_does_not_end_or_dies_is_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^judges\.a\.path: .*found that the process ended with signal 6"):
        check(trial("dies", folder))
    monkeypatch.setattr(trials, "SECONDS", 3)
    with pytest.raises(ValueError, match=r"^judges\.a\.path: .*within 3 seconds, found no end"):
        check(trial("sleeps", folder))


def test_a_memory_that_is_no_memory_or_cannot_be_written_is_none(folder: Path) -> None:
    Path(".sublim").write_text("a file in its place")
    check(trial("fine", folder))
    Path(".sublim").unlink()
    for content in ("", "[", "[1]", '{"a": 1}', "[" * 100_000):
        Path(".sublim").mkdir(exist_ok=True)
        Path(".sublim/tried.json").write_text(content)
        check(trial("fine", folder))
