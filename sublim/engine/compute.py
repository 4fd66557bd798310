"""Computing an artifact: the stage's function, run in a scratch directory. This is the part that imports torch."""

import json
import os
import sys
import traceback
import warnings
from pathlib import Path

from sublim.common.errors import SublimError
from sublim.common.foreign import told
from sublim.common.progress import Progress
from sublim.common.terminal import speak_utf8
from sublim.engine import environment, job, layout, needs
from sublim.engine.record import read
from sublim.engine.stage import stage


def compute(cell: str, into: Path | None = None) -> int:
    """Make the artifact of `cell` and put it in place. Returns the exit status; what went wrong is on standard error.

    With `into`, an empty directory, it is made again there from what its record says, and the artifact is left alone.
    """
    heartbeat = layout.PROGRESS / f"{cell.replace('/', '+')}.json"
    # peft asks transformers by an old name, in every job; nobody here can do anything about it.
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
    try:
        if into is None:
            with job.scratch(cell) as made:
                planned = job.planned(cell)
                needs.check_planned(cell)
                _make(planned, made, heartbeat)
                job.finish(planned, made, environment.describe(job.git()))
        else:
            record = read(layout.record(cell))
            _make(job.Job(record.plan, record.inputs), into, heartbeat)
    except SublimError as error:
        print(f"{cell}: {told(error)}", file=sys.stderr, flush=True)
        return 1
    except Exception:  # the exit status is how a job tells; the traceback is for the log
        traceback.print_exc()
        return 1
    finally:
        heartbeat.unlink(missing_ok=True)
    return 0


def _make(planned: job.Job, output: Path, heartbeat: Path) -> None:
    of = stage(planned.plan.stage)
    # Through JSON: in strict mode a list is no tuple, but a JSON array is one.
    params = of.params.model_validate_json(json.dumps(planned.plan.params))
    inputs = {name: layout.artifact(found.cell) for name, found in planned.inputs.items()}
    of.make().make(inputs, params, output, Progress(heartbeat))


if __name__ == "__main__":
    speak_utf8()
    status = compute(sys.argv[1], Path(sys.argv[2]) if sys.argv[2:] else None)
    sys.stdout.flush()
    # Some libraries' threads hang at interpreter exit; the work is done and on the disk.
    os._exit(status)
