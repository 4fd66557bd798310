"""What the overview depends on."""

from sublim.params.section import Section


class ReportedStudy(Section):
    """A study, as the overview names it."""

    name: str
    """Its name in the experiment file."""
    carrier: str
    """What its teachers write."""
    filter: str
    """Which of it is kept."""
    method: str
    """How its students learn."""
    detected: bool
    """Whether there is a page on who can see the traits in its data."""


class Slice(Section):
    """What the overview depends on, beside the reports and the theory that it reads."""

    studies: tuple[ReportedStudy, ...]
    """All studies, by name."""
    confidence: float
    """Coverage of the intervals of theory."""
