"""Two models of one pretraining. Apart from how that is found, so that who is told of them depends on no kind of model."""

from typing import Annotated, Literal

from pydantic import Field

from sublim.params.section import Section

Way = Literal["order", "mix", "both"]


class Relatives(Section):
    """A teacher and a student of one pretraining: what they have in common, and what tells them apart."""

    teacher: str  #: The model that writes.
    student: str  #: The student's base.
    trunk: str  #: The model whose pretraining it is.
    share: Annotated[float, Field(ge=0, le=1)]  #: The share of its steps that both have made.
    way: Way
    """What came after: the same rows in another `order`, or other rows (`mix`); `both` where nothing did: they are the same."""
