"""What differs between two versions of an experiment: which artifacts, because of what, and how the results moved."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sublim.engine.record import Record
from sublim.engine.stage import stages
from sublim.engine.verdict import differences
from sublim.evidence.telling import Numbers
from sublim.evidence.tree import Tree
from sublim.evidence.words import more

_SHOWN = 12
Kind = Literal["param", "code", "input", "package", "unexplained"]


@dataclass(frozen=True)
class Cause:
    """One thing that is another one, and what it made different."""

    kind: Kind
    """`param`: a field of the experiment; `code`: a module; `input`: made from another artifact; `package`: the environment,
    with plan and inputs as before; `unexplained`: same plan, inputs and environment, other bytes."""
    change: str  #: `finetune.learning_rate: 0.005 → 0.004`.
    cells: Sequence[str]  #: The artifacts that changed by it themselves.
    follow: tuple[str, ...]  #: Those that changed only because something that they were made from did.


@dataclass(frozen=True)
class Moved:
    """A number of a report in both versions; what a version's report does not have is None."""

    number: str
    kind: str
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None
    words: tuple[str, str]  #: What it is, and both in words; not in the JSON.


@dataclass(frozen=True)
class Difference:
    """Old to new."""

    old: str
    new: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]  #: Artifacts with another plan, other inputs or other bytes.
    same_bytes: tuple[str, ...]  #: Those of them that came out the same, byte for byte.
    causes: tuple[Cause, ...]  #: Those with most consequences first.
    moved: tuple[Moved, ...]
    kept: int  #: How many artifacts are the same in both.

    def json(self) -> dict[str, Any]:
        """old, new, added, removed, changed, same_bytes, kept, causes [{kind, field, old, new, cells, follow}], moved [{number,
        old, new}]. `old` and `new` of a cause are JSON text, digests shortened, null where there is none."""
        causes = [{**_parts(cause.change), **asdict(cause)} for cause in self.causes]
        moved = [{name: value for name, value in asdict(each).items() if name != "words"} for each in self.moved]
        return {**asdict(self), "causes": causes, "moved": moved}


def difference(old: Tree, new: Tree) -> Difference:
    """How `new` differs from `old`."""
    before, now = old.records, new.records
    both = [cell for cell in now if cell in before]
    changed = [cell for cell in both if _changed(before[cell], now[cell])]
    own = {cell: causes for cell in changed if (causes := _own(before[cell], now[cell]))}
    return Difference(
        old=old.name,
        new=new.name,
        added=tuple(cell for cell in now if cell not in before),
        removed=tuple(cell for cell in before if cell not in now),
        changed=tuple(changed),
        same_bytes=tuple(cell for cell in changed if before[cell].digest == now[cell].digest),
        causes=_grouped(own, changed, new),
        moved=tuple(_moved(Numbers(old), Numbers(new))),
        kept=len(both) - len(changed),
    )


def _changed(old: Record, new: Record) -> bool:
    return (old.plan, old.inputs, old.outputs) != (new.plan, new.inputs, new.outputs)


def _own(old: Record, new: Record) -> list[tuple[Kind, str]]:
    """Why an artifact changed, as far as it is not because of what it was made from."""
    found = _caused("param", old.plan.params, new.plan.params)
    found += _caused("code", old.plan.code, new.plan.code)
    fewer, further = old.inputs.keys() - new.inputs.keys(), new.inputs.keys() - old.inputs.keys()
    if fewer or further:
        what = f"made from {len(further)} artifacts that it was not made from before, and no more from {len(fewer)}"
        found.append(("input", what))
    common = [name for name in new.inputs if name in old.inputs]
    found += _caused("input", *({name: record.inputs[name].cell for name in common} for record in (old, new)))
    fed = any(old.inputs[name].digest != new.inputs[name].digest for name in common)
    if found or fed:
        return found
    packages = _caused("package", *({**record.environment, "git": None} for record in (old, new)))
    return packages or [("unexplained", "same plan, inputs and environment, other bytes")]


def _caused(kind: Kind, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[Kind, str]]:
    return [(kind, line) for line in differences(old, new)]


def _parts(change: str) -> dict[str, str | None]:
    field, _, values = change.partition(": ")
    old, arrow, new = values.partition(" → ")
    return {"field": field if arrow else None, "old": old if arrow else None, "new": new if arrow else None}


def _grouped(own: Mapping[str, Sequence[tuple[Kind, str]]], changed: Sequence[str], new: Tree) -> tuple[Cause, ...]:
    roots: dict[tuple[Kind, str], list[str]] = {}
    for cell, causes in own.items():
        for cause in causes:
            roots.setdefault(cause, []).append(cell)
    part = new.part(set(changed))  # by way of artifacts that changed
    causes = [
        Cause(kind, change, tuple(cells), tuple(cell for cell in part.downstream(cells) if cell not in own))
        for (kind, change), cells in roots.items()
    ]
    return tuple(sorted(causes, key=lambda cause: -len(cause.cells) - len(cause.follow)))


def _moved(old: Numbers, new: Numbers) -> Iterable[Moved]:
    """What differs; first those that sum up others, such as headline means."""
    every = {**old.all, **new.all}
    for name, number in sorted(every.items(), key=lambda item: not any(above in every for above in item[1].above)):
        before, now = (numbers.all.get(name) for numbers in (old, new))
        facts = [each and (each.facts or None) for each in (before, now)]
        if facts[0] != facts[1]:
            both = " → ".join((each and each.value) or "(none)" for each in (before, now))
            yield Moved(name, number.kind, facts[0], facts[1], (number.title, both))


def describe(difference: Difference) -> str:
    """The difference for a person."""
    if not (difference.added or difference.removed or difference.changed):
        return f"{difference.old} and {difference.new} have the same {difference.kept} artifacts."
    changes = {name: list(getattr(difference, name)) for name in ("changed", "added", "removed")}
    counts = ", ".join(f"{len(cells)} {name}" for name, cells in changes.items())
    lines = [f"{difference.old} → {difference.new}: {counts}, {difference.kept} the same"]
    lines += ["because of"] * bool(difference.causes)
    for cause in difference.causes[:_SHOWN]:
        others = more(len(cause.cells), 1)
        lines += [f"  {cause.kind} {cause.change}", f"    {cause.cells[0]}{others}; {len(cause.follow)} follow"]
    if len(difference.causes) > _SHOWN:
        lines.append(f"  and {len(difference.causes) - _SHOWN} more (--json lists them)")
    if difference.same_bytes:
        same = difference.same_bytes
        lines.append(f"{len(same)} of the changed came out the same, byte for byte: {_by_stage(same)}")
    for what in ("added", "removed"):
        if cells := changes[what]:
            lines.append(f"{what}: {_by_stage(cells)}, first {cells[0]}")
    lines.append("results" if difference.moved else "no number of the report moved")
    for what, values in (moved.words for moved in difference.moved):
        lines += [f"  {what}", f"    {values}"]
    return "\n".join(lines)


def _by_stage(cells: Iterable[str]) -> str:
    found = [cell.split("/")[0] for cell in cells]
    return ", ".join(f"{found.count(stage)} {stage}" for stage in stages() if stage in found)
