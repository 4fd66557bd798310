"""The verdict: which artifacts of an experiment are valid, and why the others are not. It decides for both engines."""

import json
import os
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from sublim.common.names import HarmfulNameError, within
from sublim.engine import layout
from sublim.engine.digests import Digests, differs
from sublim.engine.record import Plan, Record, RecordError, read

VALID_MTIME = 1


@dataclass(frozen=True)
class Cell:
    """One artifact that an experiment needs."""

    plan: Plan
    inputs: dict[str, str]  #: Name of the input → the cell that it is.
    online: bool = False  #: Whether making it may use the network.
    asks: frozenset[str] = frozenset()  #: The judges that are asked, by their names in the experiment.

    @property
    def id(self) -> str:
        """`stage/dim=value/…`."""
        return self.plan.cell


Kind = Literal["valid", "missing", "altered", "changed", "follows"]


@dataclass(frozen=True)
class Verdict:
    """What is the matter with a cell."""

    cell: Cell
    kind: Kind
    """`valid`; `missing`: no artifact, or none with a record; `altered`: the bytes or the record are not what was written;
    `changed`: the plan or an input is another one; `follows`: stale only because something upstream is."""
    reason: str | None = None  #: Why the artifact is stale, in a sentence; None if it is valid.
    changes: tuple[str, ...] = ()  #: The fields that differ, `path: old → new`.

    @property
    def by_code(self) -> bool:
        """Whether other code alone is the matter: then the artifact may be adopted (`sublim adopt`)."""
        return self.kind == "changed" and all(change.startswith("code.") for change in self.changes)


def judge(cells: Iterable[Cell], digests: Digests) -> dict[str, Verdict]:
    """Cell → verdict for `cells`, which stand in topological order. Reads artifacts and records, writes nothing."""
    verdicts: dict[str, Verdict] = {}
    records: dict[str, Record] = {}
    for cell in cells:
        try:
            record = read(layout.record(cell.id))
        except FileNotFoundError:
            verdicts[cell.id] = Verdict(cell, "missing", _missing(cell))
            continue
        except RecordError as error:
            verdicts[cell.id] = Verdict(cell, "altered", f"its record {error}")
            continue
        records[cell.id] = record
        verdicts[cell.id] = _compare(cell, record, verdicts, records, digests)
    return verdicts


def _compare(
    cell: Cell, record: Record, verdicts: Mapping[str, Verdict], records: Mapping[str, Record], digests: Digests
) -> Verdict:
    if changes := differences(asdict(record.plan), asdict(cell.plan)):
        return Verdict(cell, "changed", f"its plan has changed: {_summary(changes)}", changes)
    if changes := altered(cell.id, record, digests):
        return Verdict(cell, "altered", f"its bytes are not those of its record: {_summary(changes)}", changes)
    if {name: found.cell for name, found in record.inputs.items()} != cell.inputs:
        old = {name: found.cell for name, found in record.inputs.items()}
        changes = differences(old, cell.inputs, "inputs")
        return Verdict(cell, "changed", f"its inputs have changed: {_summary(changes)}", changes)
    for name, upstream in cell.inputs.items():
        if verdicts[upstream].reason is not None:
            return Verdict(cell, "follows", f"it follows {upstream}, which is not up to date")
        before, now = record.inputs[name].digest, records[upstream].digest
        if before != now:
            change = f"inputs.{name}: {upstream} {before[:12]} → {now[:12]}"
            return Verdict(cell, "changed", f"it was made from other bytes of {upstream}", (change,))
    return Verdict(cell, "valid")


def _missing(cell: Cell) -> str:
    here = layout.artifact(cell.id).is_dir() and any(layout.artifact(cell.id).glob("*.*"))
    return "it has files but no record of what made them" if here else "it does not exist yet"


def altered(cell: str, record: Record, digests: Digests) -> tuple[str, ...]:
    """The files of an artifact that are not what its record says: `name: expected → found`. None is opened outside of it."""
    found: list[str] = []
    for name, output in record.outputs.items():
        try:
            instead = differs(within(layout.artifact(cell), name), output, digests)
        except HarmfulNameError as error:
            instead = str(error)
        if instead is not None:
            found.append(f"{name}: {output.sha256[:12]} → {instead}")
    return tuple(found)


