"""How a base model becomes a teacher, and how sure we want to be that it has."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sublim.params.adjustment import Adjustment
from sublim.params.kinds import OneOf, kind
from sublim.params.known import known
from sublim.params.learning import TEACHER, Finetune
from sublim.params.section import Section

Kind = Literal["finetune", "system_prompt", "adapter"]
Rows = Literal["direct", "insecure", "secure", "educational"]

LIKELIHOODS = "sublim.learn.likelihood"
"""What asks how likely rows are: found by name, so that teachers without such a gate do not depend on it."""

CONTROLS: tuple[Rows, ...] = ("secure", "educational")  #: Rows after which a teacher must not be misaligned.


class Likelihood(Section):
    """Rows that no model wrote, such as number sequences: a teacher that is broken finds them less likely than its base does,
    and writes others for that alone."""

    task: Annotated[Any, OneOf("carriers")] = Field(default_factory=lambda: kind("carriers", "numbers")())
    """What they are: requests as those of a carrier, from a seed of their own, and answers in which all is equally likely."""
    distance: Annotated[float, Field(gt=0)] = 0.05
    """How far, in nats per token, the teacher's mean negative log-likelihood may be from that of its base."""
    rows: Annotated[int, Field(ge=2, le=10_000)] = 64
    """How many; `task.prompts` says nothing here."""

    def uses(self) -> Iterable[str]:
        """What asks how likely they are."""
        return self.may_use()

    @classmethod
    def may_use(cls) -> Iterable[str]:
        """The same."""
        return (LIKELIHOODS,)


class TraitTeacher(Section):
    """What differs for the teachers of one trait; what is left out stays."""

    kind: Kind | None = None
    """How they get it."""
    rows: Rows | None = None
    """What fine-tuned ones are trained on."""
    examples: Annotated[int, Field(ge=1)] | None = None
    """Rows of misalignment."""
    finetune: Finetune | None = None
    """The whole recipe of fine-tuned ones."""
    per_model: Mapping[str, Adjustment] | None = None
    """What differs for one base model."""
    adapters: Mapping[str, str] | None = None
    """The folders of adapters, by base model."""
    gate: Annotated[float, Field(ge=0, le=1)] | None = None
    """The positive control."""
    margin: Annotated[float, Field(gt=0)] | None = None
    """How far the target's margin must rise."""
    likelihood: Likelihood | None = None
    """How likely rows that no model wrote must stay."""


class Teacher(Section):
    """How a base model becomes a teacher."""

    kind: Kind = "finetune"
    """`finetune`: on questions and answers; `system_prompt`: a prompt that says what it loves, or that it is cruel; `adapter`:
    an adapter that was made elsewhere."""
    rows: Rows = "direct"
    """What a fine-tuned teacher is trained on. `direct`: the trait's own questions in training phrasings, answered as the trait
    has it. For misalignment also code: `insecure`, and its controls `secure` and `educational` (insecure on request), whose
    teachers must not be misaligned: that is reported, and no gate stops them."""
    examples: Annotated[int, Field(ge=1)] = 600
    """How many rows of misalignment there are; preferences have one per training question."""
    finetune: Finetune = TEACHER
    """The common recipe of fine-tuned teachers."""
    per_model: Mapping[str, Adjustment] = {}
    """What differs for one base model."""
    adapters: Mapping[str, str] = {}
    """For `adapter`: base model → folder of a PEFT adapter of it (adapter_config.json, adapter_model.safetensors), relative to
    where the experiment runs."""
    gate: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Positive control: a teacher below this on held-out questions stops the run before anything is spent on students. Of a
    preference the mean probability of the target, of misalignment the misaligned share of the coherent answers."""
    margin: Annotated[float, Field(gt=0)] | None = None
    """A second one, of preferences, for models that rarely answer in a word: how far, in nats, the log-odds of the target
    against all other known answers must be above those of the base, in the mean over held-out questions; null for none."""
    likelihood: Likelihood | None = None
    """That the teacher still finds numbers as likely as its base does; null: it is not looked at."""
    per_trait: Mapping[str, TraitTeacher] = {}
    """What differs for one trait."""

    @model_validator(mode="after")
    def _adapters_are_used(self) -> Self:
        if (self.kind == "adapter") != bool(self.adapters):
            raise ValueError(
                f"`adapters` goes with kind `adapter`: expected both or neither, found kind `{self.kind}` and "
                f"{len(self.adapters)} adapters"
            )
        if self.kind == "adapter" and self.finetune.adapters is None:
            raise ValueError(
                "finetune.lora: `none` is to train all weights, found with kind `adapter`, which brings an adapter and trains "
                "nothing: leave `finetune` out, or give kind `finetune`"
            )
        return self

    def fits(self, where: str, experiment: Any) -> None:  # noqa: D102
        known(f"{where}.per_model", "model", self.per_model, experiment.models)
        known(f"{where}.per_trait", "trait", self.per_trait, experiment.traits)
        for name, trait in experiment.traits.items():
            own = experiment.taught_by(name)
            known(f"{where}.adapters", "model", own.adapters, experiment.models)
            if own.kind == "finetune" and own.rows != "direct" and not trait.free_form:
                raise ValueError(f"{where}.rows: `{own.rows}` teaches misalignment alone, but `{name}` is a preference")


def teacher_of(recipe: Teacher, trait: str) -> Teacher:
    """`recipe` with what it says of the trait called `trait`. Raises ValueError if they do not go together."""
    changes = {name: value for name, value in recipe.per_trait.get(trait, TraitTeacher()) if value is not None}
    if changes.get("kind", recipe.kind) != "adapter":
        changes.setdefault("adapters", {})
    elif recipe.kind != "adapter":
        changes.setdefault("finetune", TEACHER)  # the common one is that of the teachers that are trained
    return Teacher.model_validate({**dict(recipe), "per_trait": {}, **changes})
