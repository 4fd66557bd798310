"""A computation on a machine that shares no file system with who asked for it.

The task comes on standard input. In an empty folder its inputs are fetched by their keys, the cell is made as anywhere, and put
into the store elsewhere, from which who sent the task restores it. Nothing is taken on trust: the code must be the planned one,
and inputs have the digests that the task says.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from sublim.common.errors import SublimError
from sublim.common.files import write_text
from sublim.common.foreign import told
from sublim.common.terminal import speak_utf8
from sublim.engine import job, layout, run
from sublim.engine.apart import Task
from sublim.engine.digests import Digests
from sublim.engine.planning import code_of
from sublim.engine.record import Plan, read
from sublim.engine.remote import URL, Remote
from sublim.engine.stage import stage
from sublim.engine.store import Store, root
from sublim.engine.verdict import Cell, Verdict, publish
from sublim.params import kinds


def perform(sent: Task) -> str:
    """Make the artifact of a task in the working directory, which is to be empty, and put it into the store elsewhere. Returns
    what that took. Raises SublimError: the code here is not the planned one, an input is not there or is another, or the stage
    failed with a message."""
    _same_code(sent.plan)
    there, kept, digests = Remote(sent.remote), Store(root(layout.STORE)), Digests(layout.DIGESTS)
    for given in sent.inputs.values():
        record = there.find(given.key)
        if record is None or record.digest != given.digest or record.plan.cell != given.cell:
            found = "none" if record is None else f"one of {record.plan.cell} with the digest {record.digest}"
            raise SublimError(f"{given.cell}: expected in {sent.remote} what has the digest {given.digest}, found {found}.")
        with kept.in_use():
            if not (there.fetch(record, kept) and job.restored(record, kept, digests)):
                raise SublimError(f"{given.cell}: {sent.remote} has not all of it, or not as it was. Send the task again.")
    cell = Cell(sent.plan, {name: given.cell for name, given in sent.inputs.items()})
    publish({cell.id: Verdict(cell, "missing", "it was sent to be made")})
    write_text(layout.GIT, json.dumps(sent.git))
    action = run.run(cell.id)
    there.put(read(layout.record(cell.id)), kept)  # the job may go on without; who sent the task may not
    return action


def _same_code(plan: Plan) -> None:
    of = stage(plan.stage)
    params = of.params.model_validate_json(json.dumps(plan.params))
    mine = code_of(of.makes, kinds.used(params))
    if odd := sorted(name for name in plan.code.keys() | mine.keys() if plan.code.get(name) != mine.get(name)):
        raise SublimError(
            f"{plan.cell}: expected the code that planned it, found other code here: {', '.join(odd[:3])}, {len(odd)} "
            "modules in all. Install the same revision there."
        )


def main() -> None:
    """Perform the task on standard input, in a folder that is removed afterwards."""
    speak_utf8()
    try:
        sent = Task.of(sys.stdin.read())
        with tempfile.TemporaryDirectory(prefix="sublim-") as folder:
            os.chdir(folder)
            os.environ.pop("SUBLIM_STORE", None)
            os.environ |= {URL: sent.remote, layout.LAUNCHED: "1", "SUBLIM_WORKER": "0"}
            print(f"{sent.plan.cell}: {perform(sent)}", flush=True)
            os.chdir(Path(folder).parent)
    except (SublimError, OSError) as error:
        sys.exit(f"sublim: {told(error)}")


if __name__ == "__main__":
    main()
