"""Where everything is, relative to an experiment's directory."""

from pathlib import Path

from sublim.common import names

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
HISTORY = STATE / "history.jsonl"
REKEYING = STATE / "rekeying.json"
RUN_LOCK = STATE / "run.lock"
SOCKET = STATE / "worker.sock"
WORKER_LOCK = STATE / "worker.lock"
WORKER_LOG = LOGS / "worker.log"
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
