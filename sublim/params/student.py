"""How students are fine-tuned."""

from collections.abc import Mapping

from sublim.params.adjustment import Adjustment
from sublim.params.learning import STUDENT, Finetune
from sublim.params.section import Section


class Student(Section):
    """How students are fine-tuned."""

    finetune: Finetune = STUDENT
    """The common recipe."""
    per_model: Mapping[str, Adjustment] = {}
    """What differs for one base model."""
