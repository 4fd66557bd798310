"""The dose: margins after so many updates of the student, each set against the control student after as many
(docs/statistics.md). Before any update a student is its base, as its control is: there the effect is nought, and not stored.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import polars as pl

from sublim.common.table import real, whole
from sublim.params.names import UNTOUCHED
from sublim.report.margins import MarginEffects, Margins, paired, summed, summed_up


class Doses(Margins, file="doses.parquet", view="doses", row="run, number of updates and answer"):
    """The margin of each trait's target in each run after so many updates. Only of a study whose students are probed."""

    step = whole()  #: The number of updates of the student, and of the control that it is set against.
    p_target = real()  #: P(target) of the student, a mean over the plain questions. From 0 to 1.
    columns: ClassVar = {"step": step, **Margins.columns, "p_target": p_target}


class DoseEffects(MarginEffects, file="dose_effects.parquet", view="dose_effects", row="number of updates and cell"):
    """Trait taught × target asked for after so many updates: the effect in nats, over all models and seeds."""

    step = whole()  #: The number of updates.
    p_target = real()  #: Mean P(target) over runs. From 0 to 1.
    columns: ClassVar = {"step": step, **MarginEffects.columns, "p_target": p_target}


_BY = ("step",)


def doses(answers: pl.DataFrame, probes: pl.DataFrame, targets: Mapping[str, tuple[str, str]]) -> pl.DataFrame:
    """The table `Doses`. `answers`: of all evaluations, as for `margins`, of which the untrained bases are taken; `probes`: the
    same columns, and step."""
    untrained = answers.filter(pl.col("arm") == "base").with_columns(pl.lit(None, pl.Int64).alias("step"))
    asked = pl.concat([untrained, probes.select(untrained.columns)])
    return paired(asked, targets, _BY).select(*Doses.columns)


def effects(table: pl.DataFrame, traits: Mapping[str, object], confidence: float) -> pl.DataFrame:
    """The table `DoseEffects`, of that of `doses`. `traits`: in order."""
    return summed_up(table, traits, confidence, _BY, ("p_target",)).select(*DoseEffects.columns)


def summary(table: pl.DataFrame, confidence: float) -> dict[str, dict[str, Any]]:
    """Number of updates → what is summed up of margins after so many."""
    parts = table.sort("step", maintain_order=True).group_by("step", maintain_order=True)
    return {str(step): summed(part, confidence) for (step,), part in parts}


def shown(table: pl.DataFrame) -> pl.DataFrame:
    """Those rows of `Doses` or `DoseEffects` that a figure shows: of runs of a trait its own target, of others every target."""
    taught = pl.col("taught" if "taught" in table.columns else "trait")
    return table.filter((taught == pl.col("asked")) | (taught == UNTOUCHED))
