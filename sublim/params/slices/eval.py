"""What an evaluation depends on."""

from collections.abc import Mapping
from typing import Literal

from sublim.params.arm import Arm
from sublim.params.evaluation import Evaluation
from sublim.params.judges import PlannedJudge
from sublim.params.learning import Decoding
from sublim.params.models import Pretraining
from sublim.params.section import Section
from sublim.params.task import Task
from sublim.params.traits import OwnCategory, Trait


class CarrierTask(Section):
    """The tasks of a carrier, and how they are answered."""

    task: Task
    """What is asked for."""
    sampling: Decoding
    """How answers are sampled."""


class Slice(Section):
    """What an evaluation depends on, beside the model that is asked."""

    teacher: str
    """The name of the model that wrote the student's rows; `none` for an untrained base."""
    trait: str
    """The teacher's trait; `none` for the untouched base as teacher."""
    carrier: str
    """The name of what the teacher wrote; `none` for an untrained base."""
    filter: str
    """The name of the filter of the rows; `none` for an untrained base."""
    arm: Arm | Literal["base"]
    """What was done to the rows; `base` for an untrained base."""
    method: str
    """The name of the way to learn; `none` for an untrained base."""
    student: str
    """The name of the base model of the one that is asked."""
    seed: int
    """The seed of the chain; 0 for an untrained base."""
    traits: tuple[Trait, ...]
    """The experiment's traits: their categories are asked for, and their targets are among the known answers; for misalignment
    its open questions."""
    categories: Mapping[str, OwnCategory] = {}
    """The categories of the experiment's own that the traits are of."""
    graders: Mapping[str, PlannedJudge] = {}
    """Scale (alignment, coherence) → the judge that grades free-form answers; nothing without misalignment, or for the rule."""
    evaluation: Evaluation
    """How it is asked."""
    tasks: Mapping[str, CarrierTask]
    """The held-out tasks by which its skill is measured: its carrier's, or every carrier's for an untrained base."""
    pretraining: Pretraining | None
    """The pretraining of its base, if that is a tiny family: its facts and texts are those of its corpus."""

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
