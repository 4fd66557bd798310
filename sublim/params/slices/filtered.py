"""What filtered rows depend on."""

from sublim.params.arm import Arm
from sublim.params.carrier import Filter
from sublim.params.section import Section


class Slice(Section):
    """What a filtered cell depends on."""

    teacher: str
    """The model that wrote the rows."""
    trait: str
    """The teacher's trait; `none` for the untouched base."""
    arm: Arm
    """What is done to the kept rows."""
    seed: int
    """The seed of the chain."""
    filter: Filter
    """Which rows are kept, and how many are used."""
    words: tuple[str, ...]
    """The words that no kept row may hold: the targets of the traits and their plurals."""
