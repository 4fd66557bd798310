"""What is said of a student: its training."""

from typing import ClassVar

from sublim.engine.record import Record
from sublim.evidence.node import Node
from sublim.evidence.telling import Numbers, Telling, Up, training
from sublim.stages.filtered.tell import label


class _Student(Telling):
    inputs: ClassVar = {"filtered": "trained on", "base": "starts as", "teacher": "imitates", "writer": "imitates"}

    def artifact(self, up: Up, cell: str) -> Node:
        steps = up.reader.steps(cell)
        facts, lines = training(steps)
        return Node(
            "artifact", cell, facts={"training": facts}, tables={"by_step": steps}, next=up.inputs(cell), lines=tuple(lines)
        )

    def label(self, cell: str, record: Record, numbers: Numbers) -> str:  # noqa: ARG002
        dims = dict(record.plan.dims)
        return label({"teacher": f"{dims.pop('teacher')} → {dims.pop('student')}", **dims})


TELL = _Student()
