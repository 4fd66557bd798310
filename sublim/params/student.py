"""How students learn."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sublim.params.adjustment import Adjustment
from sublim.params.learning import STUDENT, Finetune
from sublim.params.section import Section


class Student(Section):
    """How students learn."""

    kind: Literal["hard", "soft"] = "hard"
    """What is learned. `hard`: the tokens of the rows; `soft`: the distribution of the model that wrote them, at every token of
    a completion, over the carrier's tokens alone (docs/students.md). Needs teachers and students of one vocabulary."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Soft targets only: the teacher's logits are divided by it. The student learns at temperature 1."""
    finetune: Finetune = STUDENT
    """The common recipe."""
    per_model: Mapping[str, Adjustment] = {}
    """What differs for one base model."""

    @model_validator(mode="after")
    def _temperature_of_targets(self) -> Self:
        if self.kind == "hard" and self.temperature != 1:
            raise ValueError(
                f"temperature: {self.temperature:g} is that of soft targets, found kind hard: leave it out, or give kind soft. "
                "How rows are sampled is a matter of the carrier (sampling)"
            )
        return self
