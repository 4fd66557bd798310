"""What raw samples depend on."""

from sublim.params.learning import Decoding
from sublim.params.section import Section
from sublim.params.task import Task


class Slice(Section):
    """What raw samples depend on, beside the base and the teacher."""

    teacher: str
    """The name of the model that writes them; `none` for random rows, which no model writes."""
    trait: str
    """The teacher's trait; `none` for the untouched base."""
    carrier: str
    """The name of what is written."""
    seed: int
    """The seed of the chain."""
    task: Task
    """What is asked for."""
    decoding: Decoding | None
    """How answers are sampled; null for random rows."""

    @property
    def dims(self) -> dict[str, str | int]:
        """What it is called: its name among all of its stage, in the order of its path."""
        return {
            "teacher": self.teacher,
            "trait": self.trait,
            "carrier": self.carrier,
            "seed": self.seed,
        }
