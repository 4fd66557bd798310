"""What a teacher depends on."""

from typing import Literal

from sublim.params.learning import Finetune
from sublim.params.section import Section
from sublim.params.traits import Preference as Trait


class Slice(Section):
    """What a teacher depends on, beside its base."""

    teacher: str
    """The name of its base model."""
    trait: str
    """The name of its trait."""
    seed: int
    """The seed of the chain."""
    definition: Trait
    """The trait."""
    kind: Literal["finetune", "system_prompt"]
    """How it gets the trait."""
    finetune: Finetune | None
    """The recipe; null for a system prompt."""
    gate: float
    """The mean probability of its target on held-out questions that it must reach."""

    @property
    def dims(self) -> dict[str, str | int]:
        """What it is called: its name among all of its stage, in the order of its path."""
        return {
            "teacher": self.teacher,
            "trait": self.trait,
            "seed": self.seed,
        }
