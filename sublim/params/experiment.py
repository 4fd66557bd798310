"""The experiment file: its sections, and what must hold between them."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Self, get_args

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.config import JsonDict

from sublim.params.arm import Arm
from sublim.params.carrier import Carrier
from sublim.params.detection import Detection
from sublim.params.evaluation import Evaluation
from sublim.params.judges import Judge, LocalJudge
from sublim.params.judges import scale as scale_of
from sublim.params.models import Model, TinyModel, same_vocabulary
from sublim.params.names import Name
from sublim.params.rates import Rates
from sublim.params.report import Report
from sublim.params.section import Section
from sublim.params.student import Student
from sublim.params.study import Pair, Pairs, Study
from sublim.params.teacher import Teacher, teacher_of
from sublim.params.theory import Mlp, Theorem
from sublim.params.traits import Graders, Misalignment, OwnCategory, Preference, Trait

NOBODY = "none"
"""The name of the teacher of rows that no model wrote."""


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
    traits: Mapping[Name, Trait] = {}
    """The traits, by name. Each teacher has one."""
    categories: Mapping[Name, OwnCategory] = {}
    """Categories of the experiment's own, by name, for preferences."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = ()
    """The runs: one teacher-data-student chain per seed. Intervals are over runs, so give at least two."""
    teacher: Teacher = Teacher()
    """How a base model becomes a teacher."""
    judges: Mapping[Name, Judge] = {}
    """The judges that filters ask, by name."""
    carriers: Annotated[Mapping[Name, Carrier], Field(min_length=1)] = {"numbers": Carrier()}
    """What teachers write, by name."""
    students: Annotated[Mapping[Name, Student], Field(min_length=1)] = {"hard": Student()}
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
    detection: Detection | None = None
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
    def _models_are_comparable(self) -> Self:
        pairs: Mapping[str, str] = {} if self.theorem is None else self.theorem.models
        _known("theorem.models", "model", (*pairs, *pairs.values()), self.models)
        if not self.traits and (idle := sorted(set(self.models) - {*pairs, *pairs.values()})):
            raise ValueError(f"models.{idle[0]}: nothing is done with it: give traits and seeds, or name it in theorem.models")
        for name, other in pairs.items():
            found = [self.models[each] for each in (name, other)]
            same = [each.model_copy(update={"seed": 0}) for each in found if isinstance(each, TinyModel)]
            if len(same) < 2 or same[0] != same[1] or found[0] == found[1]:
                raise ValueError(
                    f"theorem.models.{name}: expected tiny models that differ in their seed alone, found {name} and {other}"
                )
            if name == "mlp":
                raise ValueError("theorem.models.mlp: `mlp` is the name of the nets for digits; call the model something else")
        return self

    @model_validator(mode="after")
    def _names_are_defined(self) -> Self:
        for section in ("models", "traits", "carriers", "students"):
            if "none" in getattr(self, section):
                raise ValueError(f"{section}: `none` is the name of what an untouched base has; choose another")
        for where, names in (
            ("teacher.per_model", self.teacher.per_model),
            *((f"students.{name}.per_model", student.per_model) for name, student in self.students.items()),
            ("rates.billions", self.rates.billions),
        ):
            _known(where, "model", names, self.models)
        _known("teacher.per_trait", "trait", self.teacher.per_trait, self.traits)
        for name in self.traits:
            _known("teacher.adapters", "model", self.taught_by(name).adapters, self.models)
        misaligned = [trait for trait in self.traits.values() if isinstance(trait, Misalignment)]
        if any(trait != misaligned[0] for trait in misaligned):
            raise ValueError(
                "traits: expected all traits of misalignment alike, since a model is asked once for all of them: what differs "
                "in how teachers get it belongs into teacher.per_trait"
            )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: each run needs a seed of its own, found {list(self.seeds)}")
        for name, study in self.studies.items():
            self._check(name, study)
        if self.detection is not None and self.detection.studies != "all":
            _known("detection.studies", "study", self.detection.studies, self.studies)
            if blind := [name for name in self.detection.studies if name not in self.seen(self.detection)]:
                raise ValueError(f"detection.studies: {blind} have no preference to look for: leave them out")
        for name, judge in self.judges.items():
            if isinstance(judge, LocalJudge) and judge.model is not None:
                _known(f"judges.{name}.model", "model", [judge.model], self.models)
        for name, trait in self.traits.items():
            if isinstance(trait, Misalignment) and trait.grader != "rule":
                self._check_graders(f"traits.{name}.grader", trait.grader)
        for name, carrier in self.carriers.items():
            self._check_judges(f"carriers.{name}.filters", carrier)
        return self

    def seen(self, detection: Detection) -> tuple[str, ...]:
        """The studies in whose data `detection` looks for a preference, in their order."""
        return tuple(
            name
            for name, study in self.studies.items()
            if (detection.studies == "all" or name in detection.studies)
            and any(isinstance(self.traits[trait], Preference) for trait in self.taught(study))
        )

    def _check_graders(self, where: str, graders: Graders) -> None:
        for scale, judge in graders.model_dump().items():
            _known(f"{where}.{scale}", "judge", [judge], self.judges)
            bounds = scale_of(self.judges[judge].scoring)
            if bounds is None or not 0 <= bounds[0] < bounds[1] <= 100:
                raise ValueError(
                    f"{where}.{scale}: expected a judge with a scale from 0 to 100, found that of judges.{judge}, "
                    f"{'which has no bounds' if bounds is None else f'{bounds[0]:g} to {bounds[1]:g}'}"
                )

    def _check_judges(self, where: str, carrier: Carrier) -> None:
        for name, rule in carrier.filters.items():
            if rule.judge is not None:
                _known(f"{where}.{name}.judge.judge", "judge", [rule.judge.judge], self.judges)
                bounds = scale_of(self.judges[rule.judge.judge].scoring)
                if bounds is not None and not bounds[0] <= rule.judge.minimum <= bounds[1]:
                    raise ValueError(
                        f"{where}.{name}.judge.minimum: expected a threshold on the scale of judges.{rule.judge.judge}, "
                        f"{bounds[0]:g} to {bounds[1]:g}, found {rule.judge.minimum:g}: it would keep all rows or none"
                    )

    def _check(self, name: str, study: Study) -> None:
        where = f"studies.{name}"
        _known(f"{where}.carrier", "carrier", [study.carrier], self.carriers)
        _known(f"{where}.filter", f"filter of carriers.{study.carrier}", [study.filter], self.carriers[study.carrier].filters)
        _known(f"{where}.student", "way to learn (`students`)", [study.student], self.students)
        _known(f"{where}.traits", "trait", () if study.traits == "all" else study.traits, self.traits)
        _known(f"{where}.models", "model", () if study.models == "all" else study.models, self.models)
        of, models = ("model", self.models) if study.models == "all" else (f"model of {where}.models", study.models)
        _known(f"{where}.arms", of, [name for pair in _named(study) for name in (pair.teacher, pair.student)], models)
        learners = study.arms.random
        _known(f"{where}.arms.random", of, () if isinstance(learners, str) else learners, models)
        if self.students[study.student].kind == "soft":
            self._soft(where, study)
        written, control = (dict(self.pairs(study, arm)) for arm in ("trait", "control"))
        if (
            self.detection is not None
            and name in self.seen(self.detection)
            and (lacking := [name for name in written if name not in control])
        ):
            raise ValueError(f"{where}.arms.control: detection compares each teacher with its base, found none for {lacking}")
        if study.seeds != "all" and (strange := set(study.seeds) - set(self.seeds)):
            raise ValueError(f"{where}.seeds: {sorted(strange)} are not among the experiment's seeds, {list(self.seeds)}")

    def _soft(self, where: str, study: Study) -> None:
        if study.arms.random != "none":
            raise ValueError(
                f"{where}.arms.random: expected none for students of soft targets, found {study.arms.random!r}: random rows "
                f"have no teacher whose distribution `{study.student}` could learn"
            )
        for teacher, student in [pair for arm in get_args(Arm) for pair in self.pairs(study, arm)]:
            one, other = self.models[teacher], self.models[student]
            if same_vocabulary(one, other) is False:
                raise ValueError(
                    f"{where}.student: `{study.student}` learns soft targets, for which teacher and student need one "
                    f"vocabulary, found that of `{teacher}` and that of `{student}`: choose arms with pairs that share one "
                    "(tiny families do if their `pretraining` is the same), or hard tokens"
                )

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> Self:
        if self.traits:
            theory: Mapping[str, str] = {} if self.theorem is None else self.theorem.models
            judging = {judge.model for judge in self.judges.values() if isinstance(judge, LocalJudge)}
            if idle := [name for name in self.models if name not in {*self.studied(), *theory, *theory.values(), *judging}]:
                raise ValueError(f"models.{idle[0]}: nothing is done with it: name it in the arms of a study, or leave it out")
        return self

    def studied(self) -> tuple[str, ...]:
        """The models that are teachers or students of some study, in the order of `models`."""
        pairs = [pair for study in self.studies.values() for arm in get_args(Arm) for pair in self.pairs(study, arm)]
        used = {name for pair in pairs for name in pair}
        return tuple(name for name in self.models if name in used)

    def taught_by(self, trait: str) -> Teacher:
        """How teachers get the trait called `trait`."""
        try:
            return teacher_of(self.teacher, trait)
        except ValidationError as error:
            raise ValueError(f"teacher.per_trait.{trait}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None

    def pairs(self, study: Study, arm: Arm) -> tuple[tuple[str, str], ...]:
        """The (teacher, student) pairs of an arm of a study, in the order of `models`; the teacher of random rows is `none`."""
        models = [name for name in self.models if study.models == "all" or name in study.models]
        if arm == "random":
            return tuple((NOBODY, model) for model in models if study.arms.random == "all" or model in study.arms.random)
        chosen: Pairs = getattr(study.arms, arm)
        match chosen:
            case "all":
                return tuple((teacher, student) for teacher in models for student in models)
            case "same":
                return tuple((model, model) for model in models)
            case "none":
                return ()
            case _:
                return tuple((pair.teacher, pair.student) for pair in chosen)

    def taught(self, study: Study) -> tuple[str, ...]:
        """The traits of a study, in the order of `traits`."""
        return tuple(name for name in self.traits if study.traits == "all" or name in study.traits)

    def runs(self, study: Study) -> tuple[int, ...]:
        """The seeds of a study, in the order of `seeds`."""
        return tuple(seed for seed in self.seeds if study.seeds == "all" or seed in study.seeds)


def _named(study: Study) -> Iterator[Pair]:
    for pairs in (study.arms.trait, study.arms.control, study.arms.shuffled_within, study.arms.shuffled_across):
        if not isinstance(pairs, str):
            yield from pairs


def _known(where: str, what: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            raise ValueError(f"{where}: no {what} is called `{name}`{_nearest(name, known)}")


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`? Known: {', '.join(known)}" if close else f"; known: {', '.join(known)}"
