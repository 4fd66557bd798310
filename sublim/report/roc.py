"""How well a judge tells a teacher's rows from those of the untouched base (paper, section 3.3: AUC and false positives of the
filter for chains of thought). A row is flagged if its score is low; one without a score is flagged at every threshold, as the
filter rejects it at every threshold.
"""

import importlib
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sublim.arms.conditions import CONTROL, TRAIT
from sublim.common.table import Table, real, text, whole
from sublim.filters.step import NO_SCORE
from sublim.params.names import UNTOUCHED
from sublim.stats.interval import Interval, t_interval

Points = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]

GRID = 100  #: Curves are read at this many equal steps of the false-positive rate.
RUN = ("teacher", "trait", "seed")


class JudgedRuns(Table, file="roc.parquet", row="run", dims=False):
    """How well the filter's judge tells a teacher's rows from its base's, by run. Only if the filter asks a judge."""

    teacher = text()  #: The teacher's base.
    trait = text()  #: The teacher's trait.
    seed = whole()  #: The seed of the run.
    rows = whole()  #: The teacher's rows that the judge was asked about.
    base_rows = whole()  #: The same of the untouched base.
    unscored = whole()  #: How many of the teacher's rows have no score.
    base_unscored = whole()  #: The same of the base's.
    #: How probably a row of the teacher scores below one of the base, ties counted half: area under the ROC curve.
    auc = real()
    minimum = real()  #: The filter's threshold, on the scale of the judge.
    true_positive_rate = real()  #: The share of the teacher's rows that the filter rejects. From 0 to 1.
    false_positive_rate = real()  #: The share of the base's. From 0 to 1.


class Curves(Table, file="roc_curves.parquet", row="point", dims=False):
    """The ROC curves of these runs, at equal steps of the false-positive rate. Only if the filter asks a judge."""

    teacher = text()  #: The teacher's base.
    trait = text()  #: The teacher's trait.
    seed = whole()  #: The seed of the run.
    false_positive_rate = real()  #: The share of the base's rows that are flagged. From 0 to 1.
    #: The share of the teacher's rows that are flagged there; at a step of the curve its top. From 0 to 1.
    true_positive_rate = real()


def judged(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that a judge was asked about, as `runs` takes them: those of `rows` (teacher, trait, arm, seed, reasons, score;
    of filtered cells) that are a teacher's or a base's as it wrote them and have a score, or were rejected for having none."""
    asked = pl.col("score").is_not_null() | pl.col("reasons").list.contains(NO_SCORE)
    return rows.filter(pl.col("arm").is_in([TRAIT, CONTROL]) & asked).select(*RUN, "score")


def runs(rows: pl.DataFrame, minimum: float) -> pl.DataFrame:
    """One row per run, a teacher with a trait, against the rows of its own base in the same run.
    `rows`: those that the judge was asked about: teacher, trait (`none` for the untouched base), seed, score (null if it gave
    none). `minimum`: the filter's threshold. The table `JudgedRuns` is sorted by teacher, trait and seed; a teacher whose base
    has no judged rows, or that has none itself, is left out."""
    made = [
        (
            *(*run, len(own), len(base), own.null_count(), base.null_count()),
            *(area(own, base), minimum, rejected(own, minimum), rejected(base, minimum)),
        )
        for run, own, base in _pairs(rows)
    ]
    return pl.DataFrame(made, JudgedRuns.schema(), orient="row")


def curves(rows: pl.DataFrame) -> pl.DataFrame:
    """The curve of each run of `runs`, at equal steps of the false-positive rate: the table `Curves`."""
    grid = np.linspace(0, 1, GRID + 1).tolist()
    made = [
        (*run, false, true)
        for run, own, base in _pairs(rows)
        for false, true in zip(grid, curve(own, base).tolist(), strict=True)
    ]
    return pl.DataFrame(made, Curves.schema(), orient="row")


def intervals(table: pl.DataFrame, confidence: float) -> dict[str, Interval]:
    """Means over runs of the table `runs` with t intervals: auc, true_positive_rate, and false_positive_rate, which is one
    number for all traits of a base and seed. Areas of one base and seed share the base's rows: with several traits the interval
    of the area is a little narrow."""
    bases = table.unique(["teacher", "seed"], maintain_order=True)
    values = {
        "auc": table["auc"],
        "true_positive_rate": table["true_positive_rate"],
        "false_positive_rate": bases["false_positive_rate"],
    }
    return {name: t_interval(each.to_list(), confidence) for name, each in values.items()}


def area(teacher: pl.Series, base: pl.Series) -> float:
    """The area under the ROC curve: how probably a row of the teacher scores below one of the base, ties counted half."""
    return float(_sklearn().roc_auc_score(*_labelled(teacher, base)))


def curve(teacher: pl.Series, base: pl.Series) -> NDArray[np.float64]:
    """The true-positive rate at false-positive rates 0, 1/`GRID`, …, 1, straight between the points of the curve; at a step it
    is the top, so that the rate at 0 is the share of the teacher's rows that score below every row of the base."""
    false, true, _ = cast("Points", _sklearn().roc_curve(*_labelled(teacher, base)))
    last = np.append(np.diff(false) > 0, values=True)
    return np.interp(np.linspace(0, 1, GRID + 1), false[last], true[last])


def rejected(scores: pl.Series, minimum: float) -> float:
    """The share of rows that a filter at `minimum` rejects: those below, and those without a score."""
    return 1 - float((scores >= minimum).fill_null(value=False).sum()) / len(scores)


def _pairs(rows: pl.DataFrame) -> Iterator[tuple[tuple[str, str, int], pl.Series, pl.Series]]:
    """Each run with the scores of its teacher's rows and those of its base's."""
    scores = {
        cast("tuple[str, str, int]", run): part["score"]
        for run, part in rows.partition_by(*RUN, as_dict=True, maintain_order=True).items()
    }
    for (teacher, trait, seed), own in sorted(scores.items(), key=lambda item: item[0]):
        base = scores.get((teacher, UNTOUCHED, seed))
        if trait != UNTOUCHED and base is not None:
            yield (teacher, trait, seed), own, base


def _sklearn() -> Any:
    # It takes a second to import, which a report without a judge need not pay.
    return importlib.import_module("sklearn.metrics")


def _labelled(teacher: pl.Series, base: pl.Series) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels, 1 for the teacher's rows, and how suspicious each row is."""
    scores = pl.concat([teacher, base]).cast(pl.Float64)
    lowest = cast("float | None", scores.min())
    suspicion = -scores.fill_null(0 if lowest is None else lowest - 1).to_numpy()
    return np.repeat([1, 0], [len(teacher), len(base)]), suspicion
