"""What every step of a filter is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import polars as pl

from sublim.carriers.task import Task
from sublim.params.section import Section

NOTHING = pl.lit([], dtype=pl.List(pl.String))  #: No reason.
NO_SCORE = "no score"  #: The reason against a row that a judge was asked about and gave no score.


@dataclass(frozen=True)
class Context:
    """What a step knows of the rows beside themselves."""

    task: Task  #: What they were to be.
    words: Sequence[str]  #: The words of the experiment's traits, in all forms.


class Step(Section):
    """A step of a filter: what it rejects."""

    title: ClassVar[str]  #: What the key of the step is about.
    default: ClassVar[Any] = None  #: The step of a filter that does not name it; None for none.
    place: ClassVar[int]  #: Where it stands among the steps of a filter: in the funnel, and among the reasons against a row.
    of_readable: ClassVar[bool] = False
    """Whether it has nothing to say of a completion that cannot be read (`Task.unreadable`)."""
    of_words: ClassVar[bool] = True  #: Whether what it says may depend on the words of the traits (`Context.words`).
    of_the_rest: ClassVar[bool] = False  #: Whether it is asked about rows alone that no other step rejects.

    def why_rejected(self, rows: pl.DataFrame, context: Context) -> pl.Series:
        """For each of `rows` (completion, the answer of its prompt, and the score of a judge, if one was asked): a list of
        reasons, empty if it is kept."""
        raise NotImplementedError

    def reasons(self, task: Task) -> Mapping[str, str]:
        """Every reason that it may give, in order → what is the matter then."""
        raise NotImplementedError

    def said(self, task: Task) -> str:
        """What a completion is that it keeps: `name: in words`."""
        raise NotImplementedError

    def suits(self, where: str, task: Task) -> None:
        """Raises ValueError if it, which is the key `where`, does not go together with the task."""

    @classmethod
    def part(cls) -> tuple[Any, Self | None, str]:
        """Type, default and description of its key in a filter."""
        return cls | None, cls.default, cls.title


def marked(bad: pl.Series, reason: str) -> pl.Series:
    """A list with `reason` where `bad`, else an empty one."""
    return pl.select(pl.when(bad).then(pl.lit([reason])).otherwise(NOTHING)).to_series()
