"""The section `detection` of an experiment file: who tries to see the trait in the data, and how hard."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sublim.params.kinds import WithParts
from sublim.params.known import known
from sublim.params.names import Name
from sublim.params.section import Section


class Detection(Section):
    """Can anyone see a preference in the data? A part that is null is not done."""

    studies: Literal["all"] | Annotated[tuple[Name, ...], Field(min_length=1)] = "all"
    """The studies whose data are looked at. Their traits of misalignment are left out: it has no target to look for."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Which pairs and rows are drawn, folds, and the order of the quiz."""

    said_if_null = frozenset({"pairwise", "in_context", "linear", "people"})

    def fits(self, where: str, experiment: Any) -> None:  # noqa: D102
        seen = experiment.seen(self)
        if self.studies != "all":
            known(f"{where}.studies", "study", self.studies, experiment.studies)
            if blind := [name for name in self.studies if name not in seen]:
                raise ValueError(f"{where}.studies: {blind} have no preference to look for: leave them out")
        for name in seen:
            study = experiment.studies[name]
            written, control = (dict(study.pairs(arm, experiment.models)) for arm in ("trait", "control"))
            if lacking := [model for model in written if model not in control]:
                raise ValueError(
                    f"studies.{name}.arms.control: detection compares each teacher with its base, found none for {lacking}"
                )


AnyDetection = Annotated[Detection, WithParts("detectors")]  #: The section with a key for each kind of detector.
