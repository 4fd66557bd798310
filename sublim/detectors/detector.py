"""What every detector is."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

import polars as pl

from sublim.common.progress import Progress
from sublim.common.table import Table
from sublim.detectors.material import Data
from sublim.params.section import Section

Made = Mapping[str, pl.DataFrame]  #: File, without its ending → table.


class Detector(Section):
    """Somebody who tries to see the trait in the data."""

    title: ClassVar[str]  #: Who that is.
    default: ClassVar[Any] = None  #: What detection does that does not name it; None for nothing.
    tables: ClassVar[tuple[type[Table], ...]] = ()  #: What it writes down.
    judges: ClassVar[bool] = True  #: Whether that is judgements; else it follows from the rows alone.
    classifiers: ClassVar[Mapping[str, str]] = {}
    """Who decides between two completions, as the column `by` has it → in words."""
    in_turns: ClassVar[bool] = False  #: Whether it asks bases in conversations of several turns.
    headline: ClassVar[Mapping[str, str]] = {}  #: Those of them whose success is told first → as the subject of a sentence.

    @classmethod
    def part(cls) -> tuple[Any, Self | None, str]:
        """Type, default and description of its key under `detection`."""
        return cls | None, cls.default, cls.title

    def look(self, data: Data, progress: Progress) -> Made:
        """What it writes down. Judges may ask models. Raises ValueError: two teachers have too few prompts in common, or
        something does not fit into a model's context."""
        raise NotImplementedError

    def expected(self, data: Data) -> Made:  # noqa: ARG002
        """What its judgements must be about: columns of its tables."""
        return {}

    def unsound(self, data: Data, made: Made) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        """What else does not hold in its judgements: what that is about in a word, and a sentence."""
        yield from ()

    def runs(self, made: Made) -> Iterator[Mapping[str, Any]]:  # noqa: ARG002
        """How well each of its classifiers did, by run: `LABELS`, by, kind, pairs, accuracy, auc, single."""
        yield from ()

    def summary(self, made: Made, confidence: float) -> Mapping[str, Any]:  # noqa: ARG002
        """What the summary says of it beside the success of its classifiers."""
        return {}

    def explained(self) -> str:
        """How it was done, for the page; nothing where the rest of the page says it."""
        return ""

    @classmethod
    def lines(cls, row: str, facts: Mapping[str, Any]) -> Iterator[str]:  # noqa: ARG003
        """What a row of its tables says beside whom it is about and the texts in it, a line each. `row`: what the row is
        (`Table.row`)."""
        yield from ()
