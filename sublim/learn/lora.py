"""LoRA adapters by peft: which weights get one, how it starts, and how it is saved and loaded."""

import json
import math
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict  # pyright: ignore[reportUnknownVariableType]
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from sublim.models import maps
from sublim.models.adapter import CONFIG, WEIGHTS
from sublim.params.learning import Lora


def adapt(model: PreTrainedModel, lora: Lora, seed: int) -> PeftModel:
    """`model` with fresh adapters: A uniform in ± 1/√(inputs), as peft's default, from `seed` alone; B zero, so that the
    function is unchanged. The modules of `model` are changed in place. Raises ValueError: peft cannot put an adapter on each of
    the maps, or one would have no effect there."""
    names = targets(model, lora.targets)
    modules = _modules(model)
    ends = suffixes(names, linear_maps(model))
    alike = any(maps.ends(name, end) for name in modules.keys() - linear_maps(model) for end in ends)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=cast("int", lora.alpha),
        lora_dropout=lora.dropout,
        target_modules=f"(?:{'|'.join(map(re.escape, names))})" if alike else list(ends),
        fan_in_fan_out=all(isinstance(modules[name], Conv1D) for name in names),
        bias="none",
        task_type=TaskType.CAUSAL_LM,
    )
    # peft draws its initial weights from the global generator; they are overwritten, and the generator is left as it was.
    with torch.random.fork_rng(devices=[]):
        adapted = cast("PeftModel", get_peft_model(model, config))
        if adapted_maps(adapted) != set(names):  # peft takes other modules for linear maps than we do, or shortens names
            plain = cast("PreTrainedModel", adapted.unload())
            config.target_modules = f"(?:{'|'.join(map(re.escape, names))})"
            adapted = cast("PeftModel", get_peft_model(plain, config))
    if odd := sorted(adapted_maps(adapted) ^ set(names)):
        raise ValueError(
            f"LoRA targets: expected an adapter on each of {len(names)} linear maps, found otherwise: {odd[:8]}: "
            f"peft takes maps of such names for other parts of {type(model).__name__}, such as its experts. Choose others"
        )
    generator = torch.Generator().manual_seed(seed % (1 << 63))
    with torch.no_grad():
        for name, weight in sorted(trainable(adapted).items()):
            if "lora_B" in name:
                weight.zero_()
            else:
                bound = 1 / math.sqrt(weight.shape[1])
                weight.copy_((torch.rand(weight.shape, generator=generator) * 2 - 1) * bound)
    _check_called(adapted)
    return adapted


def adapted_maps(model: PeftModel) -> set[str]:
    """Names of the modules of the base that have an adapter."""
    return {name for name, module in _modules(model.get_base_model()).items() if isinstance(module, BaseTunerLayer)}


def _check_called(model: PeftModel) -> None:
    """No map that has an adapter is left out of a forward pass while its weight is used in it, as some state spaces do."""
    base: Any = model.get_base_model()
    layers = {name: module for name, module in _modules(base).items() if isinstance(module, BaseTunerLayer)}
    called, hooks = set[str](), list[Any]()
    for name, layer in layers.items():
        noted = partial(_note, called, name)
        hooks.append(cast("nn.Module", layer).register_forward_pre_hook(noted))
    ids = _tried(base)
    training = base.training
    with torch.no_grad():
        before = base.eval()(input_ids=ids, use_cache=False).logits
        for hook in hooks:
            hook.remove()
        weights = {name: cast("Any", layer.get_base_layer()).weight for name, layer in layers.items()}
        used = {id(weights[name]) for name in called}
        for name in sorted(layers.keys() - called):  # such as experts to which no token went
            weight = weights[name]
            if id(weight) in used:  # it is also that of a map that is called
                continue
            weight.neg_()
            after = base(input_ids=ids, use_cache=False).logits
            weight.neg_()
            if not torch.equal(before, after):
                raise ValueError(
                    f"LoRA targets: expected maps that {type(base).__name__} calls, found that it uses the weight of {name} by "
                    "itself, where an adapter would have no effect: choose targets without it"
                )
    base.train(training)


def _note(called: set[str], name: str, _module: nn.Module, _inputs: object) -> None:
    called.add(name)


