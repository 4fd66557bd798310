"""What teachers write, how they write it, and which of it students may learn from."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from sublim.params.filter import AnyFilter, Filter
from sublim.params.kinds import OneOf, every, kind, with_parts
from sublim.params.learning import Decoding
from sublim.params.names import Name
from sublim.params.section import Section
from sublim.params.top_up import MOST, TopUp


class Carrier(Section):
    """What teachers write, how they write it, and which of it students may learn from."""

    task: Annotated[Any, OneOf("carriers")] = Field(default_factory=lambda: kind("carriers", "numbers")())
    """What teachers are asked for. One set of prompts is shared by every teacher."""
    sampling: Decoding = Decoding()
    """How completions are sampled."""
    top_up: TopUp | None = None
    """What is done where a filter has too few rows: more is sampled, up to a bound; null: the run stops and says so."""
    filters: Annotated[Mapping[Name, AnyFilter], Field(min_length=1)] = Field(
        default_factory=lambda: {"strict": with_parts(Filter, "filters")()}
    )
    """The filters, by name. Each gives a data set of its own from the same completions."""

    @property
    def most(self) -> int:
        """The most prompts that a writer is asked."""
        return self.task.prompts + (self.top_up.prompts * self.top_up.times if self.top_up else 0)

    @model_validator(mode="after")
    def _has_a_shape(self) -> Self:
        if self.sampling.constrained and not self.task.has_shape:
            can = ", ".join(name for name, each in every("carriers").items() if each.has_shape)
            raise ValueError(
                f"sampling.constrained: expected a task whose completions have a shape to be held to ({can}), found "
                f"{self.task.kind}: leave the key out"
            )
        return self

    @model_validator(mode="after")
    def _enough(self) -> Self:
        most, more = self.most, self.top_up
        if most > MOST:
            raise ValueError(f"top_up: expected at most {MOST:,} prompts together with task.prompts, found {most:,}")
        for name, rule in self.filters.items():
            if most < (rows := more.wanted(rule).rows if more else rule.rows):
                top_up = f" and top_up = {more.prompts} × {more.times}" if more else ""
                judge = f", of which a judge rejects {more.judge_rejects:.0%} (top_up)," if more and rows > rule.rows else ""
                raise ValueError(
                    f"filters.{name}.rows: {rows} rows{judge} cannot be kept of task.prompts = {self.task.prompts}{top_up} "
                    "completions"
                )
            for step, params in rule.steps.items():
                params.suits(f"filters.{name}.{step}", self.task)
        return self
