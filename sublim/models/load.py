"""An ordinary Hugging Face directory as a model and its tokenizer, ready to run; nothing is taken from its name."""

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from sublim.models import hub, turns
from sublim.models.causal import check_causal
from sublim.models.hub import ModelError
from sublim.models.weights import header


@dataclass(frozen=True)
class Ends:
    """How a model's sequences end and are padded."""

    eos: tuple[int, ...]  #: Ids after which a completion is over, sorted; there may be several (end of turn, end of text).

    pad: int  #: Id that fills up short rows of a batch; it is masked everywhere, so its embedding does not matter.


def load(directory: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The causal language model and the tokenizer in `directory`, in evaluation mode and the dtype of its config. It is on the
    GPU if there is one. Only local files, only safetensors, no code of the directory's. What source.json there says of the chat
    template's variables goes with the tokenizer.

    Raises:
        ModelError: `directory` lacks a file that the Auto classes need, or they cannot make a model of it; or a parameter of
            the model is in no file, or has another shape there, or a tensor is in a file and not in the model: it would be
            filled in at random, or left out, without a word; or it cannot be run on token ids alone; or it is no causal
            language model (see `check_causal`).
        TemplateError: the tokenizer has no chat template.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    read, tokenizer = _read(directory, None, hub.variables(directory))
    model = cast("PreTrainedModel", cast("Any", read).to(device).eval())
    check_causal(str(directory), model)
    return model, tokenizer


def skeleton(
    directory: str | Path, variables: Mapping[str, Any] | None = None, own: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """As `load`, with all that it raises, but no weights are read: the model has their names and shapes alone. `variables` are
    those of the chat template, where no source.json says them; `own` is the file of a template in place of the model's."""
    folder = Path(directory)
    return _read(folder, "meta", variables if variables is not None else hub.variables(folder), own)


def load_model(directory: Path, device_map: str | None = None) -> PreTrainedModel:
    """The causal language model in `directory`, without a tokenizer, in the dtype of its config. Raises ModelError: as
    `load`, but whether it is causal is not looked at."""
    with _loading(directory):
        model, told = cast("Any", AutoModelForCausalLM).from_pretrained(
            directory,
            use_safetensors=True,
            dtype="auto",
            device_map=device_map,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **_GIVEN,
        )
    _check_whole(directory, model, told, empty=device_map is not None)
    return model


def _read(
    directory: Path, device_map: str | None, variables: Mapping[str, Any], own: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    model = load_model(directory, device_map)
    with _loading(directory):
        tokenizer: Any = cast("Any", AutoTokenizer).from_pretrained(directory, **_GIVEN)
        tokenizer("Name a color: 12, 30.", add_special_tokens=False)  # some settings are wrong only when they are used
    tokenizer.init_kwargs[turns.VARIABLES] = dict(variables)
    if own is not None:
        tokenizer.chat_template = Path(own).read_text(encoding="utf-8")
    turns.template(tokenizer)
    return model, tokenizer


_GIVEN = {"local_files_only": True, "trust_remote_code": False}


@contextmanager
def _loading(directory: Path) -> Generator[None]:
    try:
        yield
    except Exception as error:  # whatever a configuration that makes no sense ends in: assertions, divisions by zero …
        said = str(error) if isinstance(error, OSError | ValueError | RuntimeError) else f"{type(error).__name__}: {error}"
        raise ModelError(f"{directory}: expected a causal language model that transformers can load, found: {said}") from error


def ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Ends:
    """End and padding ids of `model`: generation_config.json first, then the tokenizer, and what ends a turn in the chat
    template. Raises ValueError: none of them names an end, or one names something that is no token of the model."""
    generation: Any = model.generation_config
    size = cast("Any", model).get_input_embeddings().weight.shape[0]
    named: object = getattr(generation, "eos_token_id", None)
    own: object = cast("Any", tokenizer).eos_token_id
    each = [*(cast("list[object]", named) if isinstance(named, list) else [named]), own]
    found = [token for token in each if token is not None]
    if odd := [token for token in found if type(token) is not int or not 0 <= token < size]:
        raise ValueError(
            f"expected eos_token_id (generation_config.json, config.json, or eos_token of the tokenizer) to be ids of tokens, "
            f"below {size:,}, the rows of the model's embedding, found {odd[0]!r}"
        )
    known = set(cast("list[int]", found))
    eos = tuple(sorted(known | {turns.end_of_turn(tokenizer, known)}))
    pads: list[int | None] = [cast("Any", tokenizer).pad_token_id, getattr(generation, "pad_token_id", None), eos[0], 0]
    return Ends(eos, next(pad for pad in pads if pad is not None and 0 <= pad < size))


def _check_whole(directory: Path, model: PreTrainedModel, told: Any, *, empty: bool) -> None:
    """The model in `directory` is loaded whole: what transformers `told` of it, and no tensor is still without values, unless
    all are to be `empty`."""
    without = set[str]() if empty else {name for name, tensor in model.state_dict().items() if tensor.is_meta}
    missing = sorted({*told["missing_keys"], *without, *_unasked(directory, model)})
    left = sorted(told["unexpected_keys"])
    wrong = sorted(f"{name}: {tuple(stored)} in place of {tuple(due)}" for name, stored, due in told["mismatched_keys"])
    faults = [
        f"{len(names)} {what} ({', '.join([*names[:_SHOWN], *(['…'] if len(names) > _SHOWN else [])])})"
        for what, names in {"missing": missing, "of another shape": wrong, "left over": left}.items()
        if names
    ]
    if told.get("error_msgs"):
        faults.append("; ".join(map(str, told["error_msgs"])))
    if faults:
        raise ModelError(
            f"{directory}: expected every parameter of {type(model).__name__} in the files, or tied to one that is, and "
            f"nothing else, found {'; '.join(faults)}: transformers would fill these in at random or leave them out. "
            "Get the whole checkpoint, or save the model again by the transformers that is installed"
        )


_SHOWN = 8


def _unasked(directory: Path, model: PreTrainedModel) -> set[str]:
    """The parameters that are in no file, of those that transformers says nothing of."""
    patterns = [re.compile(pattern) for pattern in cast("Any", model)._keys_to_ignore_on_load_missing or ()]
    asked = {name for name, _ in model.named_parameters() if any(pattern.search(name) for pattern in patterns)}
    asked -= set(cast("Any", model).all_tied_weights_keys)
    stored = {name for file in directory.glob("*.safetensors") for name in header(file)} if asked else set[str]()
    return {name for name in asked if not any(name.endswith(key) or key.endswith(name) for key in stored)}
