"""A launcher: a blocking command that starts a computation elsewhere, such as `srun --mem={mem_mb} --gres=gpu:{gpu}`.

Snakemake stays where it is (the head of a cluster, or one allocation), and so does what decides whether a cell is valid or
only needs to be restored: nothing is queued for these. What the launcher starts is the same job on another machine with the
same file system; it takes the cell's lock there, so that who is left alone after a crash keeps others from the cell. Machines
that share no file system are sent a task (`sublim.engine.far`).
"""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Formatter
from typing import Any

from sublim.common.errors import SublimError
from sublim.engine import apart, layout
from sublim.engine import job as jobs
from sublim.engine.job import Job
from sublim.engine.record import record_at

COMMAND = "SUBLIM_LAUNCHER"  #: The launcher of a job, its fields filled in.
APART = "SUBLIM_APART"  #: Set where its machines share no file system with this one.
SEEN_SECONDS = 60.0  #: How long a file that was written elsewhere may take to be seen here.
_KEPT = ("OMP_NUM_THREADS", "PYTHONPATH", *(f"SUBLIM_{name}" for name in ("DEVICES", "JUDGES", "REMOTE", "STORE", "WORKER")))
"""What a job goes by, of its environment: not every launcher hands that on."""


def filled(launcher: str, resources: Mapping[str, Any]) -> str:
    """`launcher` with its fields filled in by what Snakemake reserves for a job; `{gpu}` is 0 where a rule asks for none.
    Raises SublimError: it has a field that is no resource."""
    known = {"gpu": 0, **{name: value for name, value in resources.items() if not name.startswith("_")}}
    try:
        asked = [name for _, name, _, _ in Formatter().parse(launcher) if name is not None]
        shlex.split(launcher)
    except ValueError as error:
        raise SublimError(f"launcher: expected a command line, found {launcher!r}: {error}.") from None
    if odd := [name for name in asked if name not in known]:
        raise SublimError(
            f"launcher: expected fields that are resources of the rule ({', '.join(sorted(known))}), found {{{odd[0]}}} in "
            f"{launcher!r}. Give it to every rule in the profile, such as `default-resources: [{odd[0] or 'NAME'}=60]`."
        )
    return launcher.format_map(known)


def launch(work: Job, launcher: str) -> None:
    """Compute `work` through `launcher`, on a machine that sees this directory, and wait for it. Raises SublimError: it failed,
    cannot be started, or ended without having made anything that can be seen here."""
    mine = [f"{name}={os.environ[name]}" for name in _KEPT if name in os.environ]
    there = ["env", f"--chdir={Path.cwd()}", f"--unset={COMMAND}", f"{layout.LAUNCHED}=1", *mine]
    cell = work.plan.cell
    _started([*shlex.split(launcher), *there, sys.executable, "-m", "sublim", "run", cell], cell)
    deadline = time.monotonic() + SEEN_SECONDS
    while (record := record_at(layout.record(cell))) is None or record.key != work.key:
        if time.monotonic() > deadline:
            raise SublimError(
                f"{cell}: {launcher} ended as if all was well, and {layout.record(cell)} is not what was to be made. A "
                "launcher waits for its command, and runs it where this directory is the same."
            )
        time.sleep(0.2)


def send(work: Job, launcher: str) -> None:
    """Compute `work` through `launcher`, on a machine that shares nothing but a store elsewhere, and wait for it: it is there
    then. Raises SublimError: as `launch`; or as `apart.task`."""
    cell = work.plan.cell
    _started([*shlex.split(launcher), *apart.COMMAND], cell, apart.task(work).text())
    if jobs.reuse(work) is None:
        raise SublimError(
            f"{cell}: {launcher} ended as if all was well, and the store elsewhere has not what was to be made. A launcher "
            "waits for its command, and hands on its input."
        )


def _started(command: Sequence[str], cell: str, given: str | None = None) -> None:
    try:
        status = subprocess.run(command, check=False, text=True, input=given).returncode
    except OSError as error:
        raise SublimError(f"launcher: {command[0]} cannot be started: {error.strerror}. It is the profile's.") from None
    if status:
        raise SublimError(f"{cell}: not made ({command[0]} ended with exit status {status}); the lines above say why.")