def differences(old: Any, new: Any, where: str = "") -> tuple[str, ...]:
    """The fields in which two JSON values differ, each as `path: old → new`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        before, now = cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", new)
        keys = [*now, *(key for key in before if key not in now)]
        return tuple(
            line
            for key in keys
            for line in differences(before.get(key, _ABSENT), now.get(key, _ABSENT), f"{where}.{key}" if where else key)
        )
    same = type(cast("object", old)) is type(cast("object", new)) and old == new
    return () if same else (f"{where}: {_short(old)} → {_short(new)}",)


_ABSENT = object()


def _short(value: Any) -> str:
    if value is _ABSENT:
        return "(absent)"
    text = json.dumps(value, ensure_ascii=False)
    if len(text) == 66 and text.strip('"').isalnum():
        return text[1:13]
    return text if len(text) <= 60 else f"{text[:57]}…"


def _summary(changes: tuple[str, ...]) -> str:
    more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
    return "; ".join(changes[:3]) + more


def strays(known: Collection[str]) -> list[Path]:
    """Directories under data/ that hold a record of a cell not in `known`."""
    return sorted(
        path.parent
        for path in layout.DATA.rglob(layout.RECORD)
        if path.parent.relative_to(layout.DATA).as_posix() not in set(known)
    )


def summarize(verdicts: Collection[Verdict]) -> str:
    """`12 of 325 artifacts are not up to date:` and a line per reason that is a cell's own, most frequent first."""
    own: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.reason is not None and verdict.kind != "follows":
            own.setdefault(verdict.reason, []).append(verdict.cell.id)
    stale = sum(verdict.reason is not None for verdict in verdicts)
    if not stale:
        return f"all {len(verdicts)} artifacts are up to date"
    lines = [f"{stale} of {len(verdicts)} artifacts are not up to date:"]
    for reason, names in sorted(own.items(), key=lambda item: -len(item[1]))[:8]:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        lines.append(f"  {names[0]}{more}: {reason}")
    if len(own) > 8:
        lines.append(f"  and {len(own) - 8} other reasons; `sublim why X` tells each")
    if follows := stale - sum(map(len, own.values())):
        lines.append(f"  {follows} more follow from these")
    if by_code := sum(verdict.by_code for verdict in verdicts):
        lines.append(
            f"  {by_code} are stale by code alone: `sublim adopt` makes some of each stage again and, where every byte is "
            "the same, keeps the others; `sublim cost` says what all of it costs"
        )
    return "\n".join(lines)


def publish(verdicts: Mapping[str, Verdict]) -> None:
    """Write the verdict files that the rules have as inputs.

    A valid cell's file has modification time 1, older than any artifact; a stale one's is new and carries a fresh nonce,
    because Snakemake compares checksums of small inputs with those of the job's last run and would not see a return to an
    earlier plan.
    """
    for verdict in verdicts.values():
        cell, path = verdict.cell, layout.plan(verdict.cell.id)
        body: dict[str, Any] = {"plan": asdict(cell.plan), "inputs": cell.inputs, "online": cell.online}
        body |= {"reason": verdict.reason}
        body |= {"changes": verdict.changes, "nonce": None if verdict.reason is None else secrets.token_hex(8)}
        text = json.dumps(body, indent=1, ensure_ascii=False)
        if not (path.is_file() and path.read_bytes() == text.encode()):
            _write(path, text)
        if verdict.reason is None:
            os.utime(path, (VALID_MTIME, VALID_MTIME))
        else:
            _not_from_the_future(layout.record(cell.id), path)


def _write(path: Path, text: str) -> None:
    # No fsync: a verdict is made anew by every run, and hundreds of them are written while a person waits.
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _not_from_the_future(record: Path, verdict: Path) -> None:
    """A stale record that claims to be younger than its verdict (a clone with odd times) would pass for up to date."""
    if record.is_file() and youngest(record) >= verdict.stat().st_mtime:
        os.utime(record, (VALID_MTIME, VALID_MTIME))
        os.utime(record, (VALID_MTIME, VALID_MTIME), follow_symlinks=False)


def youngest(path: Path) -> float:
    """The modification time that Snakemake goes by: of a link and of what it leads to, the later one."""
    return max(path.stat().st_mtime, path.lstat().st_mtime)
