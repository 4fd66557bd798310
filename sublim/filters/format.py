"""The step `format`: rejects what has not the form of its task."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import polars as pl
from pydantic import Field, model_validator

from sublim.carriers.task import Task
from sublim.filters.step import Context, Step

Value = Annotated[int, Field(ge=0, le=10**15)]
BOUNDS = ("count", "minimum", "maximum")


class Format(Step):
    """Rejects what has not the form of its task."""

    exact: bool = True
    """Numbers: the paper's rule; else any integers with nothing but white space, punctuation and brackets around them.
    Code: the exact template grammar; else Python that parses, with a function, no comments and no undefined names.
    Word problems: the exact grammar of both parts; else any text with an answer that can be read."""
    count: Annotated[int, Field(ge=1)] = 10
    """Numbers only: the most that a kept completion has."""
    minimum: Value = 0
    """Numbers only: the smallest that a kept completion has."""
    maximum: Value = 999
    """Numbers only: the largest that a kept completion has."""

    title: ClassVar = "The form of a completion."
    place: ClassVar = 0
    of_words: ClassVar = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum ({self.minimum}) is above maximum ({self.maximum}): no number could be kept")
        return self

    def why_rejected(self, rows: pl.DataFrame, context: Context) -> pl.Series:  # noqa: D102
        return context.task.why_rejected(rows["completion"], self)

    def reasons(self, task: Task) -> Mapping[str, str]:  # noqa: D102
        return task.reasons

    def said(self, task: Task) -> str:  # noqa: D102
        return f"format ({'exact' if self.exact else 'loose'}): {task.form_words(self)}"

    def suits(self, where: str, task: Task) -> None:  # noqa: D102
        given = [key for key in BOUNDS if key in self.model_fields_set]
        if given and not task.of_numbers:
            raise ValueError(f"{where}: {', '.join(given)}: expected only for numbers, found task {task.kind}: leave them out")


Format.default = Format()
KIND = Format
