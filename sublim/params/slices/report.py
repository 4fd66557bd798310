"""What the report depends on."""

from collections.abc import Mapping

from sublim.params.arm import Arm
from sublim.params.report import Report
from sublim.params.section import Section
from sublim.params.traits import Trait


class ReportModel(Section):
    """A model as the report names it."""

    name: str
    """Its name in the experiment."""
    label: str
    """Its architecture, or where it comes from."""


class Slice(Section):
    """What the report depends on, beside everything upstream."""

    models: tuple[ReportModel, ...]
    """The models, in the order of the figures."""
    traits: Mapping[str, Trait]
    """The traits, in the order of the figures."""
    arms: tuple[Arm, ...]
    """The arms, in the order of the figures."""
    seeds: tuple[int, ...]
    """The seeds of the runs."""
    report: Report
    """How runs are summed up."""
