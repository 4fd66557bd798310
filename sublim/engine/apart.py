"""A computation for a machine that shares no file system: what is sent to it. The inputs are put into a store elsewhere
(`sublim.engine.remote`), from which `sublim.engine.far` takes them."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self, cast

from sublim.common.errors import SublimError
from sublim.engine import job, layout
from sublim.engine.job import Job
from sublim.engine.record import Plan, read
from sublim.engine.remote import URL, Remote, remote
from sublim.engine.store import Store, root

COMMAND = ("python", "-m", "sublim.engine.far")
"""What a launcher starts there: with the Python of that machine, on which this program is installed."""


@dataclass(frozen=True)
class Given:
    """An input of a task."""

    cell: str
    digest: str  #: Over its files.
    key: str  #: Under which the store elsewhere has it.


@dataclass(frozen=True)
class Task:
    """A computation, as it is sent."""

    remote: str
    plan: Plan
    inputs: dict[str, Given]
    git: dict[str, Any] | None

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Self:
        """The task that `text` is. Raises SublimError: it is none."""
        try:
            found = json.loads(text)
            inputs = {name: Given(**each) for name, each in found["inputs"].items()}
            return cls(found["remote"], Plan(**found["plan"]), inputs, found["git"])
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            raise SublimError("expected a task on standard input, as `sublim run` sends it, found something else.") from None


def stays(work: Job) -> str | None:
    """Why a computation cannot be sent away; None if it can."""
    if not work.inputs:
        return "it is made from nothing that is in the store"
    if work.online:
        return "it asks a judge over the network, with a key of this machine"
    return "it reads files of this machine" if _reads_files(work.plan.params) else None


def _reads_files(params: Any) -> bool:
    """Whether params hold digests of files: these are where the experiment is."""
    if isinstance(params, dict):
        found = cast("dict[str, Any]", params)
        return bool(found.get("files")) or any(_reads_files(value) for value in found.values())
    return isinstance(params, list) and any(_reads_files(value) for value in cast("list[Any]", params))


def meeting() -> Remote:
    """The store that both reach. Raises SublimError: none is named, or its URL is none."""
    if (there := remote()) is None:
        raise SublimError(
            f"a launcher whose machines share nothing (`apart`) needs a store that both reach: set {URL}, e.g. "
            f"{URL}=s3://bucket/sublim."
        )
    return there


def task(work: Job) -> Task:
    """`work` as it is sent, when all of its inputs are in the store elsewhere. Raises SublimError: as `meeting`; or the store
    cannot be used."""
    there = meeting()
    kept = Store(root(layout.STORE))
    inputs: dict[str, Given] = {}
    for name, given in work.inputs.items():
        folder = layout.artifact(given.cell)
        record = read(folder / layout.RECORD)
        with kept.in_use():
            job.preserve(record, folder, kept)
            there.put(record, kept)
        inputs[name] = Given(given.cell, given.digest, record.key)
    return Task(there.url, work.plan, inputs, job.git())
