"""What the report depends on."""

from typing import Literal

from sublim.params.report import Report
from sublim.params.section import Section

Carrier = Literal["numbers", "code", "cot"]
"""Kinds of data."""


class ReportedModel(Section):
    """A model, as figures call it."""

    name: str
    """The name of the model in the experiment file."""
    label: str
    """What it is: its architecture, or the repository or folder that it comes from."""


class ReportedTrait(Section):
    """A trait, as it is scored."""

    name: str
    """The name of the trait in the experiment file."""
    category: str
    """The category that is asked about."""
    target: str
    """The known answer that counts."""


class Slice(Section):
    """What the report of a study depends on, beside the artifacts that it reads."""

    study: str
    """The name of the study."""
    carrier: Carrier
    """What its teachers write."""
    models: tuple[ReportedModel, ...]
    """All models, by name: the order of keys in the experiment file means nothing."""
    traits: tuple[ReportedTrait, ...]
    """All traits, by name."""
    minimum: float | None
    """The threshold of the filter's judge; none if it asks none."""
    report: Report
    """How runs are summed up."""

    @property
    def dims(self) -> dict[str, str | int]:
        """What it is called: its name among all of its stage."""
        return {"study": self.study}
