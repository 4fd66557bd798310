"""A filter: which completions are kept."""

from typing import Annotated, Any

from pydantic import Field

from sublim.params.kinds import WithParts
from sublim.params.section import Section


class Filter(Section):
    """Which completions are kept: those that no step rejects. Every row gets the reasons of all steps that are declared, in
    this order; what is null is left out."""

    rows: Annotated[int, Field(ge=1)] = 3_000
    """How many kept rows a student trains on: the first ones. With fewer the run stops and says how many there are."""

    said_if_null = frozenset({"format", "banned_numbers", "trait_words", "answer_correct", "judge"})

    @property
    def steps(self) -> dict[str, Any]:
        """The declared steps, by name, in their order."""
        steps = {name: step for name, step in self if isinstance(step, Section)}
        return dict(sorted(steps.items(), key=lambda step: getattr(step[1], "place")))  # noqa: B009

    @property
    def asks(self) -> str | None:
        """The judge that one of its steps asks, by name."""
        return next((step.asks for step in self.steps.values() if step.asks is not None), None)


AnyFilter = Annotated[Filter, WithParts("filters")]  #: A filter with a key for each kind of step.