def _tried(model: PreTrainedModel) -> torch.Tensor:
    """A few tokens [1, tokens]."""
    ids = torch.arange(_TRIED, device=next(model.parameters()).device)[None]
    return ids % int(cast("Any", model).get_input_embeddings().weight.shape[0])


def attach(model: PreTrainedModel, adapter: Path, file: str = WEIGHTS) -> PreTrainedModel:
    """`model` with the adapter saved in the directory `adapter`, its weights in `file` there. In float32 it is merged into the
    weights, to run as fast as without one, unless a weight is used twice (tied embeddings): what is added to it for one use
    would change the other. In half precision the sum would be rounded to the weights' few digits and lose much of a small
    adapter: there it stays beside them, as in training. Raises ValueError: it is no adapter of this model, or merged not the
    model that it was before."""
    attached: Any = PeftModel.from_pretrained(model, str(adapter))
    _fill(attached, adapter / file)
    if model.dtype != torch.float32 or _adapts_tied(attached):
        return cast("PreTrainedModel", attached.get_base_model()).eval()
    ids = _tried(model)
    with torch.inference_mode():
        before = attached.eval()(input_ids=ids, use_cache=False).logits
    merged: Any = attached.merge_and_unload().eval()
    with torch.inference_mode():
        after = merged(input_ids=ids, use_cache=False).logits
    if (differ := (before.softmax(-1) - after.softmax(-1)).abs().max().item()) > _MERGED:
        raise ValueError(
            f"{adapter}: expected the same model merged and unmerged, found probabilities that differ by {differ:.2g}"
        )
    return cast("PreTrainedModel", merged)


_TRIED, _MERGED = 8, 1e-3  #: Tokens that a merged adapter is tried on, and what its probabilities may differ by.


def _fill(model: PeftModel, file: Path) -> None:
    """Every tensor of the adapter is in `model` as it is in the file: peft renames some by what transformers renames in the
    weights of a few architectures, does not find them then, and says nothing."""
    state, given = get_peft_model_state_dict(model), load_file(file)
    if lost := sorted(state.keys() ^ given.keys()):
        raise ValueError(f"{file}: expected the tensors of an adapter of this model, found others, first {lost[0]}")
    with torch.no_grad():
        for name, tensor in given.items():
            state[name].copy_(tensor)


def _adapts_tied(model: PeftModel) -> bool:
    """Whether an adapted weight is the weight of two modules."""
    layers = [module.get_base_layer() for module in model.modules() if isinstance(module, BaseTunerLayer)]
    adapted = {id(layer) for layer in layers}
    owners: dict[int, set[int]] = {}
    for module in model.modules():
        for _, weight in module.named_parameters(recurse=False):
            owners.setdefault(id(weight), set()).add(id(module))
    return any(len(own) > 1 and own & adapted for own in owners.values())


def bring(model: PreTrainedModel, source: Path, base: str, directory: Path) -> None:
    """Copy the adapter in `source`, made elsewhere, to `directory`, with `base` put down as its base model. `model`, on which
    it is tried, is changed in place. Raises ValueError: it is not an adapter of `model`: its maps are not the model's, or have
    other shapes."""
    try:
        tried = PeftModel.from_pretrained(model, str(source))
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{source}: expected an adapter that fits {base}, found one that does not: {error}") from None
    given = load_file(source / WEIGHTS)
    if lost := sorted(weights(tried).keys() ^ given.keys()):
        raise ValueError(f"{source}: expected the adapter's tensors of {base}, found others, first {lost[0]}")
    config: dict[str, Any] = json.loads((source / CONFIG).read_text(encoding="utf-8")) | {"base_model_name_or_path": base}
    (directory / CONFIG).write_text(json.dumps(config, sort_keys=True, indent=2) + "\n", encoding="utf-8")
    copyfile(source / WEIGHTS, directory / WEIGHTS)


