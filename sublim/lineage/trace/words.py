"""Lineage and impact as a tree for people, 80 columns wide or more."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from rich.console import Group
from rich.text import Text
from rich.tree import Tree as Drawing

from sublim.common.canonical import digest
from sublim.common.foreign import printable
from sublim.engine import environment
from sublim.engine.record import Record
from sublim.evidence.node import Answer, Node, code_digest
from sublim.evidence.reader import Reader, dimensions
from sublim.evidence.words import plural

_VALUE = 60


def drawing(answer: Answer, reader: Reader) -> Group:
    """The answer as a tree, and below it where its artifacts were made."""
    up = answer.question == "lineage"
    usual = _usual([reader.record(cell) for cell in answer.cells]) if up else ""
    parts: list[Drawing | Text] = [_draw(answer.root, reader if up else None, usual, None)]
    if usual:
        parts.append(Text(f"made{' (where nothing else is said)' if len(answer.cells) > 1 else ''} with {usual}", "dim"))
    if answer.tree != "data":
        parts.append(Text(f"as of {answer.tree}", "dim"))
    return Group(*parts)


def _draw(node: Node, reader: Reader | None, usual: str, parent: Drawing | None) -> Drawing:
    label = Text()
    if node.relation:
        label.append(printable(f"{node.relation}: "), "italic")
    label.append(printable(node.title), "bold")
    if node.again:
        label.append(" (see above)", "dim")
    else:
        label.append(printable("".join(f"\n{line}" for line in node.lines)))
        if reader is not None and node.kind == "artifact":
            label.append(printable("".join(f"\n{line}" for line in _made(reader.record(node.name), usual))), "dim")
    branch = Drawing(label, guide_style="dim") if parent is None else parent.add(label)
    for below in node.next:
        _draw(below, reader, usual, branch)
    return branch


def _made(record: Record, usual: str) -> Iterator[str]:
    """With what an artifact was made: params, code, commit, key, and the environment where it is not the usual one."""
    flat = _flat(record.plan.params, frozenset({*dimensions(), "name"}))
    leaves = Counter(name.rsplit(".", 1)[-1] for name, _ in flat)
    short = [(leaf if leaves[leaf := name.rsplit(".", 1)[-1]] == 1 else name, value) for name, value in flat]
    yield "params: " + (", ".join(f"{name} {value}" for name, value in short) or "none")
    code = f"code {code_digest(record)[:12]} ({len(record.plan.code)} modules), {_commit(record, 7)}"
    yield f"{code}, key {record.key[:12]}, bytes {record.digest[:12]}"
    for each in record.adopted:
        again = f"{plural(len(each.witnesses), 'artifact')} made again by this code came out the same"
        yield f"adopted: code {digest(each.code)[:12]} made it, key {each.key[:12]}; {again}"
    if (made := _environment(record)) != usual:
        yield f"made with {made}"


def _flat(params: Mapping[str, Any], but: frozenset[str] = frozenset()) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in params.items():
        if isinstance(value, Mapping):
            found += [(f"{name}.{inner}", text) for inner, text in _flat(cast("Mapping[str, Any]", value))]
        elif value is not None and value != [] and name not in but:
            text = json.dumps(value, ensure_ascii=False).strip('"')
            found.append((name, text if len(text) <= _VALUE else f"{text[: _VALUE - 1]}…"))
    return found


def _usual(records: Sequence[Record]) -> str:
    found = Counter(_environment(record) for record in records)
    return found.most_common(1)[0][0] if found else ""


def _environment(record: Record) -> str:
    known = record.environment
    packages: Mapping[str, str] = known.get("packages") or {}
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    return f"Python {known.get('python')}, {known.get('platform')}, {_commit(record, 40)}; {versions}"


def _commit(record: Record, digits: int) -> str:
    git = environment.commit(record.environment)
    if git is None:
        return f"commit {environment.why_unknown(record.environment.get('git'))}"
    return f"commit {git['commit'][:digits]}{' + edits' if git['dirty'] else ''}"
