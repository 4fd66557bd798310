"""What is said of an evaluation: what the model was asked, and what it answered."""

from collections.abc import Iterator
from typing import Any, ClassVar

import polars as pl

from sublim.engine.record import Record
from sublim.evidence.node import Node
from sublim.evidence.reader import Found
from sublim.evidence.telling import Facts, Numbers, Telling, Up, graded, texts
from sublim.evidence.words import plural
from sublim.measures.measure import Measure
from sublim.params.kinds import kind as kind_of
from sublim.stages.eval.rows import Answers, FreeFormAnswers, Samples
from sublim.traits.freeform import SCALES


class _Eval(Telling):
    inputs: ClassVar = {"student": "asks", "base": "asks", **{scale: f"{scale} judged by" for scale in SCALES}}
    user_relation = "asked by"

    def artifact(self, up: Up, cell: str) -> Node:
        answers, samples = (up.reader.count(cell, table.file) for table in (Answers, Samples))
        remark = up.numbers.remarks.get(cell, Node("artifact", cell))
        lines = list(remark.lines)
        if answers is not None:
            sampled = plural(samples or 0, "sampled answer")
            lines.append(f"{plural(answers, 'probability', 'probabilities')} of answers, {sampled}")
        facts = {**remark.facts, "answers": answers, "samples": samples}
        return Node("artifact", cell, facts=facts, next=up.inputs(cell), lines=tuple(lines))

    def row(self, up: Up, found: Found) -> Node:
        facts: dict[str, Any] = dict(found.row)
        if found.file == Answers.file:
            return self.told(up, found, facts, (up.artifact(found.cell, "given by"),))
        answers = up.reader.table(found.cell, Answers.file, columns=["question_id", "question"])
        question = answers.filter(pl.col("question_id") == facts["question_id"])["question"]
        facts["question"] = None if question.is_empty() else question[0]
        if up.reader.count(found.cell, FreeFormAnswers.file) is not None:
            table = up.reader.table(found.cell, FreeFormAnswers.file, [found.row_id], [*SCALES, "misaligned"])
            facts |= table.row(0, named=True) if table.height else {}
        return self.told(up, found, facts, (up.artifact(found.cell, "drawn by"),))

    def lines(self, kind: str, facts: Facts) -> Iterator[str]:
        yield from texts(facts)
        if kind == Answers.row:
            measure: Measure = kind_of("measures", str(facts["measure"]))
            yield f"{measure.name.replace('_', ' ')}: {measure.said(facts['answer'])} = {facts['probability']:.6g}"
            return
        yield f"sample {facts['sample']}, counted: {', '.join(facts['counted']) or 'nothing'}"
        if "coherence" in facts:
            yield graded(facts)
        yield f"sampling seed {facts['sampling_seed']}"

    def label(self, cell: str, record: Record, numbers: Numbers) -> str:
        remark = numbers.remarks.get(cell)
        if remark is None:
            return f"{record.plan.dims['student']} untrained"
        return f"{remark.facts['p_base']:.3f} → {remark.facts['p_target']:.3f}"


TELL = _Eval()
