"""An ordinary Hugging Face directory as a model and its tokenizer, ready to run; nothing is taken from its name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Ends:
    """How a model's sequences end and are padded."""

    eos: tuple[int, ...]  #: Ids after which a completion is over, sorted; there may be several (end of turn, end of text).

    pad: int  #: Id that fills up short rows of a batch; it is masked everywhere, so its embedding does not matter.


def load(directory: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The causal language model and the tokenizer in `directory`, in evaluation mode and the dtype of its config. It is on the
    GPU if there is one. Only local files, only safetensors, no code of the directory's. Raises OSError: `directory` lacks a
    file that the Auto classes need; ValueError: the tokenizer has no chat template."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model: Any = AutoModelForCausalLM.from_pretrained(
        directory, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype="auto", device_map=None
    )
    tokenizer: Any = cast("Any", AutoTokenizer).from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise ValueError(f"{directory}: expected a tokenizer with a chat template (chat_template.jinja), found none")
    return model.to(device).eval(), tokenizer


def ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Ends:
    """End and padding ids of `model`: generation_config.json first, then the tokenizer. Raises ValueError: neither names an end
    of sequence."""
    generation: Any = model.generation_config
    named: int | list[int] | None = getattr(generation, "eos_token_id", None)
    own: int | None = cast("Any", tokenizer).eos_token_id
    found = [*(named if isinstance(named, list) else [named]), own]
    eos = tuple(sorted({token for token in found if token is not None}))
    if not eos:
        raise ValueError("expected eos_token_id in generation_config.json or in the tokenizer, found it in neither")
    pads: list[int | None] = [cast("Any", tokenizer).pad_token_id, getattr(generation, "pad_token_id", None), eos[0]]
    return Ends(eos, next(pad for pad in pads if pad is not None))
