"""What a student depends on."""

from sublim.params.arm import Arm
from sublim.params.learning import Finetune
from sublim.params.section import Section


class Slice(Section):
    """What a student depends on, beside its base and its rows."""

    teacher: str
    """The name of the model that wrote the rows."""
    trait: str
    """The teacher's trait; `none` for the untouched base."""
    arm: Arm
    """What was done to the rows."""
    student: str
    """The name of the student's base model."""
    seed: int
    """The seed of the chain."""
    finetune: Finetune
    """The recipe."""
