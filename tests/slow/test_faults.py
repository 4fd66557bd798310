"""Kills, full disks, two runs at once: the same command goes on to the same bytes, and nothing is cleaned by hand."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, chdir
from pathlib import Path

import pytest

from sublim.engine import layout, worker
from sublim.evidence.finding import STALE
from tests.shared.project import MICRO, ROOT, Project, create, environment


def _start(project: Project, *command: str, **environ: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, cwd=project.path, env=environment(**environ), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _kill_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    os.killpg(process.pid, number)
    process.wait(timeout=60)


def _no_half_artifacts(project: Project, whole: dict[str, str]) -> None:
    """Every file at a final path is what the undisturbed run has there."""
    for name, digest in project.digests().items():
        assert whole.get(name) == digest, f"{name} is half-written or a stranger"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_jobs_and_runs_killed_at_random_moments_go_on_to_the_same_bytes(finished: Project, tmp_path: Path) -> None:
    """Random jobs are killed while others run, then the whole run; the same command goes on, and nothing is cleaned by hand."""
    whole, project, order = finished.digests(), create(tmp_path / "killed"), random.Random(20261123)
    killed = {"job": 0, "run": 0}
    while killed["job"] < 15 or killed["run"] < 6:
        process = _start(project, "snakemake", "-j4")
        start, goal, until = len(project.events()), order.randint(1, 9), time.monotonic() + order.uniform(8, 20)
        while process.poll() is None and time.monotonic() < until and len(project.events()) - start < goal:
            time.sleep(order.uniform(0.1, 1.5))
            killed["job"] += _kill_one(_jobs(project), order)
        if process.poll() is None:
            killed["run"] += 1
            _kill_group(process, signal.SIGKILL)
        _wait_for_orphans(project)
        _no_half_artifacts(project, whole)
        assert killed["job"] + killed["run"] > 0
        if killed["job"] > 60:  # a slow machine: jobs die faster than they get done
            break
    process = _start(project, "snakemake", "-j8")
    time.sleep(order.uniform(2, 6))
    _kill_group(process, signal.SIGINT)
    _wait_for_orphans(project)
    _no_half_artifacts(project, whole)
    assert sum(killed.values()) >= 20, killed
    project.snakemake()
    assert project.digests() == whole
    assert project.sublim("audit", "--full").status == 0


def _kill_one(pids: list[int], order: random.Random) -> bool:
    """SIGKILL one of the processes; False if there is none (any more)."""
    try:
        os.kill(order.choice(pids), signal.SIGKILL)
    except (IndexError, ProcessLookupError):
        return False
    return True


def _jobs(project: Project) -> list[int]:
    """The processes of the jobs that run in a project: `sublim run CELL`, and the worker's children that compute for them."""
    children = [pid for pid in _workers(project) if _parent(pid) in _workers(project)]
    return sorted({*_found("sublim run ", project), *children})


def _wait_for_orphans(project: Project) -> None:
    """What a killed run left goes on to its end, or is ended by the worker: within seconds nothing runs any more."""
    deadline = time.monotonic() + 60
    while _jobs(project):
        assert time.monotonic() < deadline, "a job of a killed run does not end"
        time.sleep(0.1)


def test_a_killed_worker_fails_the_job_and_a_rerun_mends_it(project: Project) -> None:
    before = project.digests()
    project.edit("params.yaml", "b: {learning_rate: 0.005} # student b", "b: {learning_rate: 0.003} # student b")
    process = _start(project, "snakemake", "-j2")
    deadline = time.monotonic() + 60
    while not (running := _workers(project)) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(4)
    for pid in {*running, *_workers(project)}:
        os.kill(pid, signal.SIGKILL)
    assert process.wait(timeout=120) != 0
    project.snakemake()
    assert project.sublim("audit").status == 0
    assert project.digests() != before


def test_a_second_run_at_the_same_time_is_refused_and_disturbs_nothing(project: Project) -> None:
    project.edit("params.yaml", "b: {learning_rate: 0.005} # student b", "b: {learning_rate: 0.003} # student b")
    process = _start(project, "snakemake", "-j2")
    time.sleep(3)
    second = project.snakemake(check=False)
    assert second.status != 0
    assert f"process {process.pid} is running this experiment" in second.output
    assert process.wait(timeout=300) == 0
    assert project.sublim("audit").status == 0


