"""Lineage: what an artifact, a row or a number of the report was made from, up to the bases' corpora and seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from sublim.lineage.trace.answer import Answer, Kind, Node, upstream
from sublim.lineage.trace.index import Place
from sublim.lineage.trace.numbers import Numbers
from sublim.lineage.trace.reader import DIMENSIONS, Reader, Row
from sublim.lineage.trace.resolve import Artifact, Found, Reported, Source, Target
from sublim.plan.cells import STAGES, UNTOUCHED, cell_id

_ROW = ("row_id", "prompt", "completion")

_ABOUT = {"own_id": "one completion", "other_id": "the other completion", "parent_id": "completion"}
"""Columns of the tables of detection that name a filtered row."""
DETECTED: Mapping[str, Kind] = {
    "pairs.parquet": "judged pair",
    "scores.parquet": "held-out score",
    "context.parquet": "in-context run",
    "shown.parquet": "pair shown",
    "quiz.parquet": "quiz question",
}
"""Table of detection → what a row of it is."""

OVERVIEW = "overview"


def lineage(target: Target, asked: str, reader: Reader, numbers: Numbers) -> Answer:
    """What `target` came from.

    Raises:
        SublimError: an artifact of the chain is not there or cannot be read.
    """
    walk = _Walk(reader, numbers)
    match target:
        case Artifact(cell=cell, file=None):
            root, start = walk.artifact(cell), [cell]
        case Artifact(cell=cell, file=file):
            output = reader.record(cell).outputs[str(file)]
            facts = {"sha256": output.sha256, "size": output.size}
            root, start = Node("file", target.name, facts=facts, next=(walk.artifact(cell, "file of"),)), [cell]
        case Found():
            root, start = walk.found(target), [place.cell for place in target.places]
        case Reported():
            root, start = walk.reported(target), [*target.runs, *target.untrained]
        case Source():
            made = [cell for cell, record in reader.tree.records.items() if target.module in record.plan.code]
            facts = {"module": target.module, "digests": _versions(reader, target.module), "artifacts": len(made)}
            return Answer("lineage", asked, reader.tree.name, Node("source file", target.name, facts=facts), ())
    named = (target.number,) if isinstance(target, Reported) and target.number is not None else ()
    return Answer("lineage", asked, reader.tree.name, root, upstream(reader, start), named)


def _versions(reader: Reader, module: str) -> list[str]:
    return sorted({record.plan.code[module] for record in reader.tree.records.values() if module in record.plan.code})


@dataclass(frozen=True)
class _Walk:
    """One way up. What was described once is only named the next time."""

    reader: Reader
    numbers: Numbers
    seen: set[str] = field(default_factory=set[str])

    def artifact(self, cell: str, relation: str = "") -> Node:
        """An artifact and what it was made from, with the rows that went into a model and their steps."""
        if cell in self.seen:
            return Node("artifact", cell, relation, again=True)
        self.seen.add(cell)
        match self.reader.record(cell).plan.stage:
            case "base":
                node = self._base(cell)
            case "teacher":
                node = self._teacher(cell)
            case "raw":
                node = self._raw(cell, None)
            case "filtered":
                node = self._filtered(cell)
            case "student":
                node = self._student(cell)
            case "eval":
                node = self._eval(cell)
            case "theory":
                node = _artifact(cell, {}, *self._from(cell, "base", "one init"), *self._from(cell, "other", "another init"))
            case _:
                node = self._report(cell)
        return replace(node, relation=relation)

    def found(self, row: Found) -> Node:
        """A row and what it came from."""
        place, stage = row.places[0], self.reader.record(row.places[0].cell).plan.stage
        match stage, place.file:
            case "filtered", _:
                return self._filtered_row(place, row.rows[0])
            case "raw", _:
                return self._raw_row(place, row.rows[0], "")
            case "eval", "answers.parquet":
                return Node("answer", row.name, facts=dict(row.rows[0]), next=(self.artifact(place.cell, "given by"),))
            case "eval", _:
                asked = self.reader.table(place.cell, "answers.parquet")
                question = asked.filter(pl.col("question_id") == row.rows[0]["question_id"]).select("question").head(1)
                facts = dict(row.rows[0]) | {"question": None if question.is_empty() else question.item()}
                facts |= self._grades(place.cell, row.row_id)
                return Node("sample", row.name, facts=facts, next=(self.artifact(place.cell, "drawn by"),))
            case "theory", _:
                return Node("measurement", row.name, facts=dict(row.rows[0]), next=(self.artifact(place.cell, "row of"),))
            case "teacher", "freeform.parquet":
                facts = {"cell": place.cell, **row.rows[0]}
                given = "given by"
                base = row.rows[0]["model"] == "base"
                above = self._from(place.cell, "base", given) if base else (self.artifact(place.cell, given),)
                return Node("graded answer", row.name, facts=facts, next=above)
            case "detection", _:
                return self._detected(place, row.rows[0])
            case _:
                kind = "teacher row" if stage == "teacher" else "corpus row"
                facts = dict(row.rows[0])
                facts |= {"steps": {at.cell: self.reader.steps_with(at.cell, row.row_id) for at in row.places}}
                return Node(kind, row.name, facts=facts, next=tuple(self.artifact(at.cell, "row of") for at in row.places))

    def reported(self, what: Reported) -> Node:
        """A number of the report, its runs, and the untrained bases that they are compared with."""
        if what.number is None and len(what.runs) == 1:
            return self.artifact(what.runs[0])
        said: Mapping[str, Any] = {} if what.number is None else self.numbers.all[what.number].facts
        facts = {**said, "runs": list(what.runs), "untrained": list(what.untrained)}
        above = [self.artifact(cell, "run") for cell in what.runs]
        above += [self.artifact(cell, "compared with") for cell in what.untrained]
        return Node("number" if what.number else "runs", what.name, facts=facts, next=tuple(above))

    def _base(self, cell: str) -> Node:
        model: Mapping[str, Any] = self.reader.record(cell).plan.params["model"]
        steps = self.reader.count(cell, "steps.parquet")
        facts: dict[str, Any] = {"architecture": model.get("architecture"), "init_seed": model.get("seed"), "steps": steps}
        if model.get("order_seed") is not None:
            facts["order_seed"] = model["order_seed"]
        rows = self.reader.count(cell, "corpus.parquet")
        if rows is None:
            return _artifact(cell, facts | {"source": model})
        corpus = self.reader.record(cell).outputs["corpus.parquet"].sha256
        seed: object = model.get("pretraining", {}).get("corpus_seed")
        made = Node("corpus", f"{cell}/corpus.parquet", "pretrained on", {"count": rows, "corpus_seed": seed, "sha256": corpus})
        return _artifact(cell, facts, made)

    def _teacher(self, cell: str) -> Node:
        steps = self.reader.steps(cell)
        facts = {"gate": self._gate(cell), "training": _training(steps)}
        above: list[Node] = []
        if f"{cell}/rows.parquet" in self.reader.tree.files:
            rows = self.reader.table(cell, "rows.parquet").select(_ROW)
            above.append(Node("teacher rows", f"{cell}/rows.parquet", "trained on", tables={"rows": rows}))
        return _artifact(cell, facts, *above, *self._from(cell, "base", "starts as"), by_step=steps)

    def _gate(self, cell: str) -> float | None:
        if f"{cell}/gate.parquet" not in self.reader.tree.files:
            return None
        mean = self.reader.table(cell, "gate.parquet")["probability"].mean()
        return mean if isinstance(mean, float) else None

    def _raw(self, cell: str, row_ids: pl.Series | None) -> Node:
        facts = {"sampled": self.reader.count(cell, "rows.parquet")}
        above = self._from(cell, "teacher", "written by") or self._from(cell, "base", "written by")
        if row_ids is None:
            return _artifact(cell, facts, *above)
        return _artifact(
            cell, facts, *above, rows=self.reader.table(cell, "rows.parquet", row_ids).drop(DIMENSIONS, strict=False)
        )

    def _filtered(self, cell: str, row_ids: Sequence[str] | None = None) -> Node:
        """Filtered rows: those that students train on, or those of `row_ids`."""
        funnel = self.reader.table(cell, "funnel.parquet")
        facts = {"funnel": dict(funnel.select("step", "rows").iter_rows())}
        raw = self.reader.input(cell, "raw")
        columns = [*_ROW, "parent_id", "prompt_id", "sources", "used"]
        used = self.reader.table(cell, "rows.parquet", row_ids, columns)
        used = (used.filter("used") if row_ids is None else used).drop("used")
        if raw is None or raw in self.seen:
            return _artifact(cell, facts, *self._from(cell, "raw", "sampled in"), rows=used)
        self.seen.add(raw)
        wanted = pl.concat([used["parent_id"], used["sources"].explode().alias("parent_id")]).unique()
        return _artifact(cell, facts, replace(self._raw(raw, wanted), relation="sampled in"), rows=used)

    def _student(self, cell: str) -> Node:
        steps = self.reader.steps(cell)
        above = (
            *self._from(cell, "filtered", "trained on"),
            *self._from(cell, "base", "starts as"),
            *(self._from(cell, "teacher", "imitates") or self._from(cell, "writer", "imitates")),
        )
        return _artifact(cell, {"training": _training(steps)}, *above, by_step=steps)

    def _eval(self, cell: str) -> Node:
        said = self.numbers.run.get(cell, {})
        facts = {name: said[name] for name in ("measured", "p_target", "p_base", "gain", "p_sampled") if name in said}
        facts |= {"answers": self.reader.count(cell, "answers.parquet"), "samples": self.reader.count(cell, "samples.parquet")}
        return _artifact(cell, facts, *(self._from(cell, "student", "asks") or self._from(cell, "base", "asks")))

    def _report(self, cell: str) -> Node:
        """A report or the overview as a whole: its numbers, each of which can be asked for, and how much it was made from."""
        counts = dict.fromkeys(STAGES, 0)
        for made in upstream(self.reader, [cell]):
            counts[self.reader.record(made).plan.stage] += made != cell
        facts = {"artifacts": {stage: count for stage, count in counts.items() if count}}
        numbers = [
            Node("number", number.id, "says", {**number.facts, "runs": list(number.runs), "untrained": list(number.untrained)})
            for number in self.numbers.all.values()
            if number.id.startswith(f"{cell}/") or cell == OVERVIEW
        ]
        return _artifact(cell, facts, *numbers)

    def _filtered_row(self, place: Place, row: Row) -> Node:
        raw = self.reader.input(place.cell, "raw")
        sources = [row_id for row_id in dict.fromkeys(row["sources"]) if row_id != row["parent_id"]]
        above: list[Node] = []
        if raw is not None:
            relation = "parent" if row["parent_id"] in row["sources"] else "parent: its prompt only"
            for at, found in self.reader.own_all([row["parent_id"], *sources], raw):
                what = relation if found["row_id"] == row["parent_id"] else "source of numbers"
                above.append(self._raw_row(at, found, what))
        self.seen.add(place.cell)
        funnel = self.reader.table(place.cell, "funnel.parquet")
        facts = {"funnel": dict(funnel.select("step", "rows").iter_rows())}
        cell = Node("artifact", place.cell, "row of", facts)
        return Node("filtered row", row["row_id"], facts=dict(row), next=(cell, *above))

    def _grades(self, cell: str, row_id: str) -> Mapping[str, Any]:
        """How a free-form answer was graded; nothing of another."""
        if f"{cell}/freeform.parquet" not in self.reader.tree.files:
            return {}
        found = self.reader.table(cell, "freeform.parquet", [row_id], ["alignment", "coherence", "misaligned"])
        return found.row(0, named=True) if found.height else {}

    def _detected(self, place: Place, row: Row) -> Node:
        """A judgement about completions, with these and whoever judged."""
        above: list[Node] = []
        for column, relation in _ABOUT.items():
            above += [
                replace(self._filtered_row(at, found), relation=relation)
                for at, found in (self.reader.own(row[column]) if column in row else ())
                if at.cell in self.reader.inputs(place.cell)
            ]
        if row.get("row_ids"):
            arm, trait = ("trait", row["trait"]) if row["rows"] == "trait" else ("control", UNTOUCHED)
            dims = {"teacher": row["teacher"], "trait": trait, "arm": arm, "seed": row["seed"]}
            of = [
                cell
                for cell in self.reader.inputs(place.cell)
                if cell.startswith("filtered/") and dims.items() <= self.reader.record(cell).plan.dims.items()
            ]
            above += [replace(self._filtered(cell, row["row_ids"]), relation="shown rows of") for cell in of]
        if place.file in ("pairs.parquet", "context.parquet"):
            taught = row.get("by") == "teacher"
            judge = cell_id("teacher", row) if taught else cell_id("base", {"model": row["teacher"]})
            above.append(self.artifact(judge, "judged by" if "by" in row else "asked"))
        above.append(self.artifact(place.cell, "row of"))
        return Node(DETECTED[place.file], row["row_id"], facts={"cell": place.cell, **row}, next=tuple(above))

    def _raw_row(self, place: Place, row: Row, relation: str) -> Node:
        return Node("raw row", row["row_id"], relation, dict(row), (self.artifact(place.cell, "sampled in"),))

    def _from(self, cell: str, name: str, relation: str) -> tuple[Node, ...]:
        above = self.reader.input(cell, name)
        return () if above is None else (self.artifact(above, relation),)


def _artifact(cell: str, facts: Mapping[str, Any], *above: Node, **tables: pl.DataFrame) -> Node:
    return Node("artifact", cell, facts=facts, tables=tables, next=above)


def _training(steps: pl.DataFrame) -> dict[str, Any] | None:
    """How many steps, how many different rows, how often a row was used in all."""
    if steps.is_empty():
        return None
    rows = steps["rows"].explode()
    return {"steps": steps.height, "rows": rows.n_unique(), "uses": len(rows), "last_loss": steps["loss"][-1]}
