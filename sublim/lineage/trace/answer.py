"""What a question about lineage is answered with: a tree of steps, and the records of the artifacts in it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl

from sublim.common.canonical import digest
from sublim.lineage.trace.reader import Reader
from sublim.plan.record import Record

Kind = Literal[
    "number", "evaluation", "answer", "sample", "artifact", "file", "filtered row", "raw row", "teacher row", "corpus row",
    "teacher rows", "corpus", "measurement", "source file", "stage", "runs", "graded answer", "judged pair", "held-out score",
    "in-context run", "pair shown", "quiz question",
]  # fmt: skip


@dataclass(frozen=True)
class Node:
    """One step of a chain."""

    kind: Kind
    name: str
    """The cell id, row id, path or number that it is; `sublim lineage NAME` asks for it."""
    relation: str = ""
    """What it is to the node above it: `trained on`, `parent`, …"""
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What is known of it, as JSON values. What is in the record of an artifact is not repeated here."""
    next: tuple["Node", ...] = ()
    """Lineage: what it was made from. Impact: what it reaches."""
    again: bool = False
    """It stands further up in the tree with its facts and what follows."""
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict[str, pl.DataFrame])
    """More facts, as lists of objects in JSON: `rows` of a data set, `by_step` (step, loss, learning_rate, tokens, rows)."""

    def walk(self) -> Iterator["Node"]:
        """This node and all below, in the order in which they are read."""
        yield self
        for node in self.next:
            yield from node.walk()


@dataclass(frozen=True)
class Answer:
    """The answer to `sublim lineage X` or `sublim impact X`."""

    question: Literal["lineage", "impact"]
    asked: str
    tree: str
    """Where it was looked up: `data`, or a git revision."""
    root: Node
    cells: tuple[str, ...]
    """The artifacts of the chain, in the order of the pipeline: all that X came from, or all that it reaches."""
    numbers: tuple[str, ...] = ()
    """The numbers of the report in the chain."""

    def json(self, reader: Reader) -> dict[str, Any]:
        """question, asked, tree, root {kind, name, relation, facts, again, next: […]}, numbers, and artifacts: cell → {key,
        digest, code_digest, params, code, inputs, outputs, environment}."""
        artifacts = {cell: described(reader, cell) for cell in self.cells}
        return {
            "question": self.question,
            "asked": self.asked,
            "tree": self.tree,
            "root": _json(self.root),
            "numbers": list(self.numbers),
            "artifacts": artifacts,
        }


def described(reader: Reader, cell: str) -> dict[str, Any]:
    """What a record says, as JSON: key, digest, code_digest (over all modules), params, code, inputs, outputs, environment."""
    record = reader.record(cell)
    return {
        "key": reader.keys[cell],
        "digest": record.digest,
        "code_digest": code_digest(record),
        "params": record.plan.params,
        "code": record.plan.code,
        "inputs": {name: {"cell": used.cell, "digest": used.digest} for name, used in record.inputs.items()},
        "outputs": {name: {"sha256": output.sha256, "size": output.size} for name, output in record.outputs.items()},
        "environment": record.environment,
    }


def code_digest(record: Record) -> str:
    """One digest over the code that made an artifact."""
    return digest(record.plan.code)


def upstream(reader: Reader, cells: list[str]) -> tuple[str, ...]:
    """`cells` and all that they were made from, in the order of the pipeline."""
    found: set[str] = set()
    waiting = list(cells)
    while waiting:
        cell = waiting.pop()
        if cell not in found and cell in reader.tree.records:
            found.add(cell)
            waiting += [used.cell for used in reader.tree.records[cell].inputs.values()]
    return tuple(cell for cell in reader.tree.records if cell in found)


def downstream(reader: Reader, cells: list[str]) -> tuple[str, ...]:
    """`cells` and all that was made from them, in the order of the pipeline."""
    found: set[str] = set()
    waiting = list(cells)
    while waiting:
        cell = waiting.pop()
        if cell not in found:
            found.add(cell)
            waiting += reader.tree.consumers.get(cell, ())
    return tuple(cell for cell in reader.tree.records if cell in found)


def _json(node: Node) -> dict[str, Any]:
    return {
        "kind": node.kind,
        "name": node.name,
        "relation": node.relation,
        "facts": {**node.facts, **{name: table.to_dicts() for name, table in node.tables.items()}},
        "again": node.again,
        "next": [_json(below) for below in node.next],
    }
