"""GPUs are shared out: no device is used by more than it has room for, whoever is killed. The devices are pretended."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sublim.common.errors import SublimError
from sublim.engine import devices, layout
from sublim.engine.devices import SEATS, leased, seats
from sublim.models.probed import FILE as PROBE
from tests.shared.project import ROOT
from tests.shared.slow_compute import GO, SEEN
from tests.shared.waiting import until

LISTED = """\
GPU 0: NVIDIA A100 (UUID: GPU-aaaa)
GPU 1: NVIDIA A100 (UUID: GPU-bbbb)
  MIG 3g.20gb     Device  0: (UUID: MIG-cccc)
  MIG 3g.20gb     Device  1: (UUID: MIG-dddd)
"""


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of this machine: no devices, a PyTorch that could use some, and locks in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    monkeypatch.delenv(devices.OURS, raising=False)
    monkeypatch.setenv("PATH", os.fspath(tmp_path / "bin"))
    built(monkeypatch, "2.13.0+cu130")
    place = tmp_path / "locks"
    place.mkdir()
    monkeypatch.setattr(devices, "folder", lambda: place)
    return place


def built(monkeypatch: pytest.MonkeyPatch, torch: str) -> None:
    """Pretend that this version of PyTorch is installed."""

    def version(package: str) -> str:
        assert package == "torch"
        return torch

    monkeypatch.setattr(devices, "version", version)


def smi(said: str, status: int = 0) -> None:
    program = Path("bin/nvidia-smi")
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{said}END\nexit {status}\n", encoding="utf-8")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        ("0,1", ("0", "1")),
        ("1, GPU-x", ("1", "GPU-x")),
        ("", ()),
        ("-1", ()),
        ("2,-1,3", ("2",)),
        ("NoDevFiles", ("NoDevFiles",)),
    ],
)
def test_what_is_visible_is_shared_out_as_cuda_reads_it(
    visible: str, found: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    smi(LISTED)
    monkeypatch.setenv(devices.VISIBLE, visible)
    assert devices.devices() == found
    monkeypatch.setenv(devices.OURS, "a,b")
    assert devices.devices() == ("a", "b")


def test_else_all_that_are_listed_and_the_parts_of_a_card_that_is_cut_up() -> None:
    smi(LISTED)
    assert devices.devices() == ("GPU-aaaa", "MIG-cccc", "MIG-dddd")


def test_none_with_a_pytorch_that_uses_none_unless_they_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else models on a CPU would wait for each other."""
    smi(LISTED)
    built(monkeypatch, "2.13.0+cpu")
    monkeypatch.setenv(devices.VISIBLE, "0")
    assert devices.devices() == ()
    monkeypatch.setenv(devices.OURS, "1")
    assert devices.devices() == ("1",)


def test_none_without_a_driver() -> None:
    assert devices.devices() == ()
    smi("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", 9)
    assert devices.devices() == ()
    with leased(SEATS) as lease:
        assert (lease.environ, lease.descriptors) == ({}, ())


def test_a_number_and_its_uuid_are_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    smi(LISTED.splitlines(keepends=True)[0])
    monkeypatch.setenv(devices.OURS, "0")
    with leased(SEATS) as lease:
        assert lease.environ == {devices.VISIBLE: "0"}
        assert taken("GPU-aaaa", 1) is None
        assert taken("GPU-bbbb", 1) is not None


def taken(name: str, count: int) -> object:
    """Whether so many seats can be had at once."""
    found = devices.take(devices.places(devices.folder(), [name]), count)
    for lock in found[1] if found else ():
        lock.close()
    return found


def test_only_a_computation_with_a_model_takes_a_device() -> None:
    def base(name: str, parameters: int | None) -> str:
        folder = layout.artifact(f"base/model={name}")
        folder.mkdir(parents=True)
        if parameters is not None:
            (folder / PROBE).write_text(json.dumps({"parameters": parameters}), encoding="utf-8")
        return f"base/model={name}"

    small, large, unknown = base("small", 90_000), base("large", 7_000_000_000), base("unknown", None)
    assert seats("filtered/arm=trait", ["raw/teacher=a"]) == 0
    assert seats("raw/teacher=a", [small]) == 1
    assert seats("raw/teacher=a", [small, large]) == SEATS
    assert seats("raw/teacher=a", [unknown]) == SEATS
    assert seats("base/model=new", []) == SEATS


