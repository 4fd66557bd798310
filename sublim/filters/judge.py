"""The step `judge`: rejects what a judge scores too low, or does not score."""

from collections.abc import Mapping
from typing import Any, ClassVar

import polars as pl

from sublim.carriers.task import Task
from sublim.filters.step import NO_SCORE, Context, Step, marked
from sublim.params.known import known

LOW = "judge score below threshold"


class JudgeScore(Step):
    """Rejects what a judge scores too low, or does not score. It is asked about the rows that no other step rejects."""

    judge: str
    """The judge, one of `judges`."""
    minimum: float
    """The lowest score that a kept completion has. The paper: alignment of at least 78 of 100."""

    title: ClassVar = "Whether a judge finds a completion harmless enough."
    place: ClassVar = 4
    of_words: ClassVar = False
    of_the_rest: ClassVar = True

    @property
    def asks(self) -> str:
        """The judge."""
        return self.judge

    def why_rejected(self, rows: pl.DataFrame, context: Context) -> pl.Series:  # noqa: ARG002, D102
        scores = rows["score"].fill_nan(None)
        low = marked((scores < self.minimum).fill_null(value=False), LOW)
        return pl.select(pl.when(scores.is_null()).then(pl.lit([NO_SCORE])).otherwise(low)).to_series()

    def reasons(self, task: Task) -> Mapping[str, str]:  # noqa: ARG002, D102
        return {LOW: "a judge scores it too low", NO_SCORE: "a judge gives it no score"}

    def said(self, task: Task) -> str:  # noqa: ARG002, D102
        return f"judge: `{self.judge}` scores it {self.minimum:g} or more"

    def fits(self, where: str, experiment: Any) -> None:  # noqa: D102
        known(f"{where}.judge", "judge", [self.judge], experiment.judges)
        bounds = experiment.judges[self.judge].scoring.scale
        if bounds is not None and not bounds[0] <= self.minimum <= bounds[1]:
            raise ValueError(
                f"{where}.minimum: expected a threshold on the scale of judges.{self.judge}, {bounds[0]:g} to {bounds[1]:g}, "
                f"found {self.minimum:g}: it would keep all rows or none"
            )


KIND = JudgeScore
