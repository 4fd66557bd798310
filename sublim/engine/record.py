"""Records: what made an artifact. The source of truth of lineage, and an input of no rule."""

import json
import stat
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sublim.common.canonical import digest
from sublim.common.files import write_text
from sublim.common.names import clash, harmful, is_cell, is_sha256
from sublim.engine import layout

VERSION = 1
LARGEST = 1 << 27  #: Bytes that a record may have.


@dataclass(frozen=True)
class Plan:
    """What a cell is to be made with: the part of its identity that is known before anything is computed."""

    stage: str
    dims: dict[str, str | int]  #: The hive partition of the artifact, in the order of its path.
    params: dict[str, Any]  #: The slice of the experiment that this cell depends on.
    code: dict[str, str]  #: Module → digest of its meaning, over the import closure of the stage's module.

    @property
    def cell(self) -> str:
        """`stage/dim=value/…`, the name of the cell."""
        return "/".join([self.stage, *(f"{name}={value}" for name, value in self.dims.items())])


@dataclass(frozen=True)
class Output:
    """One file of an artifact."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Input:
    """An upstream artifact as it was read: its cell, and the digest over its files."""

    cell: str
    digest: str


@dataclass(frozen=True)
class Witness:
    """An artifact that was made again by new code, as it then was."""

    key: str
    digest: str  #: Digest over its files: the same as before.


@dataclass(frozen=True)
class Adoption:
    """Why an artifact counts as made by code that did not make it: others of its kind were made again by that code, and came
    out byte for byte the same."""

    key: str  #: The key that it had before.
    code: dict[str, str]  #: Module → digest of the code that its record named before.
    witnesses: dict[str, Witness]  #: Cell → what was made again.
    environment: dict[str, Any]  #: Where they were made again.


@dataclass(frozen=True)
class Record:
    """Everything that a reviewer needs in order to make the artifact again. Host, time and duration are not in it
    (`.sublim/history.jsonl` has them), so that the same computation gives the same record."""

    plan: Plan
    inputs: dict[str, Input]
    outputs: dict[str, Output]
    environment: dict[str, Any]  #: Where the bytes were computed.
    adopted: tuple[Adoption, ...] = ()
    """What it was adopted by, the last one last; nothing, if the code of its plan computed it."""

    @property
    def key(self) -> str:
        """What the outputs are a function of: digest(plan + digests of the inputs)."""
        return key(self.plan, self.given)

    @property
    def given(self) -> dict[str, str]:
        """Name of an input → its digest."""
        return {name: found.digest for name, found in self.inputs.items()}

    @property
    def digest(self) -> str:
        """Digest over the names and bytes of the outputs: what a downstream cell sees of this one."""
        return outputs_digest(self.outputs)

    def write(self, path: Path) -> None:
        """Put the record at `path`, with the key and a digest over the whole, so that an edit shows."""
        write_text(path, self.text())

    def text(self) -> str:
        """The record as it is written."""
        body = {"version": VERSION, "cell": self.plan.cell, "key": self.key, **asdict(self)}
        if not self.adopted:
            del body["adopted"]
        return _text({**body, "digest": digest(body)})


class RecordError(Exception):
    """A record that cannot be read or does not hold together; the message says how."""


def read(path: Path) -> Record:
    """The record at `path`. Raises FileNotFoundError: there is no record. RecordError: as `parse`, or what is there cannot be a
    record; it is not opened then, since a pipe would never end."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
            raise RecordError(f"is none: expected a file of at most {LARGEST:,} bytes, found something else in its place")
        return parse(path.read_bytes())
    except NotADirectoryError as error:
        raise FileNotFoundError(str(error)) from None
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RecordError(f"cannot be read ({error.strerror or type(error).__name__})") from None


def record_at(path: Path) -> Record | None:
    """The record at `path`; None if there is none that can be read."""
    try:
        return read(path)
    except (FileNotFoundError, RecordError):
        return None


