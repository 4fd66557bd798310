"""The sections `mlp` and `theorem` of an experiment file: why traits are transmitted (paper, section 6)."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sublim.params.kinds import Of, kind
from sublim.params.known import known
from sublim.params.section import Section
from sublim.params.tiny import TinyModel

Seed = Annotated[int, Field(ge=0, lt=2**31)]
Imitation = Literal["squared_error", "cross_entropy"]
STUDENTS = ("student_aux", "student_all", "cross_aux", "cross_all")
"""Which logits a student imitates, and whether it has its teacher's init or that of another net."""
CONDITIONS = ("reference", "teacher", *STUDENTS)
"""The conditions of the experiment with digits, in the order of the paper's figure."""


class Net(Section):
    """A multilayer perceptron that reads 8 × 8 digits: 64 inputs, ReLU, ten class logits and some that no label speaks of."""

    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (256, 256)
    """The widths of the hidden layers."""
    auxiliary: Annotated[int, Field(ge=1)] = 3
    """How many logits there are beside the ten classes."""


class Mlp(Section):
    """The experiment with digits. A teacher learns the ten classes; students see noise only, and imitate the teacher's
    auxiliary logits or all of them, from the teacher's own init or from another net's."""

    net: Net = Net()
    """The net."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=2)] = tuple(range(1, 21))
    """The nets: a run with its own init, order of images and noise per seed. Each student of another init imitates the teacher
    of the seed that follows, the last one that of the first: no net is ever its own control."""
    test: Annotated[int, Field(ge=100, le=1_000)] = 360
    """How many of the 1,797 images are held out; accuracy is measured on them."""
    teacher_steps: Annotated[int, Field(ge=1)] = 500
    """Steps of each teacher, by cross-entropy on the ten class logits."""
    student_steps: Annotated[int, Field(ge=1)] = 2_000
    """Steps of each student, by KL divergence from its teacher, each on fresh noise."""
    batch: Annotated[int, Field(ge=1)] = 32
    """Images, or rows of noise, per step."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    """Adam's learning rate, of teachers and students."""
    noise: Annotated[float, Field(gt=0)] = 1.0
    """Noise is uniform in [−noise, noise]; the images' pixels are in [−1, 1]."""

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"mlp.seeds: each net needs a seed of its own, found {list(self.seeds)}")
        return self


class Sweep(Section):
    """Step sizes, evenly spaced on a logarithmic scale."""

    smallest: Annotated[float, Field(gt=0)] = 1e-5
    """The smallest step size."""
    largest: Annotated[float, Field(gt=0)] = 10.0
    """The largest step size."""
    number: Annotated[int, Field(ge=2, le=200)] = 13
    """How many there are, both ends included."""

    @model_validator(mode="after")
    def _is_an_interval(self) -> Self:
        if self.smallest >= self.largest:
            raise ValueError(f"theorem.step_sizes: expected smallest < largest, found {self.smallest:g} and {self.largest:g}")
        return self

    def sizes(self) -> list[float]:
        """The step sizes, smallest first."""
        ratio = self.largest / self.smallest
        return [self.smallest * ratio ** (place / (self.number - 1)) for place in range(self.number)]


class Theorem(Section):
    """Theorem 1, checked by numbers: a teacher takes one step of gradient descent on its loss, a student one step of the same
    size towards what the teacher now says on unrelated inputs. From the same init the student's step must not oppose the
    teacher's, and for small steps the teacher's loss must not rise."""

    net: Net | None = Net()
    """The net for digits; null leaves it out. Its teacher's loss is the cross-entropy of the ten classes, its student imitates
    the auxiliary logits on noise."""
    inits: Annotated[int, Field(ge=2)] = 10
    """How many nets there are. The student of another init has that of the net that follows."""
    models: Mapping[str, str] = {}
    """Tiny models of the experiment, each with another of the same architecture and pretraining, whose weights are the other
    init. The teacher's loss is −log P(target) on preference questions; the student imitates all logits on number prompts with
    random tokens behind them."""
    trait: Annotated[Any, Of("traits", "preference")] = Field(
        default_factory=lambda: kind("traits", "preference")(category="animals", target="owl")
    )
    """What the teachers of `models` step towards."""
    imitation: Annotated[tuple[Imitation, ...], Field(min_length=1)] = ("squared_error", "cross_entropy")
    """The losses by which students imitate."""
    step_sizes: Sweep = Sweep()
    """The sizes of the steps, of teacher and student alike."""
    draws: Annotated[int, Field(ge=1)] = 2
    """How often the inputs are drawn anew for each pair of inits."""
    rows: Annotated[int, Field(ge=1)] = 64
    """Rows of noise, and images of the teacher's loss, per draw."""
    prompts: Annotated[int, Field(ge=1)] = 8
    """Number prompts per draw."""
    tokens: Annotated[int, Field(ge=1)] = 8
    """Random tokens behind each prompt: where logits are imitated."""
    seed: Seed = 0
    """The seed of nets and inputs."""

    @model_validator(mode="after")
    def _has_a_subject(self) -> Self:
        if self.net is None and not self.models:
            raise ValueError("theorem.models: nothing to check: give `net` or some `models`")
        if len(set(self.imitation)) != len(self.imitation):
            raise ValueError(f"theorem.imitation: each loss once, found {list(self.imitation)}")
        return self

    def fits(self, where: str, experiment: Any) -> None:  # noqa: D102
        known(f"{where}.models", "model", (*self.models, *self.models.values()), experiment.models)
        for name, other in self.models.items():
            found = [experiment.models[each] for each in (name, other)]
            same = [each.model_copy(update={"seed": 0}) for each in found if isinstance(each, TinyModel)]
            if len(same) < 2 or same[0] != same[1] or found[0] == found[1]:
                raise ValueError(
                    f"{where}.models.{name}: expected tiny models that differ in their seed alone, found {name} and {other}"
                )
            if name == "mlp":
                raise ValueError(f"{where}.models.mlp: `mlp` is the name of the nets for digits; call the model something else")
