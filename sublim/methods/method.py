"""What every way to learn is."""

from collections.abc import Mapping
from typing import Any, ClassVar

from sublim.carriers.task import Task
from sublim.params.adjustment import Adjustment
from sublim.params.known import known
from sublim.params.learning import STUDENT, Finetune
from sublim.params.section import Grown, Section


class Method(Grown):
    """How students learn."""

    since: ClassVar = frozenset({"paired"})

    kind: Any
    """What is learned."""
    finetune: Finetune = STUDENT
    """The common recipe."""
    per_model: Mapping[str, Adjustment] = {}
    """What differs for one base model."""
    paired: bool = False
    """Whether students of one run (one carrier, filter, base model and seed) share initial adapters and the order of rows, by
    their numbers, whatever teacher, trait and arm they are of: what else differs between them is then the rows alone."""

    learned: ClassVar[type[Section] | None] = None  #: What `targets` gives, if not always None.

    def targets(self, task: Task) -> Section | None:  # noqa: ARG002
        """What is learned instead of the tokens of rows that were to be `task`; None for these tokens."""
        return None

    def fits(self, where: str, experiment: Any) -> None:  # noqa: D102
        known(f"{where}.per_model", "model", self.per_model, experiment.models)

    def fits_study(self, where: str, study: Any, experiment: Any) -> None:
        """Raises ValueError if the study, which is the key `where`, cannot be learned so."""
