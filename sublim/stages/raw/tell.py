"""What is said of raw rows: who wrote them, and how each was sampled."""

from collections.abc import Iterator
from typing import ClassVar

import polars as pl

from sublim.evidence.node import Node
from sublim.evidence.telling import Facts, Telling, Up, rows_in_short, texts
from sublim.evidence.words import plural
from sublim.stages.raw.rows import Rows


class _Raw(Telling):
    inputs: ClassVar = {"teacher": "written by", "base": "written by"}
    row_relation = "sampled in"

    def artifact(self, up: Up, cell: str) -> Node:
        count = up.reader.count(cell, Rows.file)
        lines = [f"{plural(count, 'row')} sampled"] if count is not None else []
        tables: dict[str, pl.DataFrame] = {}
        if cell in up.wanted:
            rows = up.reader.table(cell, Rows.file, up.wanted[cell])
            tables["rows"] = rows.drop(up.reader.record(cell).plan.dims, strict=False)
            lines += rows_in_short(rows, lambda row: f", sampling seed {row['sampling_seed']}")
        return Node("artifact", cell, facts={"sampled": count}, tables=tables, next=up.inputs(cell), lines=tuple(lines))

    def lines(self, kind: str, facts: Facts) -> Iterator[str]:  # noqa: ARG002
        yield from texts(facts)
        if facts.get("finish_reason") is not None:
            yield f"finished by {facts['finish_reason']} after {plural(facts['tokens'], 'token')}"
        yield f"sampling seed {facts['sampling_seed']}"
        if facts.get("temperature") is not None:
            longest = plural(facts["max_tokens"], "token")
            held = ", constrained to the shape that the prompt asks for" if facts.get("constrained") else ""
            yield f"temperature {facts['temperature']:g}, top_p {facts['top_p']:g}, at most {longest}{held}"


TELL = _Raw()
