"""Lineage and impact as one self-contained page: a graph with a column per stage, the chain in it, the record of every node."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from sublim.engine.stage import stages
from sublim.evidence.node import Answer, Node, code_digest, described
from sublim.evidence.telling import telling, tellings
from sublim.evidence.words import spaced
from sublim.lineage.trace.trace import Trace

TEMPLATE = Path(__file__).with_suffix(".html")
_ROWS = 200  #: How many rows of a data set the page lists.
Graph = dict[str, tuple[str, ...]]


def page(answer: Answer, trace: Trace) -> str:
    """The page as HTML text: every artifact and number of the tree, `answer` highlighted in it. It loads nothing."""
    data = json.dumps(_data(answer, trace), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    title = escape(f"{answer.question} of {answer.asked}")
    return TEMPLATE.read_text(encoding="utf-8").replace("%TITLE%", title, 2).replace("%DATA%", data, 1)


def columns() -> dict[str, str]:
    """Column → what stands above it: one per stage, and before it those for its numbers."""
    found: dict[str, str] = {}
    for name, each in tellings().items():
        found |= {**each.columns, name: stages()[name].about.removesuffix(" data set")}
    return found


def graph(trace: Trace) -> Graph:
    """Node → what it was made from: artifacts by cell, numbers by id. An edge that follows from others is left out, as are
    those to a report beside its numbers."""
    records, numbers = trace.tree.records, trace.numbers.all
    made: Graph = {id_: number.above for id_, number in numbers.items()}
    beneath = {above for number in numbers.values() for above in number.above}
    ancestors: dict[str, frozenset[str]] = {}
    for cell, record in records.items():
        direct = {used.cell for used in record.inputs.values() if used.cell in records}
        beyond = frozenset[str]().union(*(ancestors[used] for used in direct))
        ancestors[cell] = beyond | direct
        says = tuple(id_ for id_, number in numbers.items() if number.cell == cell and id_ not in beneath)
        made[cell] = says or tuple(used for used in records if used in direct - beyond)
    return made


def _data(answer: Answer, trace: Trace) -> dict[str, Any]:
    made = graph(trace)
    order = _ordered(made, trace)
    place = {name: number for number, name in enumerate(order)}
    chain = _chain(answer, made, trace)
    sums = {number.cell for number in trace.numbers.all.values()}
    codes: dict[str, Mapping[str, str]] = {}
    environments: list[Mapping[str, Any]] = []
    nodes: list[dict[str, Any]] = []
    for name in order:
        node: dict[str, Any] = {"id": name, "column": _column(name, trace), "up": [place[used] for used in made[name]]}
        if name in trace.tree.records:
            record = trace.tree.records[name]
            if record.environment not in environments:
                environments.append(record.environment)
            codes.setdefault(code_digest(record), record.plan.code)
            told = described(trace.reader, name)
            told["environment"] = environments.index(record.environment)
            told["code"] = told.pop("code_digest")
            # The numbers of a report tell what it was made from.
            told["inputs"] = [] if name in sums else [[each, *used.values()] for each, used in told["inputs"].items()]
            told["outputs"] = [[each, file["size"], file["sha256"]] for each, file in told["outputs"].items()]
            node |= {"label": telling(name).label(name, record, trace.numbers), "record": told}
        else:
            number = trace.numbers.all[name]
            node |= {"label": number.label, "facts": number.facts, "runs": len(number.runs)}
        nodes.append(node)
    asked: dict[str, Any] = {"question": answer.question, "asked": answer.asked, "tree": answer.tree}
    return {
        **asked,
        "columns": list(columns().items()),
        "nodes": nodes,
        "chain": [place[name] for name in order if name in chain],
        "start": [place[name] for name in _start(answer, made) if name in place],
        "codes": codes,
        "environments": environments,
        "answer": _told(answer.root, place),
        "rows": _rows(answer),
    }


def _column(name: str, trace: Trace) -> str:
    return trace.numbers.all[name].column if name in trace.numbers.all else name.split("/")[0]


def _ordered(made: Graph, trace: Trace) -> list[str]:
    """Column by column; within one by the mean place of what a node was made from, so that few edges cross."""
    places: dict[str, float] = {}
    found: list[str] = []
    for column in columns():
        own = [name for name in made if _column(name, trace) == column]

        def rank(name: str) -> float:
            above = [places[used] for used in made[name] if used in places]  # noqa: B023 - used within this turn
            return sum(above) / len(above) if above else -1.0

        own.sort(key=rank)
        places |= {name: (number + 0.5) / len(own) for number, name in enumerate(own)}
        found += own
    return found


def _chain(answer: Answer, made: Graph, trace: Trace) -> set[str]:
    """The nodes of the answer."""
    numbers, start = trace.numbers.all, _start(answer, made)
    chain = {*answer.cells, *start}
    if answer.question == "impact":
        # Of a row, the artifacts that it goes through, which it does not reach as a whole.
        chain |= {node.name for node in answer.root.walk() if node.kind == "artifact"}
        chain |= {node.facts["cell"] for node in answer.root.walk() if "cell" in node.facts}
        return (chain | set(answer.numbers)) & set(made)
    says = {number.cell for number in numbers.values()}
    waiting = [name for name in start if name in made]
    while waiting:
        name = waiting.pop()
        chain.add(name)
        waiting += [used for used in made[name] if used not in chain and (used in numbers or used in says)]
    return chain & set(made)


def _start(answer: Answer, made: Graph) -> list[str]:
    """The nodes that X is, or is in."""
    root = answer.root
    match root.kind:
        case "file":
            return [name for name in made if root.name.startswith(f"{name}/")]
        case "artifact" | "number":
            return [root.name]
        case "runs":
            return list(root.facts.get("runs", ()))
        case _ if "cell" in root.facts:
            return [root.facts["cell"]]
        case _:
            return [node.name for node in root.next if node.kind == "artifact"]


def _told(node: Node, place: Mapping[str, int]) -> dict[str, Any]:
    """The answer's tree in words, with the number of the node that a line is about."""
    about = place.get(node.name) if node.kind in ("artifact", "number") else None
    told: dict[str, Any] = {"title": node.title, "lines": [] if node.again else node.lines, "again": node.again}
    return told | {"relation": node.relation, "node": about, "next": [_told(below, place) for below in node.next]}


def _rows(answer: Answer) -> list[dict[str, Any]]:
    """The rows of the answer by data set: a title, how many there are, and the first of them with the steps that use them."""
    nodes = list(answer.root.walk())
    steps: dict[str, dict[str, list[str]]] = {}
    for node in nodes:
        if "by_step" in node.tables:
            for step, rows in node.tables["by_step"].select("step", "rows").iter_rows():
                for row in dict.fromkeys(rows):
                    steps.setdefault(row, {}).setdefault(spaced(node.name), []).append(str(step))
    return [_data_set(node, node.tables["rows"], steps) for node in nodes if "rows" in node.tables]


def _data_set(node: Node, rows: pl.DataFrame, steps: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, Any]:
    shown: list[dict[str, Any]] = []
    for row in rows.head(_ROWS).to_dicts():
        text = {"id": row["row_id"], "from": row.get("parent_id", ""), "prompt": row["prompt"], "completion": row["completion"]}
        used = [f"{model}: steps {', '.join(at)}" for model, at in steps.get(row["row_id"], {}).items()]
        shown.append({**text, "steps": used, "seed": str(row.get("sampling_seed", ""))})
    return {"title": node.name, "count": rows.height, "rows": shown}
