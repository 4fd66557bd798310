"""Impact: which rows, students (and at which steps), evaluations and numbers of the report something reaches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sublim.lineage.trace.answer import Answer, Node, downstream
from sublim.lineage.trace.index import Place
from sublim.lineage.trace.numbers import Numbers
from sublim.lineage.trace.reader import Reader, Row
from sublim.lineage.trace.resolve import Artifact, Found, Reported, Source, Target
from sublim.lineage.trace.up import DETECTED
from sublim.plan.cells import STAGES


def impact(target: Target, asked: str, reader: Reader, numbers: Numbers) -> Answer:
    """What `target` reaches.

    A row reaches a model if it is in one of its training steps, and then all that is made from that model.

    Raises:
        SublimError: an artifact of the chain is not there or cannot be read.
    """
    walk = _Walk(reader, numbers)
    match target:
        case Artifact():
            reached = [cell for cell in downstream(reader, [target.cell]) if cell != target.cell]
            facts = {"sha256": reader.record(target.cell).outputs[target.file].sha256} if target.file is not None else {}
            kind = "artifact" if target.file is None else "file"
            own = [target.cell] if reader.record(target.cell).plan.stage == "eval" else []
            root = Node(kind, target.name, facts=facts, next=(*walk.stages(reached), *walk.numbers_of([*own, *reached])))
            evals = [*own, *reached]
        case Found():
            root, reached = walk.found(target)
            evals = [*reached, *(place.cell for place in target.places if place.cell.startswith("eval/"))]
        case Source():
            direct = [cell for cell, record in reader.tree.records.items() if target.module in record.plan.code]
            reached = list(downstream(reader, direct))
            facts = {"module": target.module, "direct": len(direct), "follow": len(reached) - len(direct)}
            root = Node(
                "source file", target.name, facts=facts, next=(*walk.stages(reached, direct), *walk.numbers_of(reached))
            )
            evals = reached
        case Reported():
            reached = list(reader.tree.cells("report"))
            root = Node("number" if target.number else "runs", target.name, next=walk.stages(reached))
            evals = []
    named = tuple(number.id for number in numbers.of(evals))
    cells = tuple(cell for cell in reader.tree.records if cell in set(reached))
    return Answer("impact", asked, reader.tree.name, root, cells, named)


@dataclass(frozen=True)
class _Walk:
    """One way down."""

    reader: Reader
    numbers: Numbers

    def found(self, row: Found) -> tuple[Node, list[str]]:
        """A row, with the artifacts that it reaches."""
        place, stage = row.places[0], self.reader.record(row.places[0].cell).plan.stage
        match stage:
            case "raw":
                return self._raw_row(place, row.rows[0])
            case "filtered":
                return self._filtered_row(place, row.rows[0], "")
            case "detection":
                reached = [cell for cell in downstream(self.reader, [place.cell]) if cell != place.cell]
                facts = {"cell": place.cell, **row.rows[0]}
                return Node(DETECTED[place.file], row.name, facts=facts, next=self.stages(reached)), reached
            case "teacher" if place.file == "freeform.parquet":
                told = [cell for cell in self.reader.tree.consumers.get(place.cell, ()) if cell.startswith("report/")]
                reached = list(downstream(self.reader, told))
                facts = {"cell": place.cell, **row.rows[0]}
                return Node("graded answer", row.name, facts=facts, next=self.stages(reached)), reached
            case "eval":
                kind = "answer" if place.file == "answers.parquet" else "sample"
                reached = [cell for cell in downstream(self.reader, [place.cell]) if cell != place.cell]
                below = (*self.stages(reached), *self.numbers_of([place.cell]))
                return Node(kind, row.name, facts={"cell": place.cell, **row.rows[0]}, next=below), reached
            case "theory":
                reached = [cell for cell in downstream(self.reader, [place.cell]) if cell != place.cell]
                facts = {"cell": place.cell, **row.rows[0]}
                return Node("measurement", row.name, facts=facts, next=self.stages(reached)), reached
            case _:
                return self._training_row(row)

    def stages(self, cells: Sequence[str], direct: Iterable[str] = ()) -> tuple[Node, ...]:
        """Cells by stage; of a source file also how many were made with it, and do not only follow."""
        by_stage: dict[str, list[str]] = {}
        for cell in cells:
            by_stage.setdefault(self.reader.record(cell).plan.stage, []).append(cell)
        chosen = set(direct)
        return tuple(
            Node(
                "stage",
                stage,
                facts={"count": len(by_stage[stage]), "cells": by_stage[stage]}
                | ({"direct": sum(cell in chosen for cell in by_stage[stage])} if chosen else {}),
            )
            for stage in STAGES
            if stage in by_stage
        )

    def numbers_of(self, evals: Sequence[str]) -> tuple[Node, ...]:
        """The numbers of the report that these evaluations go into, with how many of their runs are among them."""
        mine = set(evals)
        return tuple(
            Node(
                "number",
                number.id,
                facts={**number.facts, "through": sum(run in mine for run in number.runs), "of": len(number.runs)},
            )
            for number in self.numbers.of(evals)
        )

    def _training_row(self, row: Found) -> tuple[Node, list[str]]:
        """A row of a corpus or of a teacher's training."""
        models: list[Node] = []
        trained: list[str] = []
        for place in row.places:
            steps = self.reader.steps_with(place.cell, row.row_id)
            trained += [place.cell] if steps else []
            models.append(Node("artifact", place.cell, "in the training of", {"steps": steps}))
        reached = list(downstream(self.reader, trained))
        below = [cell for cell in reached if cell not in trained]
        kind = "corpus row" if self.reader.record(row.places[0].cell).plan.stage == "base" else "teacher row"
        following = (*models, *self.stages(below), *self.numbers_of(reached))
        return Node(kind, row.name, facts=row.rows[0], next=following), reached

    def _raw_row(self, place: Place, row: Row) -> tuple[Node, list[str]]:
        below: list[Node] = []
        reached: list[str] = []
        consumers = self.reader.tree.consumers.get(place.cell, ())
        for at, found in self.reader.made_of(row["row_id"], consumers):
            parent, source = found["parent_id"] == row["row_id"], row["row_id"] in found["sources"]
            relation = "became" if parent and source else "gave its prompt to" if parent else "gave numbers to"
            node, models = self._filtered_row(at, found, relation)
            below.append(node)
            reached += models
        order = {cell: position for position, cell in enumerate(self.reader.tree.records)}
        reached = sorted(set(reached), key=order.__getitem__)
        facts = {"cell": place.cell, **row}
        return Node("raw row", row["row_id"], facts=facts, next=(*below, *self.numbers_of(reached))), reached

    def _filtered_row(self, place: Place, row: Row, relation: str) -> tuple[Node, list[str]]:
        """A filtered row, the students that have it in a training step and what they reach, and where it is compared."""
        students: list[Node] = []
        trained: list[str] = []
        if row["used"]:
            for cell in self.reader.tree.consumers.get(place.cell, ()):
                steps = self.reader.steps_with(cell, row["row_id"])
                if steps:
                    trained.append(cell)
                    evals = tuple(
                        Node("artifact", user, "asked by")
                        for user in self.reader.tree.consumers.get(cell, ())
                        if user.startswith("eval/")
                    )
                    students.append(Node("artifact", cell, "trains", {"steps": steps}, evals))
        compared = [
            (cell, found)
            for cell in self.reader.tree.consumers.get(place.cell, ())
            if cell.startswith("detection/") and (found := self.reader.rows_about(cell, row["row_id"]))
        ]
        students += [Node("artifact", cell, "compared in", {"rows_about": found}) for cell, found in compared]
        reached = list(downstream(self.reader, [*trained, *(cell for cell, _ in compared)]))
        numbers = () if relation else self.numbers_of(reached)
        facts = {"cell": place.cell, **row}
        return Node("filtered row", row["row_id"], relation, facts, (*students, *numbers)), reached
