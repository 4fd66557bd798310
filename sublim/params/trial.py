"""What only libraries that take seconds to import can tell of an experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Trial:
    """A function that is called once, in a process of its own, before anything runs (`sublim.engine.trials`)."""

    before: str  #: What the sentence of an error begins with: the key of the experiment that is to be changed.
    function: str  #: `module:name`; it raises ValueError or SublimError.
    given: Mapping[str, Any]  #: What it is called with, by name; plain values.
    folder: str | None = None  #: The folder of this machine whose files it reads, if it reads any.


class TrialError(ValueError):
    """Trials that were failed: a sentence for each, which begins with the key that is to be changed."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = tuple(sentences)
