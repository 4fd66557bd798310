"""Hard targets: the tokens of the rows (paper, section 3.1)."""

from typing import ClassVar, Literal

from sublim.methods.method import Method


class Hard(Method):
    """Students learn the tokens of the rows."""

    kind: Literal["hard"] = "hard"
    """The tokens of the rows are learned."""

    elsewhere: ClassVar = {
        "temperature": "is that of soft targets, found kind hard: leave it out, or give kind soft. How rows are sampled is a "
        "matter of the carrier (sampling)"
    }


KIND = Hard
