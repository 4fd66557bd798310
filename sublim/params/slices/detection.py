"""What detection depends on."""

from collections.abc import Mapping

from sublim.params.detection import Detection
from sublim.params.section import Section
from sublim.params.traits import OwnCategory, Preference


class DetectedTrait(Section):
    """A trait of the study, and what it is."""

    name: str
    """Its name in the experiment file."""
    definition: Preference
    """The trait."""


class Slice(Section):
    """What detection in the data of a study depends on, beside the artifacts that it reads."""

    study: str
    """The name of the study."""
    carrier: str
    """The kind of what teachers write."""
    models: tuple[str, ...]
    """The base models, by name."""
    traits: tuple[DetectedTrait, ...]
    """The traits of the study, by name."""
    known: tuple[Preference, ...]
    """All preferences of the experiment: their targets are among the known answers."""
    categories: Mapping[str, OwnCategory] = {}
    """The categories of the experiment's own that they are of."""
    confidence: float
    """Coverage of every interval over runs."""
    detection: Detection
    """Who tries to see the trait, and how hard."""

    @property
    def dims(self) -> dict[str, str | int]:
        """What it is called: its name among all of its stage."""
        return {"study": self.study}
