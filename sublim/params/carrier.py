"""What teachers write, how they write it, and which of it students may learn from."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from sublim.params.filter import AnyFilter, Filter
from sublim.params.kinds import OneOf, kind, with_parts
from sublim.params.learning import Decoding
from sublim.params.names import Name
from sublim.params.section import Section


class Carrier(Section):
    """What teachers write, how they write it, and which of it students may learn from."""

    task: Annotated[Any, OneOf("carriers")] = Field(default_factory=lambda: kind("carriers", "numbers")())
    """What teachers are asked for. One set of prompts is shared by every teacher."""
    sampling: Decoding = Decoding()
    """How completions are sampled."""
    filters: Annotated[Mapping[Name, AnyFilter], Field(min_length=1)] = Field(
        default_factory=lambda: {"strict": with_parts(Filter, "filters")()}
    )
    """The filters, by name. Each gives a data set of its own from the same completions."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        for name, rule in self.filters.items():
            if self.task.prompts < rule.rows:
                raise ValueError(
                    f"filters.{name}.rows: {rule.rows} rows cannot be kept of task.prompts = {self.task.prompts} completions"
                )
            for step, params in rule.steps.items():
                params.suits(f"filters.{name}.{step}", self.task)
        return self
