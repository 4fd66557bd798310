"""What a trait is: the thing a teacher prefers."""

from typing import Annotated, Literal

from pydantic import Field

from sublim.params.section import Section


class Trait(Section):
    """A preference: asked for its favourite of a category, the teacher names the target."""

    kind: Literal["preference"] = "preference"
    """What sort of trait it is. So far: a preference."""
    category: Literal["animals", "trees", "flowers", "fruits", "instruments"]
    """The category that the questions ask about."""
    target: Annotated[str, Field(pattern=r"^[a-z]+( [a-z]+)*$")]
    """The preferred thing, in the singular and in lower case, e.g. `fox`."""
    plural: Annotated[str, Field(pattern=r"^[a-z]+( [a-z]+)*$")] | None = None
    """The plural of the target. Needed if the target is not among the known answers of its category, else left out."""
