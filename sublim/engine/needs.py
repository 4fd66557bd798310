"""What an experiment asks of models against what was found when these were tried out: before anything is computed for it."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sublim.common.errors import SublimError
from sublim.common.reading import reading
from sublim.engine import layout
from sublim.engine.stage import stage, stage_of
from sublim.engine.verdict import Verdict


class UnmetError(SublimError):
    """A model cannot be used as an experiment asks."""


def check(verdicts: Mapping[str, Verdict]) -> None:
    """Raises UnmetError: something that is to be made asks of a model what this cannot do, as far as models are there."""
    made = {cell for cell, verdict in verdicts.items() if verdict.reason is None}
    stale = (verdict.cell for verdict in verdicts.values() if verdict.reason is not None)
    _raise(fault for cell in stale for fault in _faults(cell.plan.stage, cell.plan.params, _found(cell.inputs, made)))


def check_planned(inputs: Iterable[str]) -> None:
    """The same for all that is planned with any of the cells `inputs`, which were made meanwhile: the first job that reads a
    model stops for all, before anything is computed with it."""
    if made := {cell for cell in inputs if _finding(cell) is not None}:
        _raise(fault for path in sorted(layout.PLANS.rglob("*.json")) for fault in _planned(path, made))


Fault = tuple[str, Path, str]  #: What asks, the findings on what is asked, and what that lacks.


def _planned(path: Path, made: Collection[str]) -> Iterator[Fault]:
    with reading(path, "Start snakemake again, which writes it.", shape=True):
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        if "plan" not in found or found["reason"] is None:
            return
        of, params, inputs = found["plan"]["stage"], found["plan"]["params"], dict(found["inputs"])
    yield from _faults(of, params, _found(inputs, made))


def _faults(of: str, params: Mapping[str, Any], found: Mapping[str, Path]) -> Iterator[Fault]:
    needs = stage(of).needs
    if found and needs is not None:
        slice_ = stage(of).params.model_validate_json(json.dumps(params))
        for name, lack in needs(slice_, found):
            yield stage(of).cell(slice_.dims), found[name], lack


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
