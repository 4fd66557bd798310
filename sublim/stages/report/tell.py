"""What is said of a report: its numbers (cells of a matrix, mean gains, a test), and the evaluations that each is made of."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import polars as pl

from sublim.arms import conditions
from sublim.arms.conditions import TRAIT
from sublim.common.errors import SublimError
from sublim.common.reading import object_in
from sublim.evidence.node import Node, Number
from sublim.evidence.telling import Numbers, Telling, Up
from sublim.evidence.tree import Tree
from sublim.evidence.words import listed, near, plural
from sublim.stages.eval.spec import STAGE as EVAL
from sublim.stages.report.rows import Matrix, Runs
from sublim.stages.report.spec import STAGE

Facts = Mapping[str, Any]
_RUN = ("teacher", "trait", "arm", "student", "seed")
_CELL = ("study", "teacher", "student", "arm")
_TOLD = ("measured", "p_target", "p_base", "gain", "p_sampled")


class _Report(Telling):
    user_relation = ""
    sums_up = True
    columns: ClassVar = {"matrix": "matrix", "means": "headline"}

    def artifact(self, up: Up, cell: str) -> Node:
        return up.summary(cell, (number for number in up.numbers.all.values() if number.cell == cell))

    def numbers(self, tree: Tree) -> Iterator[Number]:
        for cell in tree.cells(STAGE.name):
            yield from _Content(tree, cell).numbers()

    def remarks(self, tree: Tree) -> Mapping[str, Node]:
        """Evaluation of a trained student → its row among the runs of a report (any: they say the same), and what its gain is a
        gain of."""
        found: dict[str, Node] = {}
        for content in (_Content(tree, cell) for cell in tree.cells(STAGE.name)):
            for row in content.rows(Runs.file):
                facts = {"measured": content.summary.get("measured", "P(target)"), **row}
                facts = {name: facts[name] for name in _TOLD if name in facts}
                moved = f"{facts['p_base']:.3g} untrained → {facts['p_target']:.3g}: gain {facts['gain']:+.3g}"
                found[row["cell"]] = Node("artifact", row["cell"], facts=facts, lines=(f"{facts['measured']} {moved}",))
        return found

    def asked(self, words: Sequence[str], numbers: Numbers) -> Number | None:
        given = dict(word.split("=", 1) for word in words if "=" in word)
        test, asked = "test" in words, " ".join(words)
        known = [number for number in numbers.all.values() if number.cell.startswith(f"{STAGE.name}/")]
        if any("=" not in word and word != "test" for word in words) or given.keys() - {"study", "condition", *EVAL.dims}:
            return None
        if test or "condition" in given:
            if given.keys() - {"study", "condition"} or (test and "condition" in given):
                raise SublimError(f"{asked}: beside a mean gain or the test only study=… may stand.")
            kind = "test" if test else "mean"
            found = [number for number in known if number.kind == kind and given.items() <= number.dims.items()]
            if not found:
                others = (" ".join(number.id.split("/")[1:]) for number in known if number.kind != "matrix")
                raise SublimError(f"{asked}: no report has such a number. They have:{listed(others) or ' none'}")
            return _one(asked, found)
        if not known or not {"teacher", "student"} <= given.keys():
            return None
        cell = {"arm": TRAIT, **{name: value for name, value in given.items() if name in _CELL}}
        part = [f"{name}={value}" for name, value in given.items() if name not in _CELL]
        matrix = [number for number in known if number.kind == "matrix"]
        parts = [
            replace(number, runs=runs, part=" ".join(part) if len(runs) < len(number.runs) else "")
            for number in matrix
            if cell.items() <= number.dims.items()
            and (runs := tuple(run for run in number.runs if {*part} <= {*run.split("/")}))
        ]
        if not parts:
            every = sorted({" ".join(run.split("/")[1:]) for number in matrix for run in number.runs})
            wanted = " ".join(f"{name}={value}" for name, value in {"arm": TRAIT, **given}.items())
            raise SublimError(f"{wanted}: no run of {numbers.tree.name} is that.{near(wanted, every)}")
        return parts[0] if len({each.runs for each in parts}) == 1 else _one(asked, parts)


def _one(asked: str, found: Sequence[Number]) -> Number:
    if len(found) > 1:
        studies = listed(f"study={each.dims['study']}" for each in found)
        raise SublimError(f"{asked}: several studies have that; name one:{studies}")
    return found[0]


class _Content:
    """What one report says, by the evaluations that it was made from."""

    def __init__(self, tree: Tree, cell: str) -> None:
        self.tree, self.cell = tree, cell
        path = tree.files.get(f"{cell}/summary.json")
        self.summary: Facts = {} if path is None else object_in(path)
        used = {used.cell for used in tree.records[cell].inputs.values()}
        self.evals = {each: tree.records[each].plan.dims for each in tree.cells(EVAL.name) if each in used}
        self.untrained = {dims["student"]: each for each, dims in self.evals.items() if dims["arm"] == "base"}

    def rows(self, file: str) -> Iterable[Facts]:
        """The rows of a table; none if the report lacks it."""
        return self.tree.table(self.cell, file).iter_rows(named=True) if f"{self.cell}/{file}" in self.tree.files else ()

    def numbers(self) -> Iterator[Number]:
        """The matrix, the mean gains, the test."""
        runs = pl.DataFrame(
            [{**dims, "cell": cell} for cell, dims in self.evals.items() if dims["arm"] != "base"],
            schema={**dict.fromkeys(_RUN, pl.String), "seed": pl.Int64, "cell": pl.String},
        ).with_columns(conditions.condition(), same_base=pl.col("teacher") == pl.col("student"))
        matrix = list(self._matrix(runs))
        yield from matrix
        gains: Mapping[str, Facts] = self.summary.get("gain", {})
        groups = dict(runs.group_by("condition").agg("cell").iter_rows())
        for name, words in conditions.condition_words().items():
            if name in groups:
                facts = {"gain" if key == "mean" else key: value for key, value in gains.get(name, {}).items()}
                yield self._number("mean", {"condition": name}, facts, sorted(groups[name]), words, matrix)
        # The test compares, for one teacher's numbers, the student of the same base with those of other bases.
        same, chain = pl.col("same_base"), ["teacher", "trait", "seed"]
        both = runs.filter(arm=TRAIT).filter(same.any().over(chain) & (~same).any().over(chain))
        if not both.is_empty():
            test: Facts = self.summary.get("test") or {}
            facts = {name: value for name, value in test.items() if name != "by_teacher"}
            yield self._number("test", {}, facts, list(both["cell"]), "", matrix)

    def _matrix(self, runs: pl.DataFrame) -> Iterator[Number]:
        names = ("teacher", "student", "arm")
        rows = {tuple(row[name] for name in names): row for row in self.rows(Matrix.file)}
        for *place, cells in runs.group_by(names, maintain_order=True).agg("cell").iter_rows():
            row, (teacher, student, arm) = rows.get(tuple(place), {}), place
            facts = {name: value for name, value in row.items() if name not in _RUN}
            unusual = "" if arm == TRAIT else f" · {conditions.arms()[arm].label or arm}"
            dims: dict[str, str] = dict(zip(names, place, strict=True))
            yield self._number("matrix", dims, facts, cells, f"{teacher} → {student}{unusual}")

    def _number(
        self, kind: str, dims: Mapping[str, str], facts: Facts, runs: Sequence[str], short: str, above: Sequence[Number] = ()
    ) -> Number:
        study = {"study": str(self.tree.records[self.cell].plan.dims["study"])}
        students = dict.fromkeys(self.evals[run]["student"] for run in runs)
        compared = tuple(self.untrained[name] for name in students if name in self.untrained)
        words = [f"{name}={value}" for name, value in dims.items()] or [kind]
        title = {"matrix": ["matrix", *words], "mean": words, "test": ["test of same base > other base"]}[kind]
        value, label = "", short or kind
        if "gain" in facts:
            span = "" if facts.get("low") is None else f" [{facts['low']:+.3g}, {facts['high']:+.3g}]"
            value, label = f"gain {facts['gain']:+.3g}{span}, {plural(facts['n'], 'run')}", f"{short} {facts['gain']:+.3f}"
        elif "p" in facts:
            value = f"p = {facts['p']:.3g} ({facts['method']}, {plural(facts['groups'], 'group')})"
            label = f"p = {facts['p']:.2g}"
        return Number(
            id="/".join([self.cell, *words]),
            cell=self.cell,
            kind=kind,
            dims={**study, **dims},
            facts=facts,
            runs=tuple(runs),
            compared=compared,
            above=tuple(each.id for each in above if {*each.runs} & {*runs}) or (*runs, *compared),
            title=" ".join([f"study={study['study']}", *title]),
            value=value,
            label=label,
            column="matrix" if kind == "matrix" else "means",
        )


TELL = _Report()