def parse(written: bytes) -> Record:
    """The record that was written so. Raises RecordError: it was altered, cut off or written by another version, or says
    something that may not become a path."""
    try:
        text = json.loads(written)
        if text["version"] != VERSION:
            raise RecordError(f"has format {text['version']}, this program reads format {VERSION}")
        claimed = text.pop("digest")
        if claimed != digest(text):
            raise RecordError("was altered: its digest is not that of its fields")
        record = Record(
            plan=Plan(**text["plan"]),
            inputs={name: Input(**value) for name, value in text["inputs"].items()},
            outputs={name: Output(**value) for name, value in text["outputs"].items()},
            environment=dict(text["environment"]),
            adopted=tuple(_adoption(each) for each in text.get("adopted", ())),
        )
        if text["key"] != record.key or text["cell"] != record.plan.cell:
            raise RecordError("was altered: its key or cell is not that of its plan and inputs")
        if written != record.text().encode():  # 1E-05 for 1e-05 has the same digest, and "5" for 5 would be taken for it
            raise RecordError("was altered: it is not written as this program writes it, or says more")
        befores = [key(replace(record.plan, code=each.code), record.given) for each in record.adopted]
        why = unfit(record)  # its digest proves nothing: whoever forges a record makes it fit
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise RecordError(f"cannot be read ({error})") from None
    except RecursionError:
        raise RecordError("cannot be read (it is nested too deeply)") from None
    if [each.key for each in record.adopted] != befores or not all(each.witnesses for each in record.adopted):
        raise RecordError("was altered: it says that it was adopted, but not by anything, or with another key before")
    if why:
        raise RecordError(f"was altered: {why}")
    return record


def _adoption(text: dict[str, Any]) -> Adoption:
    witnesses = {cell: Witness(**each) for cell, each in text["witnesses"].items()}
    return Adoption(text["key"], text["code"], witnesses, text["environment"])


def unfit(record: Record) -> str | None:
    """What in `record` would become a path and may not: a cell, the name of an output or a digest; None if nothing."""
    plan, witnesses = record.plan, {cell: found for each in record.adopted for cell, found in each.witnesses.items()}
    texts = (plan.stage, *plan.dims, *plan.code.values(), *(used.cell for used in record.inputs.values()))
    sizes = (output.size for output in record.outputs.values())
    typed: tuple[tuple[type, Iterable[object]], ...] = ((str, texts), (int, sizes), (dict, (plan.params,)))
    if odd := [f"{kind.__name__}, found {value!r}" for kind, values in typed for value in values if type(value) is not kind]:
        return f"expected {odd[0]}"
    for module in plan.code:
        if not all(part.isidentifier() for part in module.split(".")):
            return f"expected names of modules, found {module!r}"
    for each in (record.plan.cell, *(used.cell for used in record.inputs.values()), *witnesses):
        if not is_cell(each):
            return f"expected a cell `stage/dim=value/…`, found {each!r}"
    for part in (record.plan.stage, *record.plan.dims, *record.plan.dims.values()):
        if "/" in str(part):  # of several parts together a cell may have the right form, but the stage is a module's name
            return f"expected one part of {record.plan.cell}, found {part!r}"
    for name, output in record.outputs.items():
        why = harmful(name) or ("is the place of the record" if name.split("/")[0].lower() == layout.RECORD else None)
        if why is not None:
            return f"expected names of files in the artifact, found the output {name!r}, which {why}"
        if not is_sha256(output.sha256):
            return f"expected the sha256 of the output {name}, 64 hexadecimal digits, found {output.sha256!r}"
    if both := clash(record.outputs):
        return f"its output {both} would be a file and a folder"
    digests = {name: used.digest for name, used in record.inputs.items() if not is_sha256(used.digest)}
    if digests:
        return f"expected digests of its inputs, 64 hexadecimal digits, found {digests}"
    if odd := [found for found in witnesses.values() if not (is_sha256(found.key) and is_sha256(found.digest))]:
        return f"expected keys and digests of what it was adopted by, 64 hexadecimal digits each, found {asdict(odd[0])}"
    return None


def _text(body: dict[str, Any]) -> str:
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def key(plan: Plan, inputs: dict[str, str]) -> str:
    """The key of a computation: digest over its plan and the digest of each input."""
    return digest({"plan": asdict(plan), "inputs": inputs})


def outputs_digest(outputs: dict[str, Output]) -> str:
    """Digest over names and contents of an artifact's files."""
    return digest({name: output.sha256 for name, output in outputs.items()})
