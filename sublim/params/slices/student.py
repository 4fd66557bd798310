"""What a student depends on."""

from sublim.params.arm import Arm
from sublim.params.learning import Finetune
from sublim.params.section import Section
from sublim.params.task import Task


class SoftTargets(Section):
    """What is learned instead of tokens: the distribution of the model that wrote the rows."""

    task: Task
    """What the rows were to be: targets are restricted to its tokens."""
    temperature: float
    """Temperature of the targets."""


class Slice(Section):
    """What a student depends on, beside its base and its rows, and for soft targets the model that wrote these."""

    teacher: str
    """The name of the model that wrote the rows."""
    trait: str
    """The teacher's trait; `none` for the untouched base."""
    carrier: str
    """The name of what is written."""
    filter: str
    """The name of the filter."""
    arm: Arm
    """What was done to the rows."""
    method: str
    """The name of the way to learn."""
    student: str
    """The name of the student's base model."""
    seed: int
    """The seed of the chain."""
    finetune: Finetune
    """The recipe."""
    soft: SoftTargets | None = None
    """Soft targets; null for the tokens of the rows."""

    @property
    def dims(self) -> dict[str, str | int]:
        """What it is called: its name among all of its stage, in the order of its path."""
        return {
            "teacher": self.teacher,
            "trait": self.trait,
            "carrier": self.carrier,
            "filter": self.filter,
            "arm": self.arm,
            "method": self.method,
            "student": self.student,
            "seed": self.seed,
        }
