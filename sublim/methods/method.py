"""What every way to learn is."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from sublim.carriers.task import Task
from sublim.learn import schedule
from sublim.params.adjustment import Adjustment, adjusted
from sublim.params.kinds import every
from sublim.params.known import known
from sublim.params.learning import STUDENT, Finetune
from sublim.params.section import Grown, Section


class Method(Grown):
    """How students learn."""

    since: ClassVar = frozenset({"paired", "probes"})

    kind: Any
    """What is learned."""
    finetune: Finetune = STUDENT
    """The common recipe."""
    per_model: Mapping[str, Adjustment] = {}
    """What differs for one base model."""
    paired: bool = False
    """Whether students of one run (one carrier, filter, base model and seed) share initial adapters and the order of rows, by
    their numbers, whatever teacher, trait and arm they are of: what else differs between them is then the rows alone."""
    probes: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """After how many updates a student is kept and asked as well, in ascending order, e.g. `[16, 64, 256]`: how its answers
    change while it learns. No more than it has steps."""

    learned: ClassVar[type[Section] | None] = None  #: What `targets` gives, if not always None.

    def targets(self, task: Task) -> Section | None:  # noqa: ARG002
        """What is learned instead of the tokens of rows that were to be `task`; None for these tokens."""
        return None

    def fits(self, where: str, experiment: Any) -> None:  # noqa: D102
        known(f"{where}.per_model", "model", self.per_model, experiment.models)
        if list(self.probes) != sorted(set(self.probes)):
            raise ValueError(f"{where}.probes: expected numbers of updates in ascending order, found {list(self.probes)}")

    def fits_study(self, where: str, study: Any, experiment: Any) -> None:
        """Raises ValueError if the study, which is the key `where`, cannot be learned so."""
        rows = experiment.carriers[study.carrier].filters[study.filter].rows
        for name in sorted({student for arm in every("arms") for _, student in study.pairs(arm, experiment.models)}):
            steps = schedule.length(adjusted(self.finetune, self.per_model.get(name)), rows)
            if self.probes and self.probes[-1] > steps:
                raise ValueError(
                    f"students.{study.student}.probes: expected no more updates than there are steps, found {self.probes[-1]}, "
                    f"but `{name}` has {steps} steps in {where}: leave it out, or train for longer"
                )
