"""The micro experiment on a real Slurm with two nodes: the bytes of a local run, whatever is killed in the middle."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.shared.project import Project, create, environment
from tests.shared.slurm import NODES, Cluster, cluster, missing
from tests.shared.waiting import until

RAW = "raw/teacher={}/trait=fox/carrier=numbers/seed=1"
LOST = tuple(RAW.format(name) for name in "ab")
COMMAND = ("snakemake", "-j2", "--profile", "profiles/slurm")

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if absent := missing():
        said = f"Slurm is not installed ({', '.join(absent)}): apt-get install slurm-wlm munge"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(said)
    with cluster(tmp_path_factory.mktemp("slurm") / "cluster") as running:
        yield running


@pytest.fixture
def project(finished: Project, tmp_path: Path, slurm: Cluster) -> Project:
    """The finished experiment, two cells of which have to be computed again. Allocations of an srun that was killed are given
    up first: Slurm may keep them until their time is over."""
    for job in jobs(slurm):
        slurm.ask("scancel", job)
    until(slurm.idle, lambda: slurm.ask("sinfo", "-N", "-o", "%N %T %E") + slurm.ask("squeue"))
    found = finished.copy(tmp_path / "project")
    for cell in LOST:
        shutil.rmtree(found.path / "data" / cell)
    shutil.rmtree(found.path / ".sublim/store")
    return found


def begin(project: Project, slurm: Cluster) -> "subprocess.Popen[str]":
    """Start the command, and return when two jobs compute."""
    running = subprocess.Popen(
        COMMAND, cwd=project.path, env=environment(**slurm.environ), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    until(lambda: len(jobs(slurm)) == 2 and len(list((project.path / ".sublim/tmp").glob("*"))) == 2)
    return running


def jobs(slurm: Cluster) -> list[str]:
    """The numbers of the jobs that run."""
    return slurm.ask("squeue", "--noheader", "-t", "RUNNING", "-o", "%i").split()


def ended(running: "subprocess.Popen[str]") -> tuple[int, str]:
    said, _ = running.communicate(timeout=600)
    return running.returncode, said


def test_from_zero_the_bytes_are_those_of_a_local_run(finished: Project, tmp_path: Path, slurm: Cluster) -> None:
    project = create(tmp_path / "project")
    project.run(*COMMAND, check=True, **slurm.environ)
    assert project.digests() == finished.digests()
    assert len(project.since(0)["computed"]) == len(project.events()) == 44
    assert "proven" in project.sublim("audit").output
    last = slurm.ask("squeue", "--noheader", "-t", "all", "-o", "%i").split()
    assert "Nothing to be done" in project.run(*COMMAND, check=True, **slurm.environ).output
    assert slurm.ask("squeue", "--noheader", "-t", "all", "-o", "%i").split() == last, "a job was queued for nothing"
    assert {node for name in slurm.folder.glob("slurmd.*.log") for node in NODES if node in name.name} == set(NODES)


def cancelled(running: "subprocess.Popen[str]", slurm: Cluster) -> None:
    """One of its jobs."""
    slurm.ask("scancel", jobs(slurm)[0])
    status, said = ended(running)
    assert status == 1, said
    assert "not made (srun ended with exit status" in said


def nodes_gone(running: "subprocess.Popen[str]", slurm: Cluster) -> None:
    """The daemons of both nodes, which come back: what they run goes on."""
    for name in NODES:
        slurm.kill(name)
    time.sleep(2)
    for name in NODES:
        slurm.start(name)
    status, said = ended(running)
    assert status == 0, said


def main_killed(running: "subprocess.Popen[str]", slurm: Cluster) -> None:  # noqa: ARG001
    """Snakemake alone: the jobs go on."""
    running.kill()
    ended(running)


def all_killed(running: "subprocess.Popen[str]", slurm: Cluster) -> None:  # noqa: ARG001
    """Snakemake, its jobs, and what had launched them."""
    os.killpg(running.pid, signal.SIGKILL)
    ended(running)


def launchers_killed(running: "subprocess.Popen[str]", slurm: Cluster) -> None:  # noqa: ARG001
    """srun, and nothing else."""
    subprocess.run(["pkill", "-KILL", "-g", str(running.pid), "-x", "srun"], check=True)
    status, said = ended(running)
    assert status == 1, said
    assert "not made (srun ended with exit status" in said


@pytest.mark.parametrize("kill", [cancelled, nodes_gone, main_killed, all_killed, launchers_killed])
def test_the_same_command_goes_on_whatever_was_killed(
    kill: Callable[["subprocess.Popen[str]", Cluster], None], project: Project, finished: Project, slurm: Cluster
) -> None:
    kill(begin(project, slurm), slurm)
    for cell in LOST:  # half-written is nothing
        record = project.path / "data" / cell / "record.json"
        assert record.is_file() or not record.parent.exists() or not any(record.parent.iterdir())
    again = project.run(*COMMAND, check=False, **slurm.environ)
    assert again.status == 0, again.output
    assert project.digests() == finished.digests()
    assert not list((project.path / ".sublim/tmp").glob("*"))


def test_jobs_compute_on_the_devices_that_slurm_gave(project: Project, slurm: Cluster) -> None:
    """Pretended ones: a computation sees one of them, and two that run at once on a node see two."""
    if not slurm.gpus:
        pytest.skip("only root can make what stands for GPUs")
    project.edit("profiles/slurm/config.yaml", "raw: {gpu: 0}", "raw: {gpu: 1}")
    project.edit("profiles/slurm/config.yaml", "srun --quiet", "srun --quiet --nodelist=node1")
    running = begin(project, slurm)
    seen = {visible for cell in LOST if (visible := device_of(cell, project))}
    status, said = ended(running)
    assert status == 0, said
    assert seen == {"0", "1"}


def device_of(cell: str, project: Project) -> str | None:
    """What the process that computes a cell sees of devices."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            here = (process / "cwd").resolve() == project.path.resolve()
            variables = dict(line.split(b"=", 1) for line in (process / "environ").read_bytes().split(b"\0") if b"=" in line)
        except OSError:
            continue
        if here and b"sublim.engine.compute" in words and cell.encode() in words:
            found.append(variables.get(b"CUDA_VISIBLE_DEVICES", b"").decode())
    return found[0] if found else None
