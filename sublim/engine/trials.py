"""Trials (`sublim.params.trial`): held in one process of their own, which may import torch, and remembered by all that they
depend on. This module is also that process."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib import import_module
from typing import Any, cast

from sublim.common.errors import SublimError
from sublim.common.files import write_text
from sublim.engine import code, environment, layout
from sublim.engine.digests import Digests
from sublim.params.trial import Trial, TrialError

SECONDS = 600.0  #: How long the trials of an experiment may take, all together: no weights are read, but libraries are.
# It is to use neither the network nor a GPU, which may be at work, and to say nothing.
_ENVIRON = {
    "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1", "TRANSFORMERS_VERBOSITY": "error", "CUDA_VISIBLE_DEVICES": "",
}  # fmt: skip


def check(trials: Sequence[Trial], digests: Digests) -> None:
    """Hold those of `trials` that were not passed before with the same files, code and packages. Raises TrialError: some are
    failed."""
    if not trials:
        return
    passed = _remembered()
    keys = {_key(trial, digests): trial for trial in trials}
    if not (due := {key: trial for key, trial in keys.items() if key not in passed}):
        return
    said = _hold([*due.values()])
    if new := [key for key, fault in zip(due, said, strict=True) if fault is None]:
        with suppress(OSError):  # who only looks may lack the right to; then they are held again
            write_text(layout.TRIED, json.dumps(sorted({*passed, *new})))
    # What is refused is not remembered: it may be for want of memory, or of a file that comes back.
    faults = [trial.before + fault for trial, fault in zip(due.values(), said, strict=True) if fault is not None]
    if faults:
        raise TrialError(faults)


def _key(trial: Trial, digests: Digests) -> str:
    files = {} if trial.folder is None else digests.folder(trial.folder)
    of = [trial.function, trial.given, files, environment.packages(), code.digests(trial.function.partition(":")[0])]
    return sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()


def _remembered() -> set[str]:
    """The keys of trials that were passed; none if the memory is not there, or is none."""
    with suppress(OSError, ValueError, RecursionError):
        known: object = json.loads(layout.TRIED.read_text(encoding="utf-8"))
        if isinstance(known, list):
            return {key for key in cast("list[object]", known) if isinstance(key, str)}
    return set()


def _hold(trials: Sequence[Trial]) -> list[str | None]:
    """What is wrong, by each of `trials`; None if nothing is."""
    asked = json.dumps([{"function": trial.function, "given": trial.given} for trial in trials])
    environ = os.environ | _ENVIRON
    try:
        done = subprocess.run(
            [sys.executable, "-m", "sublim.engine.trials"], input=asked.encode(), env=environ, capture_output=True, check=False,
            timeout=SECONDS,
        )  # fmt: skip
        told, how = done.stdout, _ended(done.returncode, done.stderr)
    except subprocess.TimeoutExpired as error:
        told, how = error.stdout or b"", f"expected to know within {SECONDS:g} seconds, found no end"
    said: list[str | None] = [json.loads(line) for line in told.splitlines()]
    # It answers one by one: the first without an answer is the one at fault, and of the others nothing is known.
    return [*said, *([how] * (len(trials) - len(said)))]


def _ended(status: int, stderr: bytes) -> str:
    last = (stderr.decode(errors="replace").strip().splitlines() or ["nothing"])[-1][:300]
    how = f"signal {-status}" if status < 0 else f"status {status}"
    return f"expected to look at it in a process of its own, found that the process ended with {how}; it said: {last}"


def _answer(function: str, given: Mapping[str, Any]) -> str | None:
    module, _, name = function.partition(":")
    try:
        getattr(import_module(module), name)(**given)
    except (SublimError, ValueError) as error:
        return " ".join(str(error).split("\n"))
    except Exception as error:  # whatever a library raises: the sentence is all that comes back
        said = " ".join(str(error).split("\n"))[:600]
        return f"expected to look at it, found {type(error).__name__}: {said}"
    return None


def _main() -> None:
    trials = json.loads(sys.stdin.buffer.read())
    # Libraries may print: what they do goes where errors go.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        for trial in trials:
            answers.write(json.dumps(_answer(trial["function"], trial["given"])) + "\n")
            answers.flush()


if __name__ == "__main__":
    _main()
