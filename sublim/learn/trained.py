"""What training changes of a base, and what is kept of it: adapters in peft's layout, or, where all weights are trained, an
ordinary Hugging Face model. This module alone tells the two apart; whoever reads a teacher or a student asks it."""

from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from sublim.learn import lora
from sublim.models import adapter, hub
from sublim.models.load import load_model
from sublim.params.learning import Finetune

Trainee = PeftModel | PreTrainedModel  #: A base with adapters, or one whose own weights are trained.

_ROUNDED: "WeakKeyDictionary[PreTrainedModel, dict[str, torch.dtype]]" = WeakKeyDictionary()
"""Model → the types of those of its tensors that are trained in float32, though they are stored in fewer digits."""


def prepare(model: PreTrainedModel, recipe: Finetune, seed: int) -> Trainee:
    """`model`, changed in place, ready to be trained by `recipe`: with fresh adapters that follow from `seed` alone, or with
    all of its weights to be trained. Weights of half precision are then trained in float32, since updates are smaller than the
    last of their few digits. Raises ValueError: as `lora.adapt`."""
    if recipe.adapters is not None:
        return lora.adapt(model, recipe.adapters, seed)
    rounded = {name: tensor.dtype for name, tensor in _floats(model).items() if tensor.dtype.itemsize < 4}
    for name, tensor in _floats(model).items():
        if name in rounded:
            tensor.data = tensor.data.float()
    for weight in model.parameters():
        weight.requires_grad_(weight.is_floating_point())
    _ROUNDED[model] = rounded
    return model


def save(trained: Trainee, base: str, directory: Path) -> None:
    """Write what training has changed to `directory`; the same weights give the same bytes. Adapters as `lora.save` does, with
    `base` put down as their base model; all weights as transformers does, in the types that they came in."""
    if isinstance(trained, PeftModel):
        lora.save(trained, base, directory)
        return
    rounded = _ROUNDED.get(trained, {})
    for name, tensor in _floats(trained).items():
        if name in rounded:
            tensor.data = tensor.data.to(rounded[name])
    own: Any = trained.generation_config
    if own is not None:  # with its other settings, which nothing here reads, some models cannot be saved
        ends = {name: getattr(own, name, None) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        trained.generation_config = GenerationConfig(**ends)
    cast("Any", trained).save_pretrained(directory, max_shard_size="1TB")


def probe(trained: Trainee, updates: int, directory: Path) -> None:
    """Write the weights that are trained, as they are after so many updates, to their file in `directory`; training may go on.
    Of a whole model they are written by the names that they have in it."""
    if isinstance(trained, PeftModel):
        state = lora.weights(trained)
    else:
        rounded = _ROUNDED.get(trained, {})
        state = {
            name: tensor.detach().to("cpu", rounded.get(name, tensor.dtype)).contiguous()
            for name, tensor in sorted(_stored(trained).items())
        }
    save_file(state, directory / adapter.probe(updates), metadata={"format": "pt"})


def is_in(directory: Path) -> bool:
    """Whether `directory` holds weights that training has changed."""
    return any((directory / name).is_file() for name in (adapter.WEIGHTS, hub.WEIGHTS))


def file(directory: Path) -> Path:
    """The file of these weights in `directory`. Raises ValueError: there is none, or there are two."""
    found = [directory / name for name in (adapter.WEIGHTS, hub.WEIGHTS) if (directory / name).is_file()]
    if len(found) != 1:
        said = " and ".join(path.name for path in found) or "neither"
        raise ValueError(f"{directory}: expected either {adapter.WEIGHTS} or {hub.WEIGHTS}, found {said}")
    return found[0]


def attach(model: PreTrainedModel, directory: Path, updates: int | None = None) -> PreTrainedModel:
    """`model`, a base, which is changed in place, with what `save` wrote of its training to `directory`; with `updates` as it
    was after so many of them, which `probe` wrote. Raises ValueError: it is of another base (see `lora.attach`), or its weights
    do not have the names, shapes and types of this one's. ModelError: it is no whole model (see `load_model`)."""
    if file(directory).name == adapter.WEIGHTS:
        return lora.attach(model, directory, adapter.WEIGHTS if updates is None else adapter.probe(updates))
    own = cast("dict[str, Tensor]", model.state_dict())
    if updates is None:
        given = cast("dict[str, Tensor]", load_model(directory).state_dict())
    else:
        own, given = _stored(model), load_file(directory / adapter.probe(updates))
    forms = [{name: (tuple(tensor.shape), tensor.dtype) for name, tensor in each.items()} for each in (own, given)]
    if odd := sorted(name for name in forms[0].keys() | forms[1].keys() if forms[0].get(name) != forms[1].get(name)):
        said = [_form(form.get(odd[0])) for form in forms]
        raise ValueError(
            f"{directory}: expected the weights of {type(model).__name__} as its base has them, {odd[0]} {said[0]}, found "
            f"{said[1]}, {len(odd)} such in all: it is of another base"
        )
    with torch.no_grad():
        for name, tensor in given.items():
            own[name].copy_(tensor)
    return model.eval()


def base_of(trained: Trainee) -> PreTrainedModel:
    """The model itself, without what peft puts around it."""
    return cast("PreTrainedModel", trained.get_base_model()) if isinstance(trained, PeftModel) else trained


def _floats(model: PreTrainedModel) -> dict[str, Tensor]:
    """Its parameters and buffers that are no whole numbers; a tied one once."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor for name, tensor in named if tensor.is_floating_point()}


def _stored(model: PreTrainedModel) -> dict[str, Tensor]:
    """Those of them that are kept with a model: some buffers are computed when it is loaded."""
    kept = model.state_dict().keys()
    return {name: tensor for name, tensor in _floats(model).items() if name in kept}


def _form(found: tuple[tuple[int, ...], torch.dtype] | None) -> str:
    return "nothing" if found is None else f"of shape {found[0]} and type {str(found[1]).removeprefix('torch.')}"
