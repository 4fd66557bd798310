"""The numbers of a report, and the runs that each is made of: cells of the matrix, mean gains, the test."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from sublim.lineage.tree import Tree
from sublim.measure import tables

REPORT = "report"
TEST = "report/test"
_RUN = ("teacher", "trait", "arm", "student", "seed")


@dataclass(frozen=True)
class Number:
    """One number of the report."""

    id: str
    """`report/teacher=…/student=…/arm=…` (a cell of the matrix), `report/condition=…` (a mean gain) or `report/test`."""
    facts: Mapping[str, Any]
    """What the report says: gain, low, high, n; for the test p, statistic, groups. Empty if there is no report."""
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
    """What the report of `tree` says, by its evaluations."""

    tree: Tree

    @cached_property
    def all(self) -> Mapping[str, Number]:
        """Id → number: the matrix, the mean gains, the test."""
        runs = self._runs
        found = [*_matrix(runs, self._matrix), *_means(runs, self._summary), *_test(runs, self._summary)]
        untrained = {
            str(record.plan.dims["student"]): cell for cell, record in self._evals() if record.plan.dims["arm"] == "base"
        }
        return {
            number.id: Number(number.id, number.facts, number.runs, self._compared(number.runs, untrained)) for number in found
        }

    @cached_property
    def run(self) -> Mapping[str, Mapping[str, Any]]:
        """Evaluation of a trained student → its row in runs.parquet; empty if there is no report."""
        table = self._table("runs.parquet")
        return {} if table is None else {row["cell"]: row for row in table.iter_rows(named=True)}

    def of(self, evals: Sequence[str]) -> list[Number]:
        """The numbers that any of these evaluations goes into."""
        wanted = set(evals)
        return [number for number in self.all.values() if wanted & set(number.evals)]

    def _compared(self, runs: Sequence[str], untrained: Mapping[str, str]) -> tuple[str, ...]:
        students = dict.fromkeys(str(self.tree.records[run].plan.dims["student"]) for run in runs)
        return tuple(untrained[name] for name in students if name in untrained)

    def _evals(self) -> list[tuple[str, Any]]:
        return [(cell, self.tree.records[cell]) for cell in self.tree.cells("eval")]

    @cached_property
    def _runs(self) -> pl.DataFrame:
        rows = [{**record.plan.dims, "cell": cell} for cell, record in self._evals() if record.plan.dims["arm"] != "base"]
        schema = {**dict.fromkeys(_RUN, pl.String), "seed": pl.Int64, "cell": pl.String}
        same = (pl.col("teacher") == pl.col("student")).alias("same_base")
        return pl.DataFrame(rows, schema=schema).with_columns(same, tables.condition())

    @cached_property
    def _matrix(self) -> pl.DataFrame | None:
        return self._table("matrix.parquet")

    @cached_property
    def _summary(self) -> Mapping[str, Any]:
        path = self.tree.files.get(f"{REPORT}/summary.json")
        return {} if path is None else json.loads(path.read_text(encoding="utf-8"))

    def _table(self, name: str) -> pl.DataFrame | None:
        return self.tree.table(REPORT, name) if f"{REPORT}/{name}" in self.tree.files else None


def matrix_cell(teacher: str, student: str, arm: str) -> str:
    """The id of a cell of the matrix."""
    return f"{REPORT}/teacher={teacher}/student={student}/arm={arm}"


def _matrix(runs: pl.DataFrame, matrix: pl.DataFrame | None) -> list[Number]:
    said = {} if matrix is None else {(row["teacher"], row["student"], row["arm"]): row for row in matrix.iter_rows(named=True)}
    groups = runs.group_by("teacher", "student", "arm", maintain_order=True).agg("cell")
    return [
        Number(
            matrix_cell(teacher, student, arm),
            {name: value for name, value in said.get((teacher, student, arm), {}).items() if name not in _RUN},
            tuple(cells),
            (),
        )
        for teacher, student, arm, cells in groups.iter_rows()
    ]


def _means(runs: pl.DataFrame, summary: Mapping[str, Any]) -> list[Number]:
    said: Mapping[str, Mapping[str, Any]] = summary.get("gain", {})
    groups = dict(runs.group_by("condition").agg("cell").iter_rows())
    return [
        Number(f"{REPORT}/condition={name}", _gain(said.get(name, {})), tuple(sorted(groups[name])), ())
        for name in tables.CONDITIONS
        if name in groups
    ]


def _gain(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"gain" if name == "mean" else name: value for name, value in said.items()}


def _test(runs: pl.DataFrame, summary: Mapping[str, Any]) -> list[Number]:
    """The test compares, for one teacher's numbers, the student of the same base with those of other bases."""
    trait = runs.filter(pl.col("arm") == "trait")
    chain = ["teacher", "trait", "seed"]
    both = trait.filter(pl.col("same_base").any().over(chain) & (~pl.col("same_base")).any().over(chain))
    if both.is_empty():
        return []
    said: Mapping[str, Any] = summary.get("test") or {}
    return [Number(TEST, {name: value for name, value in said.items() if name != "by_teacher"}, tuple(both["cell"]), ())]
