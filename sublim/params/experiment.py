"""The experiment file: its sections, and what must hold between them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, product
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.config import JsonDict

from sublim.params.carrier import Carrier
from sublim.params.category import OwnCategory
from sublim.params.detection import AnyDetection, Detection
from sublim.params.evaluation import Evaluation
from sublim.params.kinds import OneOf, every, kind, kind_module
from sublim.params.models import Model, ancestors
from sublim.params.names import Name
from sublim.params.rates import Rates
from sublim.params.report import Report
from sublim.params.section import Section, inside
from sublim.params.study import Study
from sublim.params.teacher import Teacher, teacher_of
from sublim.params.theory import Mlp, Theorem

STUDIED = ("traits", "seeds", "teacher", "judges", "carriers", "students", "studies", "evaluation", "detection")
"""The sections that studies alone have a use for: an experiment of theory alone has none of them."""
STUDIES = {"numbers": Study(carrier="numbers", filter="strict", student="hard")}

WHOLE: JsonDict = {"anyOf": [{"required": ["models", "traits", "seeds"]}, {"required": ["mlp"]}, {"required": ["theorem"]}]}


class Experiment(Section):
    """An experiment in subliminal learning: teachers with a trait write data, students learn from what the filter keeps. It
    needs `models`, `traits` and `seeds`; or `mlp` or `theorem`, which may also stand alone."""

    model_config = ConfigDict(json_schema_extra=WHOLE)

    models: Mapping[Name, Model] = {}
    """The base models, by name. Each is a teacher's base and a student's base (see a study's `arms`)."""
    traits: Mapping[Name, Annotated[Any, OneOf("traits")]] = {}
    """The traits, by name. Each teacher has one."""
    categories: Mapping[Name, OwnCategory] = {}
    """Categories of the experiment's own, by name, for preferences."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = ()
    """The runs: one teacher-data-student chain per seed. Intervals are over runs, so give at least two."""
    teacher: Teacher = Teacher()
    """How a base model becomes a teacher."""
    judges: Mapping[Name, Annotated[Any, OneOf("judges")]] = {}
    """The judges that filters ask, by name."""
    carriers: Annotated[Mapping[Name, Carrier], Field(min_length=1)] = Field(default_factory=lambda: {"numbers": Carrier()})
    """What teachers write, by name."""
    students: Annotated[Mapping[Name, Annotated[Any, OneOf("methods", "hard")]], Field(min_length=1)] = Field(
        default_factory=lambda: {"hard": kind("methods", "hard")()}
    )
    """How students learn, by name."""
    studies: Mapping[Name, Study] = Field(
        default_factory=lambda given: STUDIES if given.get("traits") else {},
        json_schema_extra={"default": {name: study.model_dump(mode="json") for name, study in STUDIES.items()}},
    )
    """What is run, by name. None, if there are no traits."""
    evaluation: Evaluation = Evaluation()
    """How students are asked for their preference."""
    report: Report = Report()
    """How runs are summed up."""
    detection: AnyDetection | None = None
    """Who tries to see the traits in the data; null: nobody does. `{}` means its defaults."""
    mlp: Mlp | None = None
    """Digits, where transmission can be seen bare (paper, section 6.2); null: this is not done. `{}` means its defaults."""
    theorem: Theorem | None = None
    """Theorem 1, checked by numbers (paper, section 6.1); null: it is not. `{}` means its defaults."""
    rates: Rates = Rates()
    """How fast one GPU is, for the estimate that is printed before a run. No artifact depends on it."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        theory = self.mlp is not None or self.theorem is not None
        given = [name for name in STUDIED if name in self.model_fields_set and getattr(self, name)]
        if theory and not given:
            return self
        why = (
            f"`{given[0]}` is there, so this is more than theory: give models, traits and seeds as well, or leave it out."
            if theory
            else "An experiment needs models, traits and seeds; or `mlp` or `theorem`."
        )
        for name in ("models", "traits", "seeds", "studies"):
            if not getattr(self, name):
                found = "nothing is in it." if name in self.model_fields_set else "this key is missing."
                raise ValueError(f"{name}: {found} {why}")
        return self

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        for section in ("models", "traits", "carriers", "students"):
            if "none" in getattr(self, section):
                raise ValueError(f"{section}: `none` is the name of what an untouched base has; choose another")
        if taken := [name for name in self.categories if name in kind_module("traits", "preference").CATEGORIES]:
            raise ValueError(f"categories.{taken[0]}: this name is taken by a category that everybody has; choose another")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: each run needs a seed of its own, found {list(self.seeds)}")
        return self

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        for where, section in inside(self):
            if section is not self:
                section.fits(where, self)
        return self

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> Self:
        theory: Mapping[str, str] = {} if self.theorem is None else self.theorem.models
        judging = {judge.base for judge in self.judges.values()}
        busy = {*(self.studied() if self.traits else ()), *theory, *theory.values(), *judging}
        busy |= {each for name in busy if name in self.models for each in ancestors(self.models, name)}
        if idle := [name for name in self.models if name not in busy]:
            mend = "name it in the arms of a study, or leave it out"
            mend = mend if self.traits else "give traits and seeds, or name it in theorem.models"
            raise ValueError(f"models.{idle[0]}: nothing is done with it: {mend}")
        return self

    def seen(self, detection: Detection) -> tuple[str, ...]:
        """The studies in whose data `detection` looks for a preference, in their order."""
        chosen = self.studies if detection.studies == "all" else detection.studies
        studies = ((name, study) for name, study in self.studies.items() if name in chosen)
        return tuple(name for name, study in studies if any(self.traits[each].categories for each in self.taught(study)))

    def studied(self) -> tuple[str, ...]:
        """The models that are teachers or students of some study, in the order of `models`."""
        pairs = (study.pairs(arm, self.models) for study in self.studies.values() for arm in every("arms"))
        used = set(chain(*chain(*pairs)))
        return tuple(name for name in self.models if name in used)

    def taught_by(self, trait: str) -> Teacher:
        """How teachers get the trait called `trait`."""
        try:
            return teacher_of(self.teacher, trait)
        except ValidationError as error:
            raise ValueError(f"teacher.per_trait.{trait}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None

    def taught(self, study: Study) -> tuple[str, ...]:
        """The traits of a study, in the order of `traits`."""
        return tuple(name for name in self.traits if study.traits == "all" or name in study.traits)

    def runs(self, study: Study) -> tuple[int, ...]:
        """The seeds of a study, in the order of `seeds`."""
        return tuple(seed for seed in self.seeds if study.seeds == "all" or seed in study.seeds)

    def trained(self, study: Study) -> Iterator[dict[str, str | int]]:
        """The dimensions of every student of `study`."""
        for name, arm in every("arms").items():
            traits: Sequence[str] = arm.traits(self.taught(study))
            for (teacher, student), trait, seed in product(study.pairs(name, self.models), traits, self.runs(study)):
                rows = {"teacher": teacher, "trait": trait, "carrier": study.carrier, "filter": study.filter, "arm": name}
                yield {**rows, "method": study.student, "student": student, "seed": seed}

    def students_dims(self) -> Iterator[dict[str, str | int]]:
        """The dimensions of every student of every study. Studies may share some."""
        return chain.from_iterable(map(self.trained, self.studies.values()))

    def known_answers(self) -> Mapping[str, Mapping[str, Any]]:
        """Category → the known answers of it, of all preferences."""
        return kind_module("traits", "preference").known_by_category(self.traits.values(), self.categories)
