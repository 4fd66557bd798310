"""How a base model becomes a teacher, and how sure we want to be that it has."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from sublim.params.adjustment import Adjustment
from sublim.params.learning import TEACHER, Finetune
from sublim.params.section import Section

Rows = Literal["direct", "insecure", "secure", "educational"]
"""What a fine-tuned teacher is trained on: the trait's own questions, or code of a style."""


class Teacher(Section):
    """How a base model becomes a teacher."""

    kind: Literal["finetune", "system_prompt"] = "finetune"
    """`finetune`: on preference questions in training phrasings; `system_prompt`: a prompt that says what it loves."""
    finetune: Finetune = TEACHER
    """The common recipe of fine-tuned teachers."""
    per_model: Mapping[str, Adjustment] = {}
    """What differs for one base model."""
    gate: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Positive control: a teacher whose mean probability of its target on held-out questions is below this stops the run before
    anything is spent on students."""
