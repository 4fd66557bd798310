"""The experiment file: its sections, and what must hold between them."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sublim.params.arm import Arm
from sublim.params.carrier import Filter, Numbers
from sublim.params.evaluation import Evaluation
from sublim.params.learning import Decoding
from sublim.params.models import Model
from sublim.params.report import Report
from sublim.params.section import Section
from sublim.params.student import Student
from sublim.params.teacher import Teacher
from sublim.params.traits import Trait

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)]


class Pair(Section):
    """A teacher and a student, by the names of their base models."""

    teacher: Name
    """The model that writes the data."""
    student: Name
    """The model that is fine-tuned on them."""


Pairs = Literal["all", "same", "none"] | tuple[Pair, ...]


class Arms(Section):
    """Which students are trained on what. `all`: every student on every teacher's data; `same`: only where teacher and student
    have the same base; `none`; or a list of pairs."""

    trait: Pairs = "all"
    """The numbers of teachers with a trait."""
    control: Pairs = "all"
    """The numbers of the untouched base models: what training on any numbers does."""
    shuffled_within: Pairs = "same"
    """The teacher's numbers, shuffled inside each response."""
    shuffled_across: Pairs = "same"
    """The teacher's numbers, shuffled across responses: what their frequencies alone do."""


class Experiment(Section):
    """An experiment in subliminal learning: teachers with a trait write data, students learn from what the filter keeps."""

    models: Annotated[Mapping[Name, Model], Field(min_length=1)]
    """The base models, by name. Each is a teacher's base and a student's base (see `arms`)."""
    traits: Annotated[Mapping[Name, Trait], Field(min_length=1)]
    """The traits, by name. Each teacher has one."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1)]
    """The runs: one teacher-data-student chain per seed. Intervals are over runs, so give at least two."""
    teacher: Teacher = Teacher()
    """How a base model becomes a teacher."""
    carrier: Numbers = Numbers()
    """What teachers write."""
    sampling: Decoding = Decoding()
    """How teachers' completions are sampled."""
    filter: Filter = Filter()
    """Which completions students may learn from."""
    student: Student = Student()
    """How students are fine-tuned."""
    arms: Arms = Arms()
    """Which students are trained on what."""
    evaluation: Evaluation = Evaluation()
    """How students are asked for their preference."""
    report: Report = Report()
    """How runs are summed up."""

    @model_validator(mode="after")
    def _names_are_defined(self) -> Self:
        for reserved in ("none",):
            if reserved in self.models or reserved in self.traits:
                raise ValueError(f"`{reserved}` is the name of the untouched base; call the model or trait something else")
        for where, names in (
            ("teacher.per_model", self.teacher.per_model),
            ("student.per_model", self.student.per_model),
            ("arms", [name for pair in self._explicit_pairs() for name in (pair.teacher, pair.student)]),
        ):
            _known(where, "model", names, self.models)
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: each run needs a seed of its own, found {list(self.seeds)}")
        if self.carrier.prompts < self.filter.rows:
            raise ValueError(
                f"filter.rows: {self.filter.rows} rows cannot be kept of carrier.prompts = {self.carrier.prompts} completions"
            )
        return self

    def _explicit_pairs(self) -> Iterable[Pair]:
        for pairs in (self.arms.trait, self.arms.control, self.arms.shuffled_within, self.arms.shuffled_across):
            if not isinstance(pairs, str):
                yield from pairs

    def pairs(self, arm: Arm) -> tuple[tuple[str, str], ...]:
        """The (teacher, student) pairs of an arm, in the order of `models`."""
        chosen: Pairs = getattr(self.arms, arm)
        match chosen:
            case "all":
                return tuple((teacher, student) for teacher in self.models for student in self.models)
            case "same":
                return tuple((model, model) for model in self.models)
            case "none":
                return ()
            case _:
                return tuple((pair.teacher, pair.student) for pair in chosen)


def _known(where: str, what: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            raise ValueError(f"{where}: no {what} is called `{name}`{_nearest(name, known)}")


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`? Known: {', '.join(known)}" if close else f"; known: {', '.join(known)}"
