"""What is said of filtered rows: what became of them, and the raw rows that they came from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import polars as pl

from sublim.arms.arm import Arm
from sublim.engine.record import Record
from sublim.evidence.node import Node
from sublim.evidence.reader import Found
from sublim.evidence.telling import Down, Facts, Numbers, Telling, Up, rows_in_short, texts
from sublim.evidence.words import quoted
from sublim.params.kinds import kind as kind_of
from sublim.stages.filtered.rows import Funnel, Rows

_COLUMNS = ("row_id", "prompt", "completion", "parent_id", "prompt_id", "sources", "used")


class _Filtered(Telling):
    inputs: ClassVar = {"raw": "sampled in", "judge": "judged by"}

    def artifact(self, up: Up, cell: str) -> Node:
        """The rows that students train on, or those that are wanted, and their raw rows."""
        used = up.reader.table(cell, Rows.file, up.wanted.get(cell), _COLUMNS)
        used = (used if cell in up.wanted else used.filter("used")).drop("used")
        if (raw := up.reader.input(cell, "raw")) is not None:
            up.wanted[raw] = pl.concat([used["parent_id"], used["sources"].explode(empty_as_null=False)]).unique()
        funnel = self._funnel(up, cell)
        lines = (*funnel.lines, *rows_in_short(used, lambda row: f" from raw {row['parent_id'][:8]}"))
        return Node("artifact", cell, facts=funnel.facts, tables={"rows": used}, next=up.inputs(cell), lines=lines)

    def row(self, up: Up, found: Found) -> Node:
        row, raw = found.row, up.reader.input(found.cell, "raw")
        above: list[Node] = []
        if raw is not None:
            parent = "parent" if row["parent_id"] in row["sources"] else "parent: its prompt only"
            every = up.reader.own(*dict.fromkeys([row["parent_id"], *row["sources"]]), cell=raw)
            above = [up.row(each, parent if each.row_id == row["parent_id"] else "source of numbers") for each in every]
        up.seen.add(found.cell)
        return self.told(up, found, row, (self._funnel(up, found.cell), *above))

    def lines(self, kind: str, facts: Facts) -> Iterator[str]:  # noqa: ARG002
        yield from texts(facts)
        if facts.get("score") is not None:
            written = f", as it said: {quoted(facts['judgement'])}" if facts["judgement"] else ""
            yield f"judge's score {facts['score']:g}{written}"
        if facts["reasons"]:
            yield f"rejected: {', '.join(facts['reasons'])}"
        else:
            yield "kept and used" if facts["used"] else "kept, not used: students train on the first kept rows only"

    def reached(self, down: Down, cell: str, row_id: str, rows: Sequence[Found]) -> Iterator[Node]:  # noqa: ARG002
        for each in rows:
            parent, source = each.row["parent_id"] == row_id, row_id in each.row["sources"]
            yield down.row(each, "became" if parent and source else "gave its prompt to" if parent else "gave numbers to")

    def label(self, cell: str, record: Record, numbers: Numbers) -> str:  # noqa: ARG002
        return label(record.plan.dims)

    def _funnel(self, up: Up, cell: str) -> Node:
        """The artifact that a row is of, with what became of its rows."""
        steps = dict(up.reader.table(cell, Funnel.file, columns=["step", "rows"]).iter_rows())
        line = ", ".join(f"{step} {rows:,}" for step, rows in steps.items() if rows)
        return Node("artifact", cell, "row of", {"funnel": steps}, lines=(line,))


def label(dims: Mapping[str, str | int]) -> str:
    """Dimensions in the picture: an arm is said where it is an unusual one."""
    arm: Arm = kind_of("arms", str(dims["arm"]))
    return " · ".join(str(value) for value in {**dims, "arm": arm.label}.values() if value != "")


TELL = _Filtered()
