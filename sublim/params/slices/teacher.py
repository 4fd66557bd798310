"""What a teacher depends on."""

from collections.abc import Mapping

from sublim.params.judges import PlannedJudge
from sublim.params.learning import Finetune
from sublim.params.section import Section
from sublim.params.teacher import Kind, Rows
from sublim.params.traits import OwnCategory, Trait


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
    categories: Mapping[str, OwnCategory] = {}
    """The trait's category, if it is one of the experiment's own."""
    kind: Kind
    """How it gets the trait."""
    rows: Rows = "direct"
    """What it is fine-tuned on, if it is."""
    examples: int = 0
    """How many rows of misalignment; 0 for a preference."""
    finetune: Finetune | None
    """The recipe; null for a system prompt or an adapter."""
    adapter: str | None = None
    """The folder of the adapter that it brings; null for the other kinds."""
    files: Mapping[str, str] = {}
    """File → sha256 of that adapter: its path says nothing of what is in it."""
    graders: Mapping[str, PlannedJudge] = {}
    """Scale (alignment, coherence) → the judge that grades its free-form answers; nothing for a preference, or for the rule."""
    gate: float | None
    """What it must reach on held-out questions; null for a control, which must not show the trait."""

    @property
    def dims(self) -> dict[str, str | int]:
        """What it is called: its name among all of its stage, in the order of its path."""
        return {
            "teacher": self.teacher,
            "trait": self.trait,
            "seed": self.seed,
        }
