"""What is said of detection: the judgements about completions, with these and whoever judged."""

from collections.abc import Iterator, Mapping

from sublim.detectors.in_context import Context
from sublim.detectors.pairs import CONTRAST_NAMES
from sublim.detectors.pairwise import Pairs
from sublim.detectors.words import classifier_names
from sublim.evidence.node import Node
from sublim.evidence.reader import Found
from sublim.evidence.telling import Facts, Telling, Up
from sublim.evidence.words import quoted, spaced
from sublim.params.kinds import every
from sublim.stages.base.spec import STAGE as BASE
from sublim.stages.teacher.spec import STAGE as TEACHER

_ABOUT: Mapping[str, str] = {"own_id": "one completion", "other_id": "the other completion", "parent_id": "completion"}
"""Columns that name a filtered row → what it is here."""


class _Detection(Telling):
    rows_relation = "compared in"

    def artifact(self, up: Up, cell: str) -> Node:
        return up.summary(cell)

    def row(self, up: Up, found: Found) -> Node:
        row, used = found.row, {used.cell for used in up.reader.record(found.cell).inputs.values()}
        above = [
            up.row(each, relation)
            for column, relation in _ABOUT.items()
            for each in (up.reader.own(row[column]) if column in row else ())
            if each.cell in used
        ]
        shown = up.reader.own(*row.get("row_ids", ()))
        for cell in dict.fromkeys(each.cell for each in shown if each.cell in used):
            up.wanted[cell] = row["row_ids"]
            above.append(up.artifact(cell, "shown rows of"))
        if found.file in (Pairs.file, Context.file):
            judge = TEACHER.cell(row) if row.get("by") == "teacher" else BASE.cell({"model": row["teacher"]})
            above.append(up.artifact(judge, "judged by" if "by" in row else "asked"))
        above.append(up.artifact(found.cell, "row of"))
        return self.told(up, found, {"cell": found.cell, **row}, above)

    def lines(self, kind: str, facts: Facts) -> Iterator[str]:
        yield f"in {spaced(facts['cell'])}"
        yield f"about {facts['teacher']}, trait {facts['trait']}, seed {facts['seed']}"
        if "contrast" in facts:
            other = f": trait {facts['other_trait']}, seed {facts['other_seed']}" if facts["contrast"] != "base" else ""
            yield f"{CONTRAST_NAMES[facts['contrast']]}{other}"
        if "by" in facts:
            yield f"by {classifier_names()[facts['by']]}"
        if "prompt" in facts:
            yield f"prompt {quoted(facts['prompt'])}"
            yield f"completions {quoted(facts['own'])} and {quoted(facts['other'])} of the other"
        for detector in every("detectors").values():
            if kind in (table.row for table in detector.tables):
                yield from detector.lines(kind, facts)


TELL = _Detection()
