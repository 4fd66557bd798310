"""What differs between two versions of an experiment: which artifacts, because of what, and how the results moved."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sublim.lineage.trace.numbers import Numbers, number_name
from sublim.lineage.tree import Tree
from sublim.plan.cells import STAGES
from sublim.plan.record import Record
from sublim.plan.verdict import differences

_SHOWN = 12
Kind = Literal["param", "code", "input", "package", "unexplained"]


@dataclass(frozen=True)
class Cause:
    """One thing that is another one, and what it made different."""

    kind: Kind
    """`param`: a field of the experiment; `code`: a module; `input`: made from another artifact; `package`: the environment,
    with plan and inputs as before; `unexplained`: same plan, inputs and environment, other bytes."""
    change: str
    """`finetune.learning_rate: 0.005 → 0.004`."""
    cells: Sequence[str]
    """The artifacts that changed by it themselves."""
    follow: tuple[str, ...]
    """Those that changed only because something that they were made from did."""


@dataclass(frozen=True)
class Moved:
    """A number of the report in both versions; what a version's report does not have is None."""

    number: str
    kind: Literal["matrix", "mean", "test"]
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None


@dataclass(frozen=True)
class Difference:
    """Old to new."""

    old: str
    new: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    """Artifacts with another plan, other inputs or other bytes."""
    same_bytes: tuple[str, ...]
    """Those of them that came out the same, byte for byte."""
    causes: tuple[Cause, ...]
    """Those with most consequences first."""
    moved: tuple[Moved, ...]
    kept: int
    """How many artifacts are the same in both."""

    def json(self) -> dict[str, Any]:
        """old, new, added, removed, changed, same_bytes, kept, causes [{kind, field, old, new, cells, follow}], moved [{number,
        old, new}]. `old` and `new` of a cause are JSON text, digests shortened, null where there is none."""
        causes = [{**_parts(cause.change), **asdict(cause)} for cause in self.causes]
        return {**asdict(self), "causes": causes}


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
    fewer, more = old.inputs.keys() - new.inputs.keys(), new.inputs.keys() - old.inputs.keys()
    if fewer or more:
        found.append(
            ("input", f"made from {len(more)} artifacts that it was not made from before, and no more from {len(fewer)}")
        )
    common = [name for name in new.inputs if name in old.inputs]
    cells = ({name: record.inputs[name].cell for name in common} for record in (old, new))
    found += _caused("input", *cells)
    fed = any(old.inputs[name].digest != used.digest for name, used in new.inputs.items() if name in old.inputs)
    if found or fed:
        return found
    packages = _caused("package", _environment(old), _environment(new))
    return packages or [("unexplained", "same plan, inputs and environment, other bytes")]


def _caused(kind: Kind, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[Kind, str]]:
    return [(kind, line) for line in differences(old, new)]


def _parts(change: str) -> dict[str, str | None]:
    field, _, values = change.partition(": ")
    old, arrow, new = values.partition(" → ")
    return {"field": field if arrow else None, "old": old if arrow else None, "new": new if arrow else None}


def _environment(record: Record) -> dict[str, Any]:
    return {name: value for name, value in record.environment.items() if name != "git"}


def _grouped(own: Mapping[str, Sequence[tuple[Kind, str]]], changed: Sequence[str], new: Tree) -> tuple[Cause, ...]:
    roots: dict[tuple[Kind, str], list[str]] = {}
    for cell, causes in own.items():
        for cause in causes:
            roots.setdefault(cause, []).append(cell)
    follow = {cell for cell in changed if cell not in own}
    causes = [Cause(kind, change, tuple(cells), _below(cells, follow, changed, new)) for (kind, change), cells in roots.items()]
    return tuple(sorted(causes, key=lambda cause: -len(cause.cells) - len(cause.follow)))


def _below(cells: Iterable[str], follow: set[str], changed: Sequence[str], new: Tree) -> tuple[str, ...]:
    """Of `follow` those that were made from one of `cells`, by way of artifacts that changed."""
    reached, through, waiting = set[str](), set(changed), list(cells)
    while waiting:
        for user in new.consumers.get(waiting.pop(), ()):
            if user in through and user not in reached:
                reached.add(user)
                waiting.append(user)
    return tuple(cell for cell in changed if cell in reached & follow)


def _moved(old: Numbers, new: Numbers) -> Iterable[Moved]:
    """Headline means and the test first, then the cells of the matrix; only what differs."""
    every = {**old.all, **new.all}
    for name in sorted(every, key=lambda name: (every[name].kind == "matrix", every[name].kind == "test")):
        before, now = (numbers.all[name].facts if name in numbers.all else None for numbers in (old, new))
        if before != now:
            yield Moved(name, every[name].kind, before or None, now or None)


def describe(of: Difference) -> str:
    """The difference for a person."""
    if not (of.added or of.removed or of.changed):
        return f"{of.old} and {of.new} have the same {of.kept} artifacts."
    lines = [
        f"{of.old} → {of.new}: {len(of.changed)} changed, {len(of.added)} added, {len(of.removed)} removed, {of.kept} the same"
    ]
    if of.causes:
        lines.append("because of")
    for cause in of.causes[:_SHOWN]:
        more = f" and {len(cause.cells) - 1} more" if len(cause.cells) > 1 else ""
        lines.append(f"  {cause.kind} {cause.change}")
        lines.append(f"    {cause.cells[0]}{more}; {len(cause.follow)} follow")
    if len(of.causes) > _SHOWN:
        lines.append(f"  and {len(of.causes) - _SHOWN} more (--json lists them)")
    if of.same_bytes:
        lines.append(f"{len(of.same_bytes)} of the changed came out the same, byte for byte: {_by_stage(of.same_bytes)}")
    for what, cells in (("added", list(of.added)), ("removed", list(of.removed))):
        if cells:
            lines.append(f"{what}: {_by_stage(cells)}, first {cells[0]}")
    lines.append("results" if of.moved else "no number of the report moved")
    lines += [f"  {line}" for moved in of.moved for line in _moved_lines(moved)]
    return "\n".join(lines)


def _by_stage(cells: Iterable[str]) -> str:
    stages = [cell.split("/")[0] for cell in cells]
    return ", ".join(f"{stages.count(stage)} {stage}" for stage in STAGES if stage in stages)


def _moved_lines(moved: Moved) -> Iterable[str]:
    yield number_name(moved.number)
    yield f"  {_value(moved.old)} → {_value(moved.new)}"


def _value(facts: Mapping[str, Any] | None) -> str:
    if facts is None:
        return "(none)"
    if "p" in facts:
        return f"p = {facts['p']:.3g} ({facts['groups']} groups)"
    span = f" [{facts['low']:+.3g}, {facts['high']:+.3g}]" if facts["low"] is not None else ""
    return f"{facts['gain']:+.3g}{span} (n {facts['n']})"
