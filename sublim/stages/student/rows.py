"""What a student depends on, and what its tables hold."""

from typing import Annotated, Any, ClassVar

from sublim.learn.tables import TrainingSteps, WeightTensors
from sublim.params.kinds import PartOf
from sublim.params.learning import Finetune
from sublim.params.section import Grown
from sublim.params.slice import CellParams


class Slice(CellParams, Grown):
    """What a student depends on, beside its base and its rows, and for soft targets the model that wrote these."""

    since: ClassVar = frozenset({"paired", "probes"})
    DIMS = ("teacher", "trait", "carrier", "filter", "arm", "method", "student", "seed")

    teacher: str  #: The name of the model that wrote the rows.
    trait: str  #: The teacher's trait; `none` for the untouched base.
    carrier: str  #: The name of what is written.
    filter: str  #: The name of the filter.
    arm: str  #: What was done to the rows.
    method: str  #: The name of the way to learn.
    student: str  #: The name of the student's base model.
    seed: int  #: The seed of the chain.
    finetune: Finetune  #: The recipe.
    soft: Annotated[Any, PartOf("methods", "learned")] | None = None
    """What is learned instead, such as soft targets; null for the tokens of the rows."""
    paired: bool = False  #: Whether it shares initial adapters and order of rows with the other arms of its run.
    probes: tuple[int, ...] = ()  #: After how many updates it is kept as well.


class Steps(TrainingSteps, view="student_steps"):
    """The training of a student, an optimizer step a row. The rows are ids of filtered rows."""


class Tensors(WeightTensors, view="student_tensors"):
    """The tensors of the adapter, or of the whole model, by name."""


TABLES = (Steps, Tensors)
