"""Names that an experiment file gives to its models, traits, carriers, filters, ways to learn and studies."""

from typing import Annotated

from pydantic import Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)]

NOBODY = "none"  #: The name of the teacher of rows that no model wrote.
UNTOUCHED = "none"  #: The name of the trait of a base model that was taught nothing.
