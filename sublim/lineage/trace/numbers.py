"""The numbers of the reports, and the runs that each is made of: cells of a matrix, mean gains, a test."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import polars as pl

from sublim.lineage.tree import Tree
from sublim.measure import tables

REPORT = "report"
_RUN = ("teacher", "trait", "arm", "student", "seed")


@dataclass(frozen=True)
class Number:
    """One number of a report."""

    id: str
    """The report, then `teacher=…/student=…/arm=…` (a cell of the matrix), `condition=…` (a mean gain) or `test`."""
    kind: Literal["matrix", "mean", "test"]
    """What it is."""
    dims: Mapping[str, str]
    """Its study, and of a cell of the matrix teacher, student and arm, of a mean gain the condition."""
    facts: Mapping[str, Any]
    """What the report says: gain, low, high, n; for the test p, statistic, groups."""
    runs: tuple[str, ...]
    """The evaluations of trained students that it is made of."""
    untrained: tuple[str, ...]
    """The evaluations of the untrained bases that these are compared with."""

    @property
    def evals(self) -> tuple[str, ...]:
        """All evaluations that it is made of."""
        return (*self.runs, *self.untrained)


@dataclass(frozen=True)
class Numbers:
    """What the reports of `tree` say, by the evaluations that they were made from."""

    tree: Tree

    @cached_property
    def all(self) -> Mapping[str, Number]:
        """Id → number: of each report the matrix, the mean gains, the test."""
        return {number.id: number for report in self.tree.cells(REPORT) for number in self._of_report(report)}

    @cached_property
    def run(self) -> Mapping[str, Mapping[str, Any]]:
        """Evaluation of a trained student → its row in the runs.parquet of a report (any: they say the same), and `measured`:
        what its gain is a gain of."""
        found = {report: self._table(report, "runs.parquet") for report in self.tree.cells(REPORT)}
        return {
            row["cell"]: {"measured": self._summary(report).get("measured", tables.P_TARGET), **row}
            for report, table in found.items()
            if table is not None
            for row in table.iter_rows(named=True)
        }

    def of(self, evals: Sequence[str]) -> list[Number]:
        """The numbers that any of these evaluations goes into."""
        wanted = set(evals)
        return [number for number in self.all.values() if wanted & set(number.evals)]

    def _of_report(self, report: str) -> Iterator[Number]:
        inputs = [used.cell for used in self.tree.records[report].inputs.values()]
        evals = {cell: self.tree.records[cell].plan.dims for cell in self.tree.cells("eval") if cell in set(inputs)}
        untrained = {str(dims["student"]): cell for cell, dims in evals.items() if dims["arm"] == "base"}
        runs = _runs({cell: dims for cell, dims in evals.items() if dims["arm"] != "base"})
        summary = self._summary(report)
        study = {"study": str(self.tree.records[report].plan.dims["study"])}
        for kind, dims, facts, cells in (
            *_matrix(runs, self._table(report, "matrix.parquet")),
            *_means(runs, summary),
            *_test(runs, summary),
        ):
            students = dict.fromkeys(str(evals[cell]["student"]) for cell in cells)
            compared = tuple(untrained[name] for name in students if name in untrained)
            words = "/".join(f"{name}={value}" for name, value in dims.items()) or kind
            yield Number(f"{report}/{words}", kind, {**study, **dims}, facts, cells, compared)

    def _summary(self, report: str) -> Mapping[str, Any]:
        path = self.tree.files.get(f"{report}/summary.json")
        return {} if path is None else json.loads(path.read_text(encoding="utf-8"))

    def _table(self, report: str, name: str) -> pl.DataFrame | None:
        return self.tree.table(report, name) if f"{report}/{name}" in self.tree.files else None


_Said = tuple[Literal["matrix", "mean", "test"], Mapping[str, str], Mapping[str, Any], tuple[str, ...]]
"""Kind, dimensions, what the report says, the runs."""


def _runs(evals: Mapping[str, Mapping[str, str | int]]) -> pl.DataFrame:
    rows = [{**{name: dims[name] for name in _RUN}, "cell": cell} for cell, dims in evals.items()]
    schema = {**dict.fromkeys(_RUN, pl.String), "seed": pl.Int64, "cell": pl.String}
    same = (pl.col("teacher") == pl.col("student")).alias("same_base")
    return pl.DataFrame(rows, schema=schema).with_columns(same, tables.condition())


def _matrix(runs: pl.DataFrame, matrix: pl.DataFrame | None) -> Iterator[_Said]:
    said = {} if matrix is None else {(row["teacher"], row["student"], row["arm"]): row for row in matrix.iter_rows(named=True)}
    groups = runs.group_by("teacher", "student", "arm", maintain_order=True).agg("cell")
    for teacher, student, arm, cells in groups.iter_rows():
        row = said.get((teacher, student, arm), {})
        facts = {name: value for name, value in row.items() if name not in _RUN}
        yield "matrix", {"teacher": teacher, "student": student, "arm": arm}, facts, tuple(cells)


def _means(runs: pl.DataFrame, summary: Mapping[str, Any]) -> Iterator[_Said]:
    said: Mapping[str, Mapping[str, Any]] = summary.get("gain", {})
    groups = dict(runs.group_by("condition").agg("cell").iter_rows())
    for name in tables.CONDITIONS:
        if name in groups:
            yield "mean", {"condition": name}, _gain(said.get(name, {})), tuple(sorted(groups[name]))


def _gain(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"gain" if name == "mean" else name: value for name, value in said.items()}


def _test(runs: pl.DataFrame, summary: Mapping[str, Any]) -> Iterator[_Said]:
    """The test compares, for one teacher's numbers, the student of the same base with those of other bases."""
    trait = runs.filter(pl.col("arm") == "trait")
    chain = ["teacher", "trait", "seed"]
    both = trait.filter(pl.col("same_base").any().over(chain) & (~pl.col("same_base")).any().over(chain))
    if not both.is_empty():
        said: Mapping[str, Any] = summary.get("test") or {}
        yield "test", {}, {name: value for name, value in said.items() if name != "by_teacher"}, tuple(both["cell"])


def number_name(name: str) -> str:
    """The id of a number of a report, as a person says it."""
    _, study, *words = name.split("/")
    if words == ["test"]:
        return f"{study} test of same base > other base"
    kind = [] if words[0].startswith("condition=") else ["matrix"]
    return " ".join([study, *kind, *words])
