"""A toy stage: how many rows and tokens each student has eaten, a table per student."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from sublim.common import parquet
from sublim.common.canonical import row_id
from sublim.common.progress import Progress
from sublim.common.table import Table, text, whole
from sublim.engine.stage import Dims, Folders, Inputs, Stage, Wanted
from sublim.evidence.accident import Accident, same_columns
from sublim.evidence.source import Source
from sublim.params.experiment import Experiment
from sublim.params.slice import CellParams
from sublim.stages import distinct
from sublim.stages.student.rows import Steps
from sublim.stages.student.spec import STAGE as STUDENT


class Slice(CellParams):
    """What the appetite of a student depends on: the student, and nothing else."""

    DIMS = ("student", "teacher", "trait", "arm", "seed", "carrier", "filter", "method")

    student: str
    teacher: str
    trait: str
    arm: str
    seed: int
    carrier: str
    filter: str
    method: str


class Meals(Table):
    """One row per training step."""

    file, view, id, row = "meals.parquet", "meals", "row_id", "meal"

    row_id = text()  #: Digest of the cell and the step.
    step = whole()  #: Number of the step, from 0.
    rows = whole()  #: Rows in it.
    tokens = whole()  #: Completion tokens in it.


def cells(experiment: Experiment, folders: Folders) -> Iterator[Wanted]:  # noqa: ARG001
    for dims in distinct(Slice.DIMS, experiment.students_dims()):
        yield Wanted(Slice.model_validate(dims))


def reads(dims: Dims, params: Slice) -> Inputs:  # noqa: ARG001
    return {"student": STUDENT.cell(dims)}


def meals(steps: pl.DataFrame, params: Slice) -> pl.DataFrame:
    """The table that follows from the steps of a student."""
    names = [row_id("appetite", *params.dims.values(), step) for step in steps["step"]]
    return steps.select(pl.Series("row_id", names), "step", pl.col("rows").list.len().cast(pl.Int64), "tokens")


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write meals.parquet into `output`."""
    steps = pl.read_parquet(inputs["student"] / Steps.file)
    parquet.write_tables({Meals: meals(steps, params)}, params.dims, output)
    progress.start("count", 1, "student").advance()


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the meals `cell`."""
    params, found = source.params(cell, Slice), source.table(cell, Meals)
    student = source.upstream(cell, "student")
    if student is not None:
        expected = meals(source.table(student, Steps), params)
        yield from same_columns("meals", expected.columns, expected, found, found["row_id"])


STAGE = Stage(
    "toys.appetite",
    about="appetite",
    params=Slice,
    cells=cells,
    upstream=("student",),
    reads=reads,
    tables=(Meals,),
    sections=("models", "traits", "seeds", "studies", "carriers", "students"),
    optional=("studies",),
    memory_mb=500,
)
