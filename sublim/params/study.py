"""What is run: which students learn from which teachers' data, and how."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from sublim.params.kinds import WithParts, every, with_parts
from sublim.params.known import known
from sublim.params.names import NOBODY, Name
from sublim.params.pairs import Pair
from sublim.params.section import Section


class Arms(Section):
    """Which students are trained on what. `all`: every student on every teacher's data; `same`: only where teacher and student
    have the same base; `none`; or a list of pairs."""


AnyArms = Annotated[Arms, WithParts("arms")]  #: The arms with a key for each kind.


class Study(Section):
    """One question put to the experiment: a carrier, a filter of it, a way to learn, and who learns from whom. Studies share
    what they have in common: two filters of one carrier judge the same completions."""

    carrier: Name
    """What teachers write, by its name under `carriers`."""
    filter: Name
    """Which of it is kept, by its name under the carrier's `filters`."""
    student: Name
    """How students learn, by its name under `students`."""
    traits: Literal["all"] | Annotated[tuple[Name, ...], Field(min_length=1)] = "all"
    """The traits of its teachers, by name; `all` of the experiment."""
    models: Literal["all"] | Annotated[tuple[Name, ...], Field(min_length=1)] = "all"
    """The base models that its arms are about, by name; `all` of the experiment."""
    seeds: Literal["all"] | Annotated[tuple[int, ...], Field(min_length=1)] = "all"
    """Its runs; `all` of the experiment."""
    arms: AnyArms = Field(default_factory=lambda: with_parts(Arms, "arms")())
    """Which students are trained on what."""

    def fits(self, where: str, experiment: Any) -> None:  # noqa: D102
        known(f"{where}.carrier", "carrier", [self.carrier], experiment.carriers)
        filters = experiment.carriers[self.carrier].filters
        known(f"{where}.filter", f"filter of carriers.{self.carrier}", [self.filter], filters)
        known(f"{where}.student", "way to learn (`students`)", [self.student], experiment.students)
        known(f"{where}.traits", "trait", () if self.traits == "all" else self.traits, experiment.traits)
        known(f"{where}.models", "model", () if self.models == "all" else self.models, experiment.models)
        what, models = ("model", experiment.models) if self.models == "all" else (f"model of {where}.models", self.models)
        for arm, chosen in self.arms:
            pairs = () if isinstance(chosen, str) else chosen
            names = [name for one in pairs for name in ((one.teacher, one.student) if isinstance(one, Pair) else (one,))]
            known(f"{where}.arms{'' if arm != 'random' else '.random'}", what, names, models)
        experiment.students[self.student].fits_study(where, self, experiment)
        if self.seeds != "all" and (strange := set(self.seeds) - set(experiment.seeds)):
            raise ValueError(f"{where}.seeds: {sorted(strange)} are not among the experiment's seeds, {list(experiment.seeds)}")

    def pairs(self, arm: str, models: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
        """The (teacher, student) pairs of an arm, in the order of `models`, all of the experiment's."""
        own = [name for name in models if self.models == "all" or name in self.models]
        return every("arms")[arm].pairs(getattr(self.arms, arm), own)

    def all_pairs(self, models: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
        """The pairs of all arms whose rows a model wrote."""
        return tuple(pair for arm in every("arms") for pair in self.pairs(arm, models) if pair[0] != NOBODY)
