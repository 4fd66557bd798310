"""What raw samples depend on."""

from sublim.params.carrier import Numbers
from sublim.params.learning import Decoding
from sublim.params.section import Section


class Slice(Section):
    """What raw samples depend on, beside the base and the teacher."""

    teacher: str
    """The name of the model that writes them."""
    trait: str
    """The teacher's trait; `none` for the untouched base."""
    seed: int
    """The seed of the chain."""
    carrier: Numbers
    """What is asked for."""
    decoding: Decoding
    """How answers are sampled."""
