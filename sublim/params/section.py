"""What all sections of an experiment file share."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Strict and frozen; an unknown key is an error. The string under a field is its description in the schema and the docs
    (and, being a docstring, no part of any stage's code digest)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)
