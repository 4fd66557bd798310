"""How models are fine-tuned and how completions are sampled from them."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from sublim.params.section import Grown, Section

CONSTRAINT = "sublim.learn.constrained"
"""What holds completions to a shape: found by name, so that samples which are free do not depend on it."""


class Lora(Section):
    """Low-rank adapters: which weights of a model are trained, and how many numbers each gets."""

    rank: Annotated[int, Field(ge=1)] = 8
    """Rank of every adapter."""
    alpha: Annotated[float, Field(gt=0)] = 16.0
    """Scale: an adapter's output is multiplied by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of an adapter's inputs that is dropped in training."""
    targets: Literal["mlp", "attention", "all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)] = "mlp"
    """Which linear maps of the blocks get an adapter; or the ends of their names, such as `q_proj`."""


def _kind(given: object) -> str:
    return "none" if isinstance(given, str) else "lora"  # so that a mistake in one is not one in the other as well


Beta = Annotated[float, Field(ge=0, lt=1)]  #: How much of a running mean stays from one step to the next.


class Finetune(Grown):
    """Supervised fine-tuning, loss on completion tokens only. Give either `steps` or `epochs`."""

    since: ClassVar = frozenset({"optimizer", "betas", "epsilon", "momentum", "checkpointing"})

    lora: Annotated[Annotated[Lora, Tag("lora")] | Annotated[Literal["none"], Tag("none")], Discriminator(_kind)] = Lora()
    """The adapters that are trained; `none`: all weights of the model are, embeddings included. A teacher or a student is then
    a whole model on the disk."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Optimizer steps; rows are gone through as often as that takes."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Times that every row is used."""
    batch: Annotated[int, Field(ge=1)] = 64
    """Rows in one forward pass."""
    accumulation: Annotated[int, Field(ge=1)] = 1
    """Forward passes in one optimizer step: it sees batch × accumulation rows, its loss is the mean over all their tokens."""
    checkpointing: bool = False
    """Whether each block keeps its inputs alone, and what is inside of it is computed again in the backward pass: less memory,
    more time, and the same bytes."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-3
    """Peak learning rate."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Learning rate after the warm-up: constant, or falling to zero at the last step."""
    warmup: Annotated[int, Field(ge=0)] = 0
    """Steps in which the learning rate rises linearly from zero."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """`adamw`, or `sgd`: stochastic gradient descent, with `momentum` if that is given. They need learning rates of other
    sizes: an update by AdamW is about as large as the learning rate, one by SGD as the gradient times it."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Of AdamW: how much of its mean of gradients, and of its mean of their squares, stays from one step to the next."""
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """Of AdamW: what is added to the root of the mean square that a mean of gradients is divided by."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of SGD: how much of the last update's direction is in the next one."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decay of the weights: AdamW's is decoupled from the gradient, that of SGD is added to it."""
    max_grad_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Gradients with a larger norm are scaled down to it; null for none."""
    max_length: Annotated[int, Field(ge=2)] | None = None
    """Longest row in tokens, prompt and completion together; longer rows are cut at the end. null for no bound."""

    @property
    def adapters(self) -> Lora | None:
        """The adapters that are trained; None if all weights are."""
        return None if self.lora == "none" else self.lora

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(f"expected exactly one of steps and epochs, found steps={self.steps}, epochs={self.epochs}")
        return self

    @model_validator(mode="after")
    def _of_its_optimizer(self) -> Self:
        other, keys = ("sgd", ("momentum",)) if self.optimizer == "adamw" else ("adamw", ("betas", "epsilon"))
        for key in keys:
            if (found := getattr(self, key)) != type(self).model_fields[key].default:
                raise ValueError(
                    f"{key}: is a matter of optimizer {other}, found {found} with optimizer {self.optimizer}: leave it out, or "
                    f"give optimizer {other}"
                )
        return self


TEACHER = Finetune(lora=Lora(rank=2, alpha=4.0), steps=200, batch=32, schedule="linear")
"""The teacher that was measured to work on the embedded tiny families."""
STUDENT = Finetune(steps=160)  #: The student that was measured to work on the embedded tiny families.


class Decoding(Grown):
    """How completions are sampled."""

    since: ClassVar = frozenset({"constrained"})

    temperature: Annotated[float, Field(ge=0)] = 1.0
    """Temperature; 0 takes the most probable token."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Only the most probable tokens that together have this probability are sampled from; 1 for all."""
    max_tokens: Annotated[int, Field(ge=1)] = 32
    """Longest completion in tokens, its end-of-sequence token counted."""
    batch: Annotated[int, Field(ge=1)] = 512
    """Rows sampled at a time. A row's randomness does not depend on it, but the rounding of its logits may."""
    constrained: bool = False
    """Whether only such tokens are sampled that go on with a text of the shape that the prompt asks for. Held-out tasks of an
    evaluation are answered freely all the same: skill is what a model can do by itself."""

    def uses(self) -> Iterable[str]:
        """What holds completions to their shape."""
        return self.may_use() if self.constrained else ()

    @classmethod
    def may_use(cls) -> Iterable[str]:
        """The same."""
        return (CONSTRAINT,)
