"""What a question about lineage is answered with: a tree of steps, and the records of the artifacts in it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import polars as pl

from sublim.common.canonical import digest
from sublim.engine.record import Record
from sublim.evidence.reader import Reader
from sublim.evidence.words import spaced


@dataclass(frozen=True)
class Node:
    """One step of a chain."""

    kind: str  #: `artifact`, `number`, what a row of its table is, …
    name: str  #: The cell id, row id, path or number that it is; `sublim lineage NAME` asks for it.
    relation: str = ""  #: What it is to the node above it: `trained on`, `parent`, …
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What is known of it, as JSON values. What is in the record of an artifact is not repeated here."""
    next: tuple["Node", ...] = ()  #: Lineage: what it was made from. Impact: what it reaches.
    again: bool = False  #: It stands further up in the tree with its facts and what follows.
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict[str, pl.DataFrame])
    """More facts, as lists of objects in JSON: `rows` of a data set, `by_step` (step, loss, learning_rate, tokens, rows)."""
    words: str = ""  #: What it is, in a line, for people; empty for its kind and name.
    lines: tuple[str, ...] = ()  #: What is known of it, for people.
    reaches: tuple[str, ...] = ()  #: Impact: all artifacts that are reached by way of it.

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return self.words or (spaced(self.name) if self.kind == "artifact" else f"{self.kind} {self.name}")

    def walk(self) -> Iterator["Node"]:
        """This node and all below, in the order in which they are read."""
        yield self
        for node in self.next:
            yield from node.walk()


@dataclass(frozen=True)
class Number:
    """A number that an artifact says of others, such as those of a report, or a part of what it is made of."""

    id: str  #: The cell that says it, then its dimensions: `…/teacher=a/student=b/arm=trait`.
    cell: str  #: The artifact that says it.
    kind: str  #: What it is, in a word.
    dims: Mapping[str, str]  #: What tells it from the others.
    facts: Mapping[str, Any]  #: What is said, as JSON values.
    runs: tuple[str, ...]  #: The artifacts that it is made of.
    compared: tuple[str, ...]  #: The artifacts that these are compared with.
    above: tuple[str, ...]  #: What leads to it in the picture: other numbers by id, or artifacts.
    title: str  #: What it is, as a person says it.
    value: str  #: What it says, in words; empty if nothing is said.
    label: str  #: Both, as short as the picture needs it.
    column: str  #: Its column in the picture.
    part: str = ""  #: Which of its runs are meant, in words; empty for all.

    def node(self, relation: str = "", next: tuple[Node, ...] = (), **more: Any) -> Node:  # noqa: A002
        """It as a step of a chain, with `more` facts."""
        said: Mapping[str, Any] = {} if self.part else self.facts
        words = f"{self.title}, {self.part}" if self.part else f"{self.title}: {self.value}".removesuffix(": ")
        name = f"{self.id}, {self.part}" if self.part else self.id
        return Node("runs" if self.part else "number", name, relation, {**said, **more}, next, words=words)


@dataclass(frozen=True)
class Answer:
    """The answer to `sublim lineage X` or `sublim impact X`."""

    question: Literal["lineage", "impact"]
    asked: str
    tree: str  #: Where it was looked up: `data`, or a git revision.
    root: Node
    cells: tuple[str, ...]
    """The artifacts of the chain, in the order of the pipeline: all that X came from, or all that it reaches."""
    numbers: tuple[str, ...] = ()  #: The numbers of the report in the chain.

    def json(self, reader: Reader) -> dict[str, Any]:
        """question, asked, tree, root {kind, name, relation, facts, again, next: […]}, numbers, and artifacts: cell → {key,
        digest, code_digest, params, code, inputs, outputs, environment}."""
        told = {"question": self.question, "asked": self.asked, "tree": self.tree, "root": _json(self.root)}
        return {**told, "numbers": [*self.numbers], "artifacts": {cell: described(reader, cell) for cell in self.cells}}


def described(reader: Reader, cell: str) -> dict[str, Any]:
    """What a record says, as JSON: key, digest, code_digest (over all modules), params, code, inputs, outputs, environment;
    adopted, if it was."""
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
        **({"adopted": [asdict(each) for each in record.adopted]} if record.adopted else {}),
    }


def code_digest(record: Record) -> str:
    """One digest over the code that made an artifact."""
    return digest(record.plan.code)


def _json(node: Node) -> dict[str, Any]:
    facts = {**node.facts, **{name: table.to_dicts() for name, table in node.tables.items()}}
    told: dict[str, Any] = {"kind": node.kind, "name": node.name, "relation": node.relation, "facts": facts}
    return {**told, "again": node.again, "next": [_json(below) for below in node.next]}
