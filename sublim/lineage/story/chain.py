"""The chain of records: each artifact was made from those that its name says, and these are here as it found them.

The plan of an experiment says the same and more (`sublim.plan.verdict`); this is for what has none: a git revision, a bundle.
"""

from collections.abc import Iterator
from typing import Any

from sublim.lineage.finding import CORRUPTED, STALE, UNVERIFIABLE, Finding
from sublim.lineage.tree import Tree
from sublim.plan import layout
from sublim.plan.cells import cell_id, writer
from sublim.plan.record import Plan


def check(tree: Tree) -> list[Finding]:
    """Where the chain is broken: nothing, if the list is empty. So one base sampled, was fine-tuned and was evaluated."""
    return [finding for cell in tree.records for finding in _links(tree, cell)]


def _links(tree: Tree, cell: str) -> Iterator[Finding]:
    record = tree.records[cell]
    mend = f"snakemake -j8 {layout.record(cell)}"
    expected = _expected(record.plan)
    found = {name: given.cell for name, given in record.inputs.items()}
    if expected is not None and found != expected:
        text = f"inputs: expected {_named(expected)}, found {_named(found)}"
        yield Finding(cell, record.plan.stage, CORRUPTED, text, f"rm {layout.record(cell)} && {mend}")
        return
    for given in record.inputs.values():
        upstream = tree.records.get(given.cell)
        if upstream is None:
            text = f"inputs: expected the record of {given.cell}, from which it was made, found none in {tree.name}"
            yield Finding(cell, record.plan.stage, UNVERIFIABLE, text, mend)
        elif upstream.digest != given.digest:
            text = f"inputs: expected {given.cell} {given.digest[:12]}, from which it was made, found {upstream.digest[:12]}"
            yield Finding(cell, record.plan.stage, STALE, text, mend)


def _expected(plan: Plan) -> dict[str, str] | None:
    """Name of the input → its cell, by the dimensions of the artifact; None for a report, which has what its experiment has."""
    dims = plan.dims
    match plan.stage:
        case "base":
            return {}
        case "teacher":
            return {"base": _cell("base", model=dims["teacher"])}
        case "raw":
            return writer(dims, "base")
        case "filtered":
            asked: dict[str, Any] = plan.params.get("judge") or {}
            here = asked.get("kind") == "local" and asked.get("model") is not None
            return {"raw": _cell("raw", **dims), **({"judge": _cell("base", model=asked["model"])} if here else {})}
        case "student":
            soft = writer(dims, "writer") if plan.params.get("soft") else {}
            return {"base": _cell("base", model=dims["student"]), "filtered": _cell("filtered", **dims), **soft}
        case "eval":
            student = {} if dims["arm"] == "base" else {"student": _cell("student", **dims)}
            return {"base": _cell("base", model=dims["student"]), **student}
        case "theory":
            names = plan.params["experiment"].get("subject", {}).get("names", ())
            return {as_: _cell("base", model=name) for as_, name in zip(("base", "other"), names, strict=False)}
        case _:
            return None


def _cell(stage: str, **dims: str | int) -> str:
    return cell_id(stage, dims)


def _named(inputs: dict[str, str]) -> str:
    return ", ".join(inputs.values()) or "none"
