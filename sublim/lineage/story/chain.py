"""The chain of records: each artifact was made from those that its stage says, and these are here as it found them.

The plan of an experiment says the same and more (`sublim.engine.verdict`); this is for what has none: a git revision, a bundle.
"""

import json
from collections.abc import Iterator, Mapping

from sublim.engine import layout
from sublim.engine.record import Plan
from sublim.engine.stage import Stage, stages
from sublim.evidence.finding import CORRUPTED, STALE, UNVERIFIABLE, Finding
from sublim.evidence.tree import Tree


def check(tree: Tree) -> list[Finding]:
    """Where the chain is broken: nothing, if the list is empty. So one base sampled, was fine-tuned and was evaluated."""
    return [finding for cell in tree.records for finding in _links(tree, cell)]


def _links(tree: Tree, cell: str) -> Iterator[Finding]:
    record = tree.records[cell]
    mend = f"snakemake -j8 {layout.record(cell)}"
    given = {name: upstream.cell for name, upstream in record.inputs.items()}
    if wrong := _wrong(record.plan, given):
        yield Finding(cell, record.plan.stage, CORRUPTED, f"inputs: {wrong}", f"rm {layout.record(cell)} && {mend}")
        return
    for used in record.inputs.values():
        upstream = tree.records.get(used.cell)
        if upstream is None:
            text = f"inputs: expected the record of {used.cell}, from which it was made, found none in {tree.name}"
            yield Finding(cell, record.plan.stage, UNVERIFIABLE, text, mend)
        elif upstream.digest != used.digest:
            text = f"inputs: expected {used.cell} {used.digest[:12]}, from which it was made, found {upstream.digest[:12]}"
            yield Finding(cell, record.plan.stage, STALE, text, mend)


def _wrong(plan: Plan, given: Mapping[str, str]) -> str | None:
    """What is wrong with the inputs `given` (name → cell) of a plan."""
    stage = stages().get(plan.stage)
    if stage is None:
        return None
    expected = _expected(stage, plan)
    if expected is not None:
        return None if given == expected else f"expected {_named(expected)}, found {_named(given)}"
    strange = [cell for cell in given.values() if cell.partition("/")[0] not in stage.upstream]
    return f"expected artifacts of {', '.join(stage.upstream) or 'no stage'}, found {strange[0]}" if strange else None


def _expected(stage: Stage, plan: Plan) -> Mapping[str, str] | None:
    """Name of the input → its cell, by the dimensions and the params of the artifact; None where what it has is what its
    experiment has, or where its params cannot be read."""
    if stage.reads is None:
        return None if stage.upstream else {}
    try:
        return stage.reads(plan.dims, stage.params.model_validate_json(json.dumps(plan.params)))
    except (ValueError, KeyError):  # the check of its story says what is wrong
        return None


def _named(inputs: Mapping[str, str]) -> str:
    return ", ".join(inputs.values()) or "none"
