"""Slurm on this machine: a controller and two nodes on loopback addresses, of whoever runs the tests."""

import getpass
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.shared.waiting import until

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sinfo", "scancel", "squeue")
SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
NODES = ("node1", "node2")
GPUS = 2  #: Of each node, pretended.


def missing() -> list[str]:
    """Which of its programs are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=SEARCHED) is None]


@dataclass
class Cluster:
    """A running cluster."""

    folder: Path
    environ: Mapping[str, str]
    gpus: bool  #: Whether its nodes have any.
    daemons: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict[str, "subprocess.Popen[bytes]"])

    def ask(self, *command: str) -> str:
        """What a command of Slurm's prints."""
        done = subprocess.run(command, env=os.environ | self.environ, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout

    def start(self, name: str, *arguments: str) -> None:
        """Start a daemon; `name` is a node's, or a program's."""
        program = shutil.which("slurmd" if name in NODES else name, path=SEARCHED)
        more = ["-D", "-N", name, "-f", self.environ["SLURM_CONF"]] if name in NODES else list(arguments)
        with (self.folder / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                [str(program), *more], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=os.environ | self.environ
            )

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a daemon."""
        self.daemons[name].send_signal(number)
        self.daemons.pop(name).wait(timeout=60)

    def idle(self) -> bool:
        """Whether all nodes are there and have nothing to do."""
        done = subprocess.run(
            ["sinfo", "--noheader", "-o", "%T %D"], env=os.environ | self.environ, capture_output=True, text=True, check=False
        )
        return done.stdout.split() == ["idle", str(len(NODES))]


@contextmanager
def cluster(folder: Path) -> Generator[Cluster]:
    """A cluster whose files are in `folder`, while it is asked for. Raises AssertionError: it does not come up."""
    folder.mkdir(mode=0o755)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    devices = _devices(folder)
    host, user = socket.gethostname(), getpass.getuser()
    ports = _free_ports(1 + len(NODES))
    gres = f" Gres=gpu:{GPUS}" if devices else ""
    nodes = [
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=8000{gres}"
        for name, port in zip(NODES, ports[1:], strict=True)
    ]
    settings = {
        "ClusterName": "tests", "SlurmctldHost": f"{host}(127.0.0.1)", "SlurmctldPort": ports[0],
        "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",
        "AuthType": "auth/munge", "AuthInfo": f"socket={folder}/munge.sock", "CredType": "cred/munge",
        "SlurmUser": user, "SlurmdUser": user,
        "StateSaveLocation": folder / "state", "SlurmdSpoolDir": folder / "spool.%n",
        "SlurmctldPidFile": folder / "slurmctld.pid", "SlurmdPidFile": folder / "slurmd.%n.pid",
        "SlurmctldLogFile": folder / "slurmctld.log", "SlurmdLogFile": folder / "slurmd.%n.log",
        "ProctrackType": "proctrack/linuxproc", "TaskPlugin": "task/none", "MpiDefault": "none", "SwitchType": "switch/none",
        "JobAcctGatherType": "jobacct_gather/none", "AccountingStorageType": "accounting_storage/none",
        "SelectType": "select/cons_tres", "SelectTypeParameters": "CR_Core_Memory",
        "SlurmdParameters": "config_overrides", "ReturnToService": 2, "MailProg": "/bin/true", "GresTypes": "gpu",
    }  # fmt: skip
    conf = folder / "slurm.conf"
    partition = f"PartitionName=main Nodes={','.join(NODES)} Default=YES MaxTime=INFINITE State=UP"
    lines = [*(f"{name}={value}" for name, value in settings.items()), *nodes, partition]
    conf.write_text("\n".join(lines) + "\n", encoding="utf-8")
    shares = [f"NodeName={node} Name=gpu File={path}" for node, paths in devices.items() for path in paths]
    (folder / "gres.conf").write_text("\n".join(shares) + "\n", encoding="utf-8")
    made = Cluster(folder, {"SLURM_CONF": os.fspath(conf)}, bool(devices))
    try:
        (folder / "state").mkdir()
        made.start(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.sock",
            f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed",
        )  # fmt: skip
        until((folder / "munge.sock").exists, lambda: _logs(folder))
        made.start("slurmctld", "-D", "-f", os.fspath(conf))
        for name in NODES:
            made.start(name)
        until(made.idle, lambda: _logs(folder))
        yield made
    finally:
        for daemon in made.daemons.values():
            daemon.terminate()
        for daemon in made.daemons.values():
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _devices(folder: Path) -> dict[str, list[Path]]:
    """What stands for the GPUs of each node: Slurm takes nothing but character devices, which root alone can make."""
    if os.getuid():
        return {}
    null = Path("/dev/null").stat().st_rdev
    found = {node: [folder / f"{node}-gpu{number}" for number in range(GPUS)] for node in NODES}
    for path in (path for paths in found.values() for path in paths):
        os.mknod(path, stat.S_IFCHR | 0o600, null)
    return found


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _logs(folder: Path) -> str:
    paths = sorted([*folder.glob("*.log"), *folder.glob("*.out")])
    return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-2000:]}" for path in paths)
