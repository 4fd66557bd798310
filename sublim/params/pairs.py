"""Who learns from whom: teachers and students by the names of their base models."""

from collections.abc import Sequence
from typing import Any, Literal

from sublim.params.names import Name
from sublim.params.section import Section


class Pair(Section):
    """A teacher and a student, by the names of their base models."""

    teacher: Name
    """The model that writes the data."""
    student: Name
    """The model that is fine-tuned on them."""


Pairs = Literal["all", "same", "none"] | tuple[Pair, ...]


def paired(chosen: Any, models: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The (teacher, student) pairs that `chosen`, a value of `Pairs`, means, in the order of `models`."""
    match chosen:
        case "all":
            return tuple((teacher, student) for teacher in models for student in models)
        case "same":
            return tuple((model, model) for model in models)
        case "none":
            return ()
        case _:
            return tuple((pair.teacher, pair.student) for pair in chosen)
