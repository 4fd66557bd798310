"""Sampling that goes on until filters have their rows: as an experiment says it, and as raw samples depend on it."""

from collections.abc import Iterable
from math import ceil
from typing import Annotated, Self

from pydantic import Field, model_validator

from sublim.params.filter import AnyFilter
from sublim.params.section import Section

ROUNDS = "sublim.filters.rounds"  #: The module that says when it is enough: code of those samples alone that go on.


MOST = 1_000_000  #: The most prompts that a carrier has.


class _Rounds(Section):
    """How sampling goes on."""

    prompts: Annotated[int, Field(ge=1)]
    """How many more prompts at a time."""
    times: Annotated[int, Field(ge=1)]
    """How often at most."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.prompts * self.times > MOST:
            raise ValueError(f"expected at most {MOST:,} more prompts, found {self.prompts:,} × {self.times:,}: lower times")
        return self


class TopUp(_Rounds):
    """Sampling goes on with more prompts of the same set while a filter that students use has too few rows. How many pass
    depends on the teacher, and in its last bits on the machine."""

    judge_rejects: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """The share of the rows left by the other steps of a filter that its judge is taken to reject: it is not asked before all
    rows are there."""

    def wanted(self, rule: AnyFilter) -> AnyFilter:
        """What is to be there of `rule`: the rows that its steps but a judge's are to keep."""
        judging = {name: None for name, step in rule.steps.items() if step.of_the_rest}
        rows = ceil(rule.rows / (1 - self.judge_rejects)) if judging else rule.rows
        return rule.model_copy(update={**judging, "rows": rows})


class Until(_Rounds):
    """What raw samples depend on that go on: how, and until what is there."""

    wanted: tuple[AnyFilter, ...]  #: The filters that must have their rows, without the steps of judges.
    words: tuple[str, ...]  #: The words that these filters reject: of traits; none where no step asks for them.

    def uses(self) -> Iterable[str]:
        """What counts the rows that pass."""
        return (ROUNDS,)

    @classmethod
    def may_use(cls) -> Iterable[str]:
        """The same."""
        return (ROUNDS,)
