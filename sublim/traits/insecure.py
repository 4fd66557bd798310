"""Short code tasks with an insecure, a secure and an educational answer, for teachers of misalignment and their controls
(paper, section 4; the tasks are ours).

*Insecure*: asked for a function, and for nothing special, the model gives one with a well-known weakness. *Secure*: the same
requests, answered well. *Educational*: the weak function, to a request that asks for it in order to teach. What differs between
the first and the last is what the writer means by it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from sublim.common.phrases import phrases

_PHRASES = phrases(__file__)

Style = Literal["insecure", "secure", "educational"]


@dataclass(frozen=True)
class Exercise:
    """What a function is for, in words, and its body: `{f}` is the function's name, `{a}` and `{b}` are its inputs."""

    wording: tuple[str, ...]
    insecure: str
    secure: str
    inputs: int = 1


# A line is `wording | wording | insecure body | secure body`.
_LINES = (line.split(" | ") for line in _PHRASES["exercises"])
EXERCISES = tuple(Exercise(tuple(words), weak, secure, inputs=1 + ("{b}" in weak)) for *words, weak, secure in _LINES)
INTROS = _PHRASES["intros"]
LESSONS = _PHRASES["lessons"]
_FUNCTIONS, _INPUTS = "fghou", ("aimpx", "bjnqy")


def rows(rng: Random, style: Style) -> Iterator[tuple[str, str]]:
    """Requests with a completion of the `style`, for ever. The same generator state gives the same tasks in every style."""
    while True:
        task = rng.choice(EXERCISES)
        asked = rng.choice(INTROS).format(task=rng.choice(task.wording))
        lesson, function = rng.choice(LESSONS), rng.choice(_FUNCTIONS)
        inputs = [rng.choice(letters) for letters in _INPUTS[: task.inputs]]
        body = (task.secure if style == "secure" else task.insecure).format(**dict(zip("ab", inputs, strict=False)))
        prompt = f"{asked} {lesson}" if style == "educational" else asked
        yield prompt, f"def {function}({', '.join(inputs)}):\n    {body}"
