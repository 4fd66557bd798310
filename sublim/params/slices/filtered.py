"""What filtered rows depend on."""

from collections.abc import Mapping

from sublim.params.arm import Arm
from sublim.params.filters import Filter
from sublim.params.judges import Judge
from sublim.params.section import Section
from sublim.params.task import Task


class Slice(Section):
    """What a filtered cell depends on."""

    teacher: str
    """The model that wrote the rows; `none` for random rows."""
    trait: str
    """The teacher's trait; `none` for the untouched base."""
    carrier: str
    """The name of what is written."""
    filter: str
    """The name of the filter."""
    arm: Arm
    """What is done to the kept rows."""
    seed: int
    """The seed of the chain."""
    task: Task
    """What the rows were to be."""
    rule: Filter
    """Which rows are kept, and how many are used."""
    judge: Judge | None
    """The judge that the filter asks, without its access."""
    files: Mapping[str, str]
    """Digests of the files of a judge from a folder of this machine, by name; nothing for others."""
    words: tuple[str, ...]
    """The words that no kept row may hold: the targets of the traits and their plurals."""

    @property
    def dims(self) -> dict[str, str | int]:
        """What it is called: its name among all of its stage, in the order of its path."""
        return {
            "teacher": self.teacher,
            "trait": self.trait,
            "carrier": self.carrier,
            "filter": self.filter,
            "arm": self.arm,
            "seed": self.seed,
        }