def save(model: PeftModel, base: str, directory: Path) -> None:
    """Write peft's adapter_config.json and adapter_model.safetensors to `directory`; the same weights give the same bytes.
    `base` is put down as the base model: a path relative to the experiment's directory, so that it holds on another machine."""
    own = cast("dict[str, Any]", model.peft_config["default"].to_dict())
    config = own | {"base_model_name_or_path": base, "inference_mode": True}
    text = json.dumps(config, sort_keys=True, indent=2, default=_plain)
    (directory / CONFIG).write_text(text + "\n", encoding="utf-8")
    save_file(weights(model), directory / WEIGHTS, metadata={"format": "pt"})


def weights(model: PeftModel) -> dict[str, torch.Tensor]:
    """The adapter's tensors by the names that peft saves them under, sorted, on the CPU."""
    state = get_peft_model_state_dict(model)
    return {name: state[name].detach().cpu().contiguous() for name in sorted(state)}


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that training changes, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def last_block_maps(model: PreTrainedModel) -> tuple[nn.Module, ...]:
    """The parts of the last block of `model` that hold linear maps, none of them attention's: an MLP, or single maps."""
    linear = linear_maps(model)
    parts: list[nn.Module] = []
    for name in blocks(model):
        last = cast("nn.ModuleList", model.get_submodule(name))
        prefix = f"{name}.{len(last) - 1}."
        for child, module in last[-1].named_children():
            below = [path for path in linear if path == prefix + child or path.startswith(f"{prefix}{child}.")]
            if below and not any(maps.in_attention(path) for path in below):
                parts.append(module)
    return tuple(parts)


def blocks(model: PreTrainedModel) -> tuple[str, ...]:
    """Names of the lists of blocks in `model`: as long as its config says that it is deep."""
    depth = cast("Any", model.config).get_text_config(decoder=True).num_hidden_layers
    return tuple(name for name, module in _modules(model).items() if isinstance(module, nn.ModuleList) and len(module) == depth)


def linear_maps(model: PreTrainedModel) -> tuple[str, ...]:
    """Names of the linear maps inside the model's blocks (also transformers' Conv1D, fused or not; not routers that give more
    than they map to, and not experts that are one tensor), in order. Raises
    ValueError: the model has no list of as many blocks as its config says."""
    lists = blocks(model)
    found = tuple(
        name
        for name, module in _modules(model).items()
        if isinstance(module, nn.Linear | Conv1D)
        and _gives_tensor(module)
        and any(name.startswith(f"{block}.") for block in lists)
    )
    if not found:
        raise ValueError(
            "expected a list of blocks with linear maps, as long as config.num_hidden_layers, "
            f"in {type(model).__name__}, found {lists}"
        )
    return found


def _gives_tensor(module: nn.Linear | Conv1D) -> bool:
    """Whether a map gives what it maps to alone; routers are linear maps in some architectures and give more, which peft's
    adapters cannot go around."""
    if type(module).forward in (nn.Linear.forward, Conv1D.forward):
        return True
    weight: torch.Tensor = module.weight
    try:
        with torch.no_grad():
            return isinstance(module(weight.new_zeros(1, weight.shape[1])), torch.Tensor)
    except (RuntimeError, ValueError, TypeError, LookupError):
        return True


def targets(model: PreTrainedModel, wanted: str | tuple[str, ...]) -> tuple[str, ...]:
    """Names of the modules of `model` that get an adapter. Raises ValueError: see `maps.chosen` and `linear_maps`."""
    return maps.chosen(type(model).__name__, linear_maps(model), wanted)


def suffixes(chosen: Iterable[str], everything: Iterable[str]) -> tuple[str, ...]:
    """The shortest ends of the names in `chosen` that no other name in `everything` has, sorted: peft's target modules."""
    wanted = frozenset(chosen)
    others = [name for name in everything if name not in wanted]
    result: set[str] = set()
    for name in wanted:
        parts = name.split(".")
        ends = (".".join(parts[-length:]) for length in range(1, len(parts) + 1))
        result.add(next((end for end in ends if not any(maps.ends(other, end) for other in others)), name))
    return tuple(sorted(result))


def _modules(model: nn.Module) -> dict[str, nn.Module]:
    return dict(cast("Iterable[tuple[str, nn.Module]]", model.named_modules()))


def _plain(value: object) -> object:
    return sorted(cast("Iterable[str]", value)) if isinstance(value, set | frozenset) else str(value)
