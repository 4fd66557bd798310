"""What detection depends on, and what its tables hold: those of the detectors, and two that follow from these."""

from collections.abc import Mapping
from typing import Annotated

from sublim.common.table import Table, real, text, whole
from sublim.detectors.detector import Detector
from sublim.detectors.pairs import Compared
from sublim.params.category import OwnCategory
from sublim.params.detection import AnyDetection
from sublim.params.kinds import Named, every
from sublim.params.section import Section
from sublim.params.slice import CellParams
from sublim.traits.preference import Preference


class DetectedTrait(Section):
    """A trait of the study, and what it is."""

    name: str  #: Its name in the experiment file.
    definition: Preference  #: The trait.


class Slice(CellParams):
    """What detection in the data of a study depends on, beside the artifacts that it reads."""

    DIMS = ("study",)

    study: str  #: The name of the study.
    carrier: Annotated[str, Named("carriers")]  #: The kind of what teachers write.
    models: tuple[str, ...]  #: The base models, by name.
    traits: tuple[DetectedTrait, ...]  #: The traits of the study, by name.
    known: tuple[Preference, ...]  #: All preferences of the experiment: their targets are among the known answers.
    categories: Mapping[str, OwnCategory] = {}  #: The categories of the experiment's own that they are of.
    confidence: float  #: Coverage of every interval over runs.
    detection: AnyDetection  #: Who tries to see the trait, and how hard.

    @property
    def detectors(self) -> tuple[Detector, ...]:
        """Who looks, in the order of their list."""
        parts = (getattr(self.detection, name) for name in every("detectors"))
        return tuple(part for part in parts if part is not None)


class ClassifierRuns(Compared, file="runs.parquet", view="detected", row="run of a classifier"):
    """How well each classifier told completions apart, by run."""

    by = text()  #: Which classifier.
    kind = text()  #: What was done to the rows: nothing (`plain`), or the name of a shuffle.
    pairs = whole()  #: Pairs of completions.
    accuracy = real()  #: The share of the pairs in which the right completion was chosen, ties one half. Chance is 0.5.
    auc = real(null=True)  #: Area under the ROC curve over single completions, of linear classifiers alone. Chance is 0.5.
    #: The share of single completions put on the right side, of linear classifiers alone. Chance is 0.5.
    single = real(null=True)


class Transmission(Table, file="transmission.parquet", view="seen_and_transmitted", row="run of a classifier", dims=False):
    """What linear classifiers see in the rows of a run beside what the same rows transmit."""

    teacher = text()  #: The model that wrote the rows.
    trait = text()  #: Its trait.
    seed = whole()  #: The seed of the run.
    by = text()  #: Which classifier.
    kind = text()  #: What was done to the rows: nothing (`plain`), or the name of a shuffle.
    accuracy = real()  #: As in runs.parquet.
    auc = real()  #: As in runs.parquet.
    gain = real(null=True)  #: The gain of the student of the teacher's base that was trained on such rows; null where none was.


TABLES: tuple[type[Table], ...] = (
    *(ClassifierRuns, Transmission),
    *(table for detector in every("detectors").values() for table in detector.tables),
)