STUDENT = "student/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=b/seed=1"


def _plan_other_students(project: Project) -> None:
    """Students of b are to be made anew; nothing runs yet."""
    project.edit("params.yaml", "b: {learning_rate: 0.005} # student b", "b: {learning_rate: 0.003} # student b")
    project.snakemake("-n")


def test_a_worker_of_other_code_sends_every_client_to_a_new_one(project: Project) -> None:
    """After an edit, the jobs of a run come all at once to the worker of the run before."""
    project.edit("params.yaml", "maximum: 999", "maximum: 1000")
    project.snakemake("filtered_all")
    body = json.dumps({"code": "of tomorrow", "packages": {}}).encode()
    with ExitStack() as stack, chdir(project.path):
        clients = [stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) for _ in range(8)]
        for client in clients:
            client.connect(os.fspath(layout.SOCKET))
        for client in clients:
            socket.send_fds(client, [worker.HEADER.pack(len(body))], [0, 1, 2])
            client.sendall(body)
        answers = [client.recv(worker.HEADER.size, socket.MSG_WAITALL) for client in clients]
    assert answers == [worker.HEADER.pack(worker.STALE)] * len(clients)


def test_two_jobs_of_one_cell_at_once_write_one_after_the_other(project: Project) -> None:
    _plan_other_students(project)
    start = len(project.events())
    command = (sys.executable, "-m", "sublim", "run", STUDENT)
    both = [_start(project, *command), _start(project, *command, SUBLIM_WORKER="0")]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert sorted(event["action"] for event in project.events()[start:]) == ["computed", "valid"]
    assert f"{STUDENT} is up to date" in project.sublim("why", f"data/{STUDENT}").output


def test_a_job_that_outlives_its_killed_client_is_waited_for(project: Project) -> None:
    """Cold: no worker is there to end the computation with its client."""
    _plan_other_students(project)
    command = (sys.executable, "-m", "sublim", "run", STUDENT)
    first = _start(project, *command, SUBLIM_WORKER="0")
    deadline = time.monotonic() + 60
    while not _found("sublim.engine.compute", project):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.wait(timeout=10)
    second = _start(project, *command, SUBLIM_WORKER="0")
    while second.poll() is None:
        assert len(_found("sublim.engine.compute", project)) <= 1, "two processes write one artifact"
        time.sleep(0.02)
    assert second.returncode == 0
    assert f"{STUDENT} is up to date" in project.sublim("why", f"data/{STUDENT}").output


