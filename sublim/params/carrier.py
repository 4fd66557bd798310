"""What teachers write, how they write it, and which of it students may learn from."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from sublim.params.filters import Filter
from sublim.params.learning import Decoding
from sublim.params.names import Name
from sublim.params.section import Section
from sublim.params.task import Numbers, Task

_BOUNDS = ("count", "minimum", "maximum")


class Carrier(Section):
    """What teachers write, how they write it, and which of it students may learn from."""

    task: Task = Numbers()
    """What teachers are asked for. One set of prompts is shared by every teacher."""
    sampling: Decoding = Decoding()
    """How completions are sampled."""
    filters: Annotated[Mapping[Name, Filter], Field(min_length=1)] = {"strict": Filter()}
    """The filters, by name. Each gives a data set of its own from the same completions."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        for name, rule in self.filters.items():
            if self.task.prompts < rule.rows:
                raise ValueError(
                    f"filters.{name}.rows: {rule.rows} rows cannot be kept of task.prompts = {self.task.prompts} completions"
                )
        return self

    @model_validator(mode="after")
    def _steps_suit_the_task(self) -> Self:
        for name, rule in self.filters.items():
            if isinstance(self.task, Numbers) and rule.answer_correct:
                raise ValueError(
                    f"filters.{name}.answer_correct: expected a task with right answers (code, cot), found numbers: leave "
                    "it out"
                )
            bounds = [key for key in _BOUNDS if rule.format and key in rule.format.model_fields_set]
            if bounds and not isinstance(self.task, Numbers):
                raise ValueError(
                    f"filters.{name}.format: {', '.join(bounds)}: expected only for numbers, found task {self.task.kind}: "
                    "leave them out"
                )
        return self
