"""Bringing the artifact of one cell up to date: what Snakemake's jobs do."""

import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

from sublim.common.canonical import digest
from sublim.engine import apart, launcher, layout
from sublim.engine import job as jobs
from sublim.engine.job import Job


def run(cell: str) -> str:
    """Bring `cell` up to date. Returns what that took: `valid`, `restored` or `computed`. Raises SublimError: an input is
    missing or is not what its record says, or the stage failed with a message."""
    started = time.monotonic()
    away = os.environ.get(launcher.COMMAND)
    with _sole_writer(cell) as lock:
        job = jobs.planned(cell)
        action = jobs.reuse(job)
        shared = away is not None and not os.environ.get(launcher.APART)
        if action is None and not shared:
            if away is None or apart.stays(job):
                from sublim.engine import worker  # only a computation needs it

                worker.compute(cell, [given.cell for given in job.inputs.values()], online=job.online, keep=lock)
            else:
                launcher.send(job, away)
            action = "computed"
    if action is None:  # who computes has the lock
        launcher.launch(job, str(away))
        action = "computed"
    if not os.environ.get(layout.LAUNCHED):  # who launched it remembers
        _remember(job, action, time.monotonic() - started)
    return action


@contextmanager
def _sole_writer(cell: str) -> Generator[int]:
    """A lock that dies with this process, and with a process that inherits it. A job that outlived a killed run still holds its
    own, and this one waits for it."""
    layout.LOCKS.mkdir(parents=True, exist_ok=True)
    with (layout.LOCKS / digest(cell)[:32]).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{cell}: another process is writing it; waiting", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _remember(job: Job, action: str, seconds: float) -> None:
    """Who did what when: of no digest, but what a person asks first when a run looks odd."""
    event = {"time": time.time(), "cell": job.plan.cell, "key": job.key, "action": action}
    event |= {"seconds": round(seconds, 3), "host": socket.gethostname()}
    # One write of one line in append mode: jobs side by side do not mix.
    handle = os.open(layout.HISTORY, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        size = os.fstat(handle).st_size
        cut_off = size > 0 and os.pread(handle, 1, size - 1) != b"\n"  # by a crash
        os.write(handle, ("\n" * cut_off + json.dumps(event) + "\n").encode())
    finally:
        os.close(handle)
