"""Where everything is, relative to an experiment's directory."""

import os
import socket
from pathlib import Path

from sublim.common import names
from sublim.common.canonical import digest

LAUNCHED = "SUBLIM_LAUNCHED"
"""Set where a launcher has started this process on another machine, which sees the same directory."""


def _of_this_node() -> str:
    """Part of the names of what processes of one machine talk through: others see these files, and cannot be reached."""
    if not os.environ.get(LAUNCHED):
        return ""
    job = [os.environ.get(name) for name in ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")]
    return f".{digest([socket.gethostname(), *job])[:12]}"


DATA = Path("data")
STATE = Path(".sublim")
PLANS = STATE / "plan"
LOCKS = STATE / "lock"
LOGS = STATE / "log"
PROGRESS = STATE / "progress"
STORE = STATE / "store"
CODE = STATE / "code.json"
DIGESTS = STATE / "digests.json"
PROVEN = STATE / "proven.json"
TRIED = STATE / "tried.json"
GIT = PLANS / "git.json"
HISTORY = STATE / "history.jsonl"
REKEYING = STATE / "rekeying.json"
RUN_LOCK = STATE / "run.lock"
SOCKET = STATE / f"worker{_of_this_node()}.sock"
WORKER_LOCK = SOCKET.with_suffix(".lock")
WORKER_LOG = LOGS / SOCKET.with_suffix(".log").name
RECORD = "record.json"


def artifact(cell: str) -> Path:
    """The directory of the artifact of `cell`, e.g. `data/teacher/teacher=neox-a/trait=fox/seed=1`. Raises HarmfulNameError:
    that is no cell."""
    return DATA / names.cell(cell)


def record(cell: str) -> Path:
    """The record beside the artifact of `cell`."""
    return artifact(cell) / RECORD


def plan(cell: str) -> Path:
    """The verdict on `cell`: its plan, why it is stale (or null), a nonce."""
    return PLANS / f"{names.cell(cell)}.json"