def test_a_folder_of_locks_that_others_can_write_to_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    real = Path(f"/tmp/sublim-{os.getuid()}")  # noqa: S108
    assert devices.folder() == real
    mode = real.stat().st_mode
    try:
        real.chmod(0o777)
        with pytest.raises(SublimError, match="expected a folder of user"):
            devices.folder()
    finally:
        real.chmod(mode)


USE = """
import fcntl, os, sys, time
from pathlib import Path
from sublim.engine import devices
devices.folder = lambda: Path("locks")
count, seconds = int(sys.argv[1]), float(sys.argv[2])
with devices.leased(count) as lease:
    # A lock of another kind, which dies with the process too: who has the whole device has it alone.
    with open("witness-" + lease.environ[devices.VISIBLE], "a+") as witness:
        try:
            fcntl.flock(witness, (fcntl.LOCK_EX if count == devices.SEATS else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            Path(f"overlap-{os.getpid()}").touch()
        Path(f"used-{os.getpid()}").touch()
        time.sleep(seconds)
"""


def test_devices_never_overlap_whoever_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.OURS, "a,b")
    monkeypatch.setenv("PYTHONPATH", os.fspath(ROOT))
    drawn = random.Random(1)
    started: list[subprocess.Popen[bytes]] = []
    for number in range(24):
        count = SEATS if number % 2 else 1
        command = [sys.executable, "-c", USE, str(count), str(drawn.uniform(0.02, 0.3))]
        started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        if number % 4 == 3:
            time.sleep(drawn.uniform(0.1, 0.4))
            started[drawn.randrange(len(started))].send_signal(signal.SIGKILL)
    killed = [process.wait(timeout=120) for process in started].count(-signal.SIGKILL)
    assert not list(Path().glob("overlap-*"))
    assert len(list(Path().glob("used-*"))) >= len(started) - killed
    assert all(taken(name, SEATS) for name in "ab")


SERVE = """
import sys
from sublim.engine import worker
worker.COMPUTE = "tests.shared.slow_compute"
worker.serve(int(sys.argv[1]))
"""
ASK = """
from pathlib import Path
from sublim.engine import devices, worker
devices.folder = lambda: Path("locks")
worker.COMPUTE = "tests.shared.slow_compute"
worker.compute("base/model=a", [], online=False)
"""


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Starts a computation on the device `a`, in a worker or cold, and returns its client when it computes."""
    monkeypatch.setenv("PYTHONPATH", os.fspath(ROOT))
    monkeypatch.setenv(devices.OURS, "a")
    Path(".sublim").mkdir()
    running: list[subprocess.Popen[bytes]] = []

    def asked(*, warm: bool) -> "subprocess.Popen[bytes]":
        if warm:
            ready, told = os.pipe()
            running.append(subprocess.Popen([sys.executable, "-c", SERVE, str(told)], pass_fds=[told]))
            os.close(told)
            assert os.read(ready, 1) == b"1"
            os.close(ready)
        else:
            monkeypatch.setenv("SUBLIM_WORKER", "0")
        running.append(subprocess.Popen([sys.executable, "-c", ASK]))
        until(SEEN.exists)
        return running[-1]

    yield asked
    GO.touch()
    for process in running:
        process.kill()
        process.wait()


@pytest.mark.parametrize("warm", [True, False])
def test_a_computation_sees_its_device_alone_and_holds_it(
    ask: Callable[..., "subprocess.Popen[bytes]"], locks: Path, *, warm: bool
) -> None:
    client = ask(warm=warm)
    seen = json.loads(SEEN.read_text(encoding="utf-8"))
    assert seen["visible"] == "a"
    assert len([path for path in seen["held"] if Path(path).parent == locks.resolve()]) == SEATS
    assert taken("a", 1) is None
    client.kill()
    client.wait()
    if not warm:  # it goes on when its client is killed, and keeps its device
        assert taken("a", 1) is None
        GO.touch()
    until(lambda: taken("a", SEATS))
