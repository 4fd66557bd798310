"""Kills, full disks, two runs at once: the same command goes on to the same bytes, and nothing is cleaned by hand."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.project import Project, create, environment


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


@pytest.mark.timeout(600)
def test_killed_at_random_moments_it_goes_on_to_the_same_bytes(finished: Project, tmp_path: Path) -> None:
    whole, project, moments = finished.digests(), create(tmp_path / "killed"), random.Random(20261123)
    for attempt in range(6):
        process = _start(project, "snakemake", "-j8")
        time.sleep(moments.uniform(2.0, 14.0))
        number = signal.SIGINT if attempt == 5 else signal.SIGKILL
        _kill_group(process, number)
        _no_half_artifacts(project, whole)
    project.snakemake()
    assert project.digests() == whole
    assert project.sublim("audit", "--full").status == 0


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
    found = subprocess.run(["pgrep", "-f", "sublim.plan.worker"], capture_output=True, text=True, check=False).stdout
    here = project.path.resolve()
    return [int(pid) for pid in found.split() if _working_directory(int(pid)) == here]


def _working_directory(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True)
    except OSError:
        return None
