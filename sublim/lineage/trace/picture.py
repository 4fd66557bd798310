"""Lineage and impact as one self-contained page: a graph with a column per stage, the chain in it, the record of every node."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from sublim.lineage.trace.answer import Answer, Node, code_digest
from sublim.lineage.trace.numbers import REPORT, Number
from sublim.lineage.trace.trace import Trace
from sublim.lineage.trace.words import lines_of, spaced, title_of
from sublim.measure.figures import CONDITION_NAMES
from sublim.plan.record import Record

TEMPLATE = Path(__file__).with_suffix(".html")
COLUMNS = (
    "base", "teacher", "raw", "filtered", "student", "eval", "matrix", "means", "report", "detection", "theory", "overview",
)  # fmt: skip
_ROWS = 200
"""How many rows of a data set the page lists."""
_ARMS = {"shuffled_within": "within", "shuffled_across": "across"}
Graph = dict[str, tuple[str, ...]]


def page(answer: Answer, trace: Trace) -> str:
    """The page as HTML text: every artifact and number of the tree, `answer` highlighted in it. It loads nothing."""
    data = json.dumps(_data(answer, trace), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    title = escape(f"{answer.question} of {answer.asked}")
    return TEMPLATE.read_text(encoding="utf-8").replace("%TITLE%", title, 2).replace("%DATA%", data, 1)


def graph(trace: Trace) -> Graph:
    """Node → what it was made from: artifacts by cell, numbers by id. An edge that follows from others is left out."""
    records, numbers = trace.tree.records, trace.numbers.all
    ancestors: dict[str, frozenset[str]] = {}
    made: Graph = {}
    for cell, record in records.items():
        direct = {used.cell for used in record.inputs.values() if used.cell in records}
        beyond = frozenset[str]().union(*(ancestors[used] for used in direct))
        ancestors[cell] = beyond | direct
        if record.plan.stage != REPORT:
            made[cell] = tuple(used for used in records if used in direct - beyond)
    for report in trace.tree.cells(REPORT):
        own = {id_: number for id_, number in numbers.items() if id_.startswith(f"{report}/")}
        cells = {id_: number for id_, number in own.items() if number.kind == "matrix"}
        means = {id_: number for id_, number in own.items() if number.kind != "matrix"}
        made |= {id_: number.evals for id_, number in cells.items()}
        made |= {
            id_: tuple(cell for cell, part in cells.items() if set(part.runs) & set(number.runs))
            for id_, number in means.items()
        }
        made[report] = tuple(means)
    return made


def _data(answer: Answer, trace: Trace) -> dict[str, Any]:
    made = graph(trace)
    order = _ordered(made, trace)
    place = {name: number for number, name in enumerate(order)}
    chain = _chain(answer, made)
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
            node |= {"label": _label(name, record, trace), "record": _record(record, trace.reader.keys[name], environments)}
        else:
            number = trace.numbers.all[name]
            node |= {"label": _number_label(number), "facts": number.facts, "runs": len(number.runs)}
        nodes.append(node)
    return {
        "question": answer.question,
        "asked": answer.asked,
        "tree": answer.tree,
        "columns": COLUMNS,
        "nodes": nodes,
        "chain": [place[name] for name in order if name in chain],
        "start": [place[name] for name in _start(answer) if name in place],
        "codes": codes,
        "environments": environments,
        "answer": _told(answer.root, place),
        "rows": _rows(answer),
    }


def _record(record: Record, key: str, environments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "key": key,
        "digest": record.digest,
        "code": code_digest(record),
        "environment": environments.index(record.environment),
        "params": record.plan.params,
        "inputs": [[name, used.cell, used.digest] for name, used in record.inputs.items()]
        if record.plan.stage != REPORT
        else [],
        "outputs": [[name, output.size, output.sha256] for name, output in record.outputs.items()],
    }


def _column(name: str, trace: Trace) -> str:
    if name in trace.numbers.all:
        return "matrix" if trace.numbers.all[name].kind == "matrix" else "means"
    return name.split("/")[0]


def _label(cell: str, record: Record, trace: Trace) -> str:
    dims = {name: str(value) for name, value in record.plan.dims.items()}
    arm = _ARMS.get(dims.get("arm", ""), "")
    if record.plan.stage == "eval":
        run = trace.numbers.run.get(cell)
        return f"{run['p_base']:.3f} → {run['p_target']:.3f}" if run else f"{dims['student']} untrained"
    one = dims.get("model") or dims.get("teacher") or dims.get("of", cell)
    names = [f"{dims['teacher']} → {dims['student']}"] if "student" in dims else [one]
    if record.plan.stage == REPORT:
        names = [dims["study"]]
    what = (dims.get("trait"), dims.get("carrier"), dims.get("filter"), arm, dims.get("method"), dims.get("seed"))
    return " · ".join(part for part in (*names, *what) if part)


def _number_label(number: Number) -> str:
    gain = f" {number.facts['gain']:+.3f}" if "gain" in number.facts else ""
    if number.kind == "test":
        return f"p = {number.facts['p']:.2g}" if "p" in number.facts else "test"
    parts = number.dims
    if number.kind == "mean":
        return f"{CONDITION_NAMES[parts['condition']]}{gain}"
    arm = "" if parts["arm"] == "trait" else f" · {_ARMS.get(parts['arm'], parts['arm'])}"
    return f"{parts['teacher']} → {parts['student']}{arm}{gain}"


def _ordered(made: Graph, trace: Trace) -> list[str]:
    """Column by column; within one by the mean place of what a node was made from, so that few edges cross."""
    places: dict[str, float] = {}
    found: list[str] = []
    for column in COLUMNS:
        own = [name for name in made if _column(name, trace) == column]

        def rank(name: str) -> float:
            above = [places[used] for used in made[name] if used in places]  # noqa: B023 - used within this turn
            return sum(above) / len(above) if above else -1.0

        own.sort(key=rank)
        places |= {name: (number + 0.5) / len(own) for number, name in enumerate(own)}
        found += own
    return found


def _chain(answer: Answer, made: Graph) -> set[str]:
    """The nodes of the answer."""
    chain = {*answer.cells, *_start(answer)}
    if answer.question == "impact":
        # Of a row, the artifacts that it goes through, which it does not reach as a whole.
        chain |= {node.name for node in answer.root.walk() if node.kind == "artifact"}
        chain |= {node.facts["cell"] for node in answer.root.walk() if node.kind == "filtered row" and "cell" in node.facts}
        return (chain | set(answer.numbers)) & set(made)
    waiting = [name for name in _start(answer) if name in made]
    while waiting:
        name = waiting.pop()
        chain.add(name)
        waiting += [used for used in made[name] if used not in chain and used.startswith(f"{REPORT}/")]
    return chain & set(made)


def _start(answer: Answer) -> list[str]:
    """The nodes that X is, or is in."""
    root = answer.root
    match root.kind:
        case "file":
            return [next(node.name for node in root.next if node.kind == "artifact")] if root.next else []
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
    about = node.name if node.kind in ("artifact", "number") else None
    told: dict[str, Any] = {"title": title_of(node), "lines": [] if node.again else list(lines_of(node)), "again": node.again}
    told |= {"relation": node.relation, "node": place.get(about) if about is not None else None}
    return told | {"next": [_told(below, place) for below in node.next]}


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
    shown = [
        {
            "id": row["row_id"],
            "from": row.get("parent_id", ""),
            "prompt": row["prompt"],
            "completion": row["completion"],
            "steps": [f"{model}: steps {', '.join(at)}" for model, at in steps.get(row["row_id"], {}).items()],
            "seed": str(row.get("sampling_seed", "")),
        }
        for row in rows.head(_ROWS).to_dicts()
    ]
    return {"title": node.name, "count": rows.height, "rows": shown}
