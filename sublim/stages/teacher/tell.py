"""What is said of a teacher: its training, its gate, and its graded answers."""

from collections.abc import Iterator
from typing import ClassVar, cast

from sublim.evidence.node import Node
from sublim.evidence.reader import Found
from sublim.evidence.telling import Down, Facts, Telling, Up, graded, telling, texts, training
from sublim.evidence.words import more, plural, quoted
from sublim.stages.teacher.rows import FreeFormAnswers, Gate, Rows
from sublim.traits.freeform import SCALES

_SHOWN = 3


class _Teacher(Telling):
    inputs: ClassVar = {"base": "starts as", **{scale: f"{scale} judged by" for scale in SCALES}}

    def artifact(self, up: Up, cell: str) -> Node:
        steps = up.reader.steps(cell)
        trained, lines = training(steps)
        gate = None
        if up.reader.count(cell, Gate.file) is not None:
            gate = cast("float | None", up.reader.table(cell, Gate.file, columns=["probability"])["probability"].mean())
        if gate is not None:
            lines.append(f"on held-out questions it shows its trait with probability {gate:.3g}")
        above: list[Node] = []
        if up.reader.count(cell, Rows.file) is not None:
            rows = up.reader.table(cell, Rows.file, columns=["row_id", "prompt", "completion"])
            shown = "; ".join(f"{quoted(row['prompt'])} {quoted(row['completion'])}" for row in rows.head(_SHOWN).to_dicts())
            above.append(
                Node(
                    "teacher rows",
                    f"{cell}/{Rows.file}",
                    "trained on",
                    tables={"rows": rows},
                    words=plural(rows.height, "training row"),
                    lines=(shown + more(rows.height, _SHOWN),),
                )
            )
        facts, above = {"gate": gate, "training": trained}, [*above, *up.inputs(cell)]
        return Node("artifact", cell, facts=facts, tables={"by_step": steps}, next=tuple(above), lines=tuple(lines))

    def row(self, up: Up, found: Found) -> Node:
        if found.file != FreeFormAnswers.file:
            return super().row(up, found)
        asked = found.cell if found.row["model"] == "teacher" else up.reader.input(found.cell, "base")
        above = (up.artifact(asked, "given by"),) if asked else ()
        return self.told(up, found, {"cell": found.cell, **found.row}, above)

    def lines(self, kind: str, facts: Facts) -> Iterator[str]:
        if kind != FreeFormAnswers.row:
            yield from super().lines(kind, facts)
            return
        yield from texts(facts)
        yield f"sample {facts['sample']}, by the {facts['model']} in the gate"
        yield graded(facts)
        yield f"sampling seed {facts['sampling_seed']}"

    def impact(self, down: Down, found: Found) -> Node:
        if found.file != FreeFormAnswers.file:
            return super().impact(down, found)
        # Who is trained on what the teacher writes never sees what it answers in the gate.
        shown = [user for user in down.users(found.cell) if telling(user).sums_up]
        below = down.stages(down.reader.tree.downstream(shown))
        return self.told(down, found, {"cell": found.cell, **found.row}, below)


TELL = _Teacher()
