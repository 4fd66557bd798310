"""What an experiment asks of models against what was found when these were tried out: before anything is computed for it."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sublim.common.errors import SublimError
from sublim.common.reading import reading
from sublim.engine import layout
from sublim.engine.record import Plan, record_at
from sublim.engine.stage import stage, stage_of, stages
from sublim.engine.verdict import Verdict


class UnmetError(SublimError):
    """A model cannot be used as an experiment asks."""


def check(verdicts: Mapping[str, Verdict]) -> None:
    """Raises UnmetError: something that is to be made asks of a model what this cannot do, as far as models are there."""
    made = {cell for cell, verdict in verdicts.items() if verdict.reason is None}
    stale = (verdict.cell for verdict in verdicts.values() if verdict.reason is not None)
    _raise(fault for cell in stale for fault in _faults(cell.plan.stage, cell.plan.params, _found(cell.inputs, made)))


def check_planned(cell: str) -> None:
    """The same in the job of `cell`, for all that is planned, and the models that were made meanwhile: the first job stops for
    all, before anything is computed with them."""
    if stage_of(cell).needs is None:
        return
    tried = [each.name for each in stages().values() if each.probe is not None]
    plans = [_plan(path) for name in tried for path in sorted((layout.PLANS / name).rglob("*.json"))]
    made = {plan.cell for plan, *_ in plans if _made(plan)}
    if any(_finding(each) is not None for each in made):
        every = [_plan(path) for each in stages() for path in sorted((layout.PLANS / each).rglob("*.json"))]
        stale = [(plan, inputs) for plan, inputs, reason in every if reason is not None]
        _raise(fault for plan, inputs in stale for fault in _faults(plan.stage, plan.params, _found(inputs, made)))


Fault = tuple[str, Path, str]  #: What asks, the findings on what is asked, and what that lacks.


def _plan(path: Path) -> tuple[Plan, dict[str, str], str | None]:
    with reading(path, "Start snakemake again, which writes it.", shape=True):
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        return Plan(**found["plan"]), dict(found["inputs"]), found["reason"]


def _made(plan: Plan) -> bool:
    """Whether there is an artifact that was made by `plan`."""
    record = record_at(layout.record(plan.cell))
    return record is not None and record.plan == plan


def _faults(of: str, params: Mapping[str, Any], found: Mapping[str, Path]) -> Iterator[Fault]:
    needs = stage(of).needs
    if found and needs is not None:
        slice_ = stage(of).params.model_validate_json(json.dumps(params))
        cell = stage(of).cell(slice_.dims)
        yield from ((cell, path, lack) for name, path in found.items() for lack in needs(slice_, name, path))


def _found(inputs: Mapping[str, str], made: Collection[str]) -> dict[str, Path]:
    """Input → the file of what was found of it, of those that are made."""
    each = {name: _finding(cell) for name, cell in inputs.items() if cell in made}
    return {name: path for name, path in each.items() if path is not None}


def _finding(cell: str) -> Path | None:
    name = stage_of(cell).probe
    path = layout.artifact(cell) / name if name is not None else None
    return path if path is not None and path.is_file() else None


_SHOWN = 5


def _raise(faults: Iterable[Fault]) -> None:
    found: dict[tuple[Path, str], list[str]] = {}
    for who, of, lack in faults:
        found.setdefault((of.parent, lack), []).append(who)
    if not found:
        return
    lines = [
        f"{of}: {lack} (asked by {cells[0]}{f' and {len(cells) - 1} more' if len(cells) > 1 else ''})"
        for (of, lack), cells in list(found.items())[:_SHOWN]
    ]
    if len(found) > _SHOWN:
        lines.append(f"and {len(found) - _SHOWN} more such things")
    raise UnmetError("; ".join(lines) + ". Nothing was computed with it; `sublim probe NAME` says what a model can do here.")
