"""What a model is: a tiny family that is pretrained here, a model made elsewhere, or one that comes of another model."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from sublim.params.derived import DerivedModel
from sublim.params.elsewhere import GgufModel, HubModel
from sublim.params.tiny import Pretraining, TinyModel

Model = Annotated[TinyModel | HubModel | GgufModel | DerivedModel, Field(discriminator="kind")]


def ancestors(models: Mapping[str, Model], name: str) -> tuple[str, ...]:
    """The models that `name` comes of, its parent first. `models` have been checked."""
    model = models[name]
    return (model.parent, *ancestors(models, model.parent)) if isinstance(model, DerivedModel) else ()


def root(models: Mapping[str, Model], name: str) -> TinyModel | HubModel | GgufModel:
    """What the model `name` comes of in the end: itself, if it is not derived."""
    found = models[(name, *ancestors(models, name))[-1]]
    assert not isinstance(found, DerivedModel)  # noqa: S101
    return found


def pretraining_of(models: Mapping[str, Model], name: str) -> Pretraining | None:
    """What is known of what the model `name` was pretrained on; None for one made elsewhere, and what comes of it."""
    found = root(models, name)
    return found.pretraining if isinstance(found, TinyModel) else None


def same_vocabulary(one: TinyModel | HubModel | GgufModel, other: TinyModel | HubModel | GgufModel) -> bool | None:
    """Whether both models, or what comes of them, have the same tokens, as far as their params tell; None if these do not."""
    if one == other:
        return True
    if isinstance(one, TinyModel) and isinstance(other, TinyModel):
        seen = ("rows", "corpus_seed", "mix", "vocabulary")
        return all(getattr(one.pretraining, name) == getattr(other.pretraining, name) for name in seen)
    return None if not isinstance(one, TinyModel) and not isinstance(other, TinyModel) else False
