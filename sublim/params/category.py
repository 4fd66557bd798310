"""The section `categories` of an experiment file: categories of its own, for preferences."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from sublim.params.section import Section

Words = Annotated[str, Field(pattern=r"^[a-z]+( [a-z]+)*$")]


class OwnCategory(Section):
    """A category of the experiment's own: how it is called in questions, and its known answers."""

    one: Words
    """The noun for one of them, in lower case, e.g. `metal`."""
    many: Words
    """The noun for several, e.g. `metals`."""
    a: Words | None = None
    """The noun with its article; `a` or `an` by the first letter if it is left out."""
    answers: Annotated[Mapping[Words, Words], Field(min_length=2)]
    """The known answers: singular → plural, in lower case, e.g. `wolf: wolves`."""

    @model_validator(mode="after")
    def _no_form_twice(self) -> Self:
        seen: dict[str, str] = {}
        for word, plural in self.answers.items():
            for form in {word, plural}:
                if form in seen:
                    raise ValueError(f"answers: `{form}` is a form of `{seen[form]}` and of `{word}`: leave one of them out")
                seen[form] = word
        return self
