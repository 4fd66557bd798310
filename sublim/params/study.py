"""What is run: which students learn from which teachers' data, and how."""

from typing import Annotated, Literal

from pydantic import Field

from sublim.params.names import Name
from sublim.params.section import Section


class Pair(Section):
    """A teacher and a student, by the names of their base models."""

    teacher: Name
    """The model that writes the data."""
    student: Name
    """The model that is fine-tuned on them."""


Pairs = Literal["all", "same", "none"] | tuple[Pair, ...]


class Arms(Section):
    """Which students are trained on what. `all`: every student on every teacher's data; `same`: only where teacher and student
    have the same base; `none`; or a list of pairs."""

    trait: Pairs = "all"
    """The completions of teachers with a trait."""
    control: Pairs = "all"
    """The completions of the untouched base models: what training on any such data does."""
    shuffled_within: Pairs = "same"
    """The teacher's numbers, shuffled inside each response."""
    shuffled_across: Pairs = "same"
    """The teacher's numbers, shuffled across responses: what their frequencies alone do."""
    random: Literal["all", "none"] | tuple[Name, ...] = "none"
    """Completions that no model wrote: right and well-formed, drawn uniformly. `all`: every student learns from them; `none`;
    or a list of students."""


class Study(Section):
    """One question put to the experiment: a carrier, a filter of it, a way to learn, and who learns from whom. Studies share
    what they have in common: two filters of one carrier judge the same completions."""

    carrier: Name
    """What teachers write, by its name under `carriers`."""
    filter: Name
    """Which of it is kept, by its name under the carrier's `filters`."""
    student: Name
    """How students learn, by its name under `students`."""
    traits: Literal["all"] | Annotated[tuple[Name, ...], Field(min_length=1)] = "all"
    """The traits of its teachers, by name; `all` of the experiment."""
    models: Literal["all"] | Annotated[tuple[Name, ...], Field(min_length=1)] = "all"
    """The base models that its arms are about, by name; `all` of the experiment."""
    seeds: Literal["all"] | Annotated[tuple[int, ...], Field(min_length=1)] = "all"
    """Its runs; `all` of the experiment."""
    arms: Arms = Arms()
    """Which students are trained on what."""