@pytest.mark.timeout(300)
def test_dvc_during_snakemake_is_refused_and_disturbs_nothing(project: Project) -> None:
    _plan_other_students(project)
    process = _start(project, "snakemake", "-j2")
    deadline = time.monotonic() + 60
    while not _jobs(project):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    refused = project.dvc("repro", check=False)
    assert refused.status != 0
    assert f"process {process.pid} is running this experiment" in refused.output
    assert process.wait(timeout=300) == 0
    start = len(project.events())
    project.dvc("repro", "--single-item", "student")
    assert project.events()[start:] == []
    assert project.sublim("audit", "--full").status == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk in memory."""
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m", "none", path], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no disk of its own can be mounted here: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def _resize(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)


@pytest.mark.timeout(300)
def test_a_disk_that_is_really_full(finished: Project, disk: Path, tmp_path: Path) -> None:
    before = finished.digests()
    project, elsewhere = finished.copy(disk / "project"), finished.copy(tmp_path / "elsewhere")
    _plan_other_students(project)
    used = shutil.disk_usage(disk).used
    _resize(disk, f"{used // 1024 + 150}k")
    assert project.snakemake("student_all", check=False).status != 0
    audit = project.sublim("audit", "--full", check=False)
    assert audit.status == STALE, f"something is not whole on the full disk: {audit.output}"
    found = project.digests()
    assert found.keys() == before.keys()
    old = [cell for cell in _artifacts(before) if all(found[name] == before[name] for name in _artifacts(before)[cell])]
    assert any(cell.startswith("student/") and "student=b" in cell for cell in old), "the disk was not full"
    _resize(disk, "200m")
    project.snakemake()
    assert project.sublim("audit", "--full").status == 0
    _plan_other_students(elsewhere)
    elsewhere.snakemake(f"data/{STUDENT}/record.json")
    names = _artifacts(before)[STUDENT]
    assert {name: project.digests()[name] for name in names} == {name: elsewhere.digests()[name] for name in names}
    assert {name: before[name] for name in names} != {name: elsewhere.digests()[name] for name in names}


def test_on_a_disk_that_is_nearly_full_no_half_module_is_left(disk: Path) -> None:
    """Python before 3.12.8 leaves half a module in its cache there, and every command that imports it ends with "Aborted!"."""
    shutil.copytree(ROOT / "sublim", disk / "sublim", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(MICRO, disk / "params.yaml")
    _resize(disk, f"{shutil.disk_usage(disk).used // 1024 + 50}k")
    command = (sys.executable, "-m", "sublim", "power")
    Project(disk).run(*command, PYTHONDONTWRITEBYTECODE="")
    _resize(disk, "200m")
    Project(disk).run(*command, PYTHONDONTWRITEBYTECODE="")
    assert [path.name for path in disk.rglob("*.pyc")]


def _artifacts(files: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in files:
        found.setdefault(name.rpartition("/")[0], []).append(name)
    return found


def test_a_full_disk_leaves_the_old_artifact(project: Project) -> None:
    before = project.digests()
    project.edit("params.yaml", "b: {learning_rate: 0.005} # student b", "b: {learning_rate: 0.003} # student b")
    # Every write of more than 2 KB fails, as on a disk that is full: the adapters do not fit, the plans do.
    limited = project.run("bash", "-c", "trap '' XFSZ; ulimit -f 2; snakemake -j2 student_all", check=False, SUBLIM_WORKER="0")
    assert limited.status != 0
    after = project.digests()
    assert {name: after[name] for name in before} == before
    project.snakemake()
    assert project.sublim("audit", "--full").status == 0
    assert project.computed(0)["base"] == 2


@pytest.mark.long
def test_cold_jobs_give_the_same_bytes_as_warm_ones(finished: Project, tmp_path: Path) -> None:
    project = create(tmp_path / "cold")
    project.snakemake("-j2", "filtered_all", SUBLIM_WORKER="0")
    warm = finished.digests()
    cold = project.digests()
    assert cold
    assert all(warm[name] == digest for name, digest in cold.items())


def test_a_gate_that_a_teacher_misses_stops_the_run_before_any_student(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "gate")
    project.edit("params.yaml", "gate: 0.0", "gate: 0.99")
    start = len(project.events())
    done = project.snakemake(check=False)
    assert done.status != 0
    assert "expected P(fox) ≥ 0.99 on held-out questions (teacher.gate), found 0." in done.output
    assert project.computed(start) == {}


def test_the_worker_serves_its_owner_only_and_ends_when_its_socket_is_gone(project: Project) -> None:
    project.edit("params.yaml", "maximum: 999", "maximum: 1000")
    project.snakemake()
    socket = project.path / ".sublim/worker.sock"
    assert socket.stat().st_mode & 0o777 == 0o600
    mine = _workers(project)
    assert len(mine) == 1
    socket.unlink()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{mine[0]}").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not Path(f"/proc/{mine[0]}").exists()


def _workers(project: Project) -> list[int]:
    """The worker processes (the server and its children) of a project."""
    return _found("sublim.engine.worker", project)


def _found(command: str, project: Project) -> list[int]:
    """The processes with `command` in their command line that run in a project; not the shells that started them."""
    found = subprocess.run(
        ["pgrep", "-f", f"^[^ ]*python[^ ]* -m {command}"], capture_output=True, text=True, check=False
    ).stdout
    here = project.path.resolve()
    return [int(pid) for pid in found.split() if _working_directory(int(pid)) == here]


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _working_directory(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True)
    except OSError:
        return None
