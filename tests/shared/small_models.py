"""Small random models in ordinary Hugging Face directories, made once per test process, and what tests do with them."""

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast

import torch
from peft import PeftModel
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from sublim.learn import lora
from sublim.learn.chat import Example, examples
from sublim.learn.finetune import Batch, padded
from sublim.models import tiny
from sublim.models.corpus import corpus, texts
from sublim.models.load import ends, load
from sublim.models.tokenizer import END, PAD, train, wrap
from sublim.params.learning import Lora
from sublim.params.tiny import Pretraining, TinyModel

torch.set_num_threads(1)

SMALL: dict[str, bool | int | float | str] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
CONFIGS: dict[str, dict[str, bool | int | float | str]] = {
    "gpt_neox": {**SMALL, "intermediate_size": 64},
    "gptj": {**SMALL, "rotary_dim": 8},
    "gpt2": SMALL,
    "llama": {**SMALL, "intermediate_size": 64, "num_key_value_heads": 1},
}
ARCHITECTURES = tuple(CONFIGS)
SOFTCAPPED: dict[str, bool | int | float | str] = {
    **SMALL, "intermediate_size": 64, "num_key_value_heads": 1, "head_dim": 16, "final_logit_softcapping": 1.0,
}  # fmt: skip


@cache
def trained() -> Tokenizer:
    return train(texts(corpus(Pretraining(rows=1_000))), 2304)


@cache
def small(architecture: str = "gpt_neox", tied: bool = True) -> Path:
    """The directory of a random model; do not write there."""
    directory = Path(mkdtemp(prefix=f"small-{architecture}-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    config = CONFIGS.get(architecture, SOFTCAPPED)
    params = TinyModel(kind="tiny", architecture=architecture, seed=1, config=config, init_std=0.3, tied=tied)
    model = tiny.initial(params, trained())
    model.generation_config = GenerationConfig(eos_token_id=token(END), pad_token_id=token(PAD))
    cast("Any", model).save_pretrained(directory)
    cast("Any", wrap(trained(), params.context)).save_pretrained(directory)
    return directory


MIXTURES: dict[str, dict[str, Any]] = {
    "mixtral": {"num_local_experts": 4},
    "qwen2_moe": {"num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16},
}


@cache
def mixture(architecture: str) -> Path:
    """The directory of a random mixture of experts; do not write there."""
    directory = Path(mkdtemp(prefix=f"small-{architecture}-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    sizes = {**SMALL, "intermediate_size": 64, "num_key_value_heads": 1, "vocab_size": trained().get_vocab_size()}
    config = cast("Any", AutoConfig).for_model(architecture, **sizes, **MIXTURES[architecture])
    model: Any = cast("Any", AutoModelForCausalLM).from_config(config, dtype=torch.float32)
    model.generation_config = GenerationConfig(eos_token_id=token(END), pad_token_id=token(PAD))
    model.save_pretrained(directory)
    cast("Any", wrap(trained(), 256)).save_pretrained(directory)
    return directory


def loaded(
    architecture: str = "gpt_neox", tied: bool = True, dtype: torch.dtype = torch.float32
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A fresh copy of a random model, and its tokenizer."""
    model, tokenizer = load(small(architecture, tied))
    return cast("PreTrainedModel", cast("Any", model).to(dtype)), tokenizer


def token(text: str) -> int:
    found = trained().token_to_id(text)
    assert found is not None
    return found


def number_rows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: int) -> tuple[Example, ...]:
    """Rows of several lengths to train on."""
    numbers = [", ".join(str(n * k % 1000) for k in range(1, 3 + n % 5)) for n in range(rows)]
    prompts = [f"Go on: {text}." for text in numbers]
    answers = [", ".join(reversed(text.split(", ")[: 1 + n % 3])) for n, text in enumerate(numbers)]
    return examples(tokenizer, ends(model, tokenizer).eos, [f"row{n}" for n in range(rows)], prompts, answers)


def logits(model: Any, ids: list[int]) -> torch.Tensor:
    """The plain forward pass on one sequence: [tokens, vocabulary]."""
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0]


def student(architecture: str = "gpt_neox", tied: bool = True, **recipe: Any) -> tuple[PeftModel, tuple[Example, ...]]:
    """A model with adapters of which none is zero, and rows for it."""
    model, tokenizer = loaded(architecture, tied)
    adapted = lora.adapt(model, Lora(**recipe), 1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in lora.trainable(adapted).values():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.05)
    return adapted, number_rows(model, tokenizer, 16)


def batch(rows: tuple[Example, ...]) -> Batch:
    """All `rows` in one batch."""
    return padded([(row.prompt, row.completion) for row in rows], 0, torch.device("cpu"))


def gradients(model: PeftModel, loss: Tensor) -> list[Tensor]:
    """Those of the adapters' weights."""
    return list(torch.autograd.grad(loss, list(lora.trainable(model).values())))
