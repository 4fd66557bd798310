"""Tiny random models of many architectures, as ordinary Hugging Face folders. A new family is one line of `AGREE` or `REFUSED`:
what it needs beside `SIZES`, which each gets as far as its configuration has such keys."""

import atexit
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from sublim.models.load import load
from sublim.models.tokenizer import END, PAD, wrap
from tests.shared.small_models import token, trained

Settings = Mapping[str, Any]

CONTEXT = 256
WINDOW = 20  #: Longer than the few tokens that `sublim.learn.prefill.way` tries, shorter than the prompts of the tests.
SIZES: Settings = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
    "intermediate_size": 64, "max_position_embeddings": CONTEXT, "sliding_window": WINDOW, "initializer_range": 0.3,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32, "first_k_dense_replace": 1,
}  # fmt: skip
SHORT: Settings = {"sliding_window": 8}  #: Found out when `way` tries a model.
ALTERNATING: Settings = {"layer_types": ["sliding_attention", "full_attention"]}
LATENT: Settings = {
    "kv_lora_rank": 16, "q_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16,
    "num_key_value_heads": 2, "n_group": 2, "topk_group": 1, "head_dim": 8,
}  # fmt: skip
SPARSE: Settings = {"mlp_layer_types": ["dense", "sparse"]}
MAMBA2: Settings = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_chunk_size": 8}
DELTA: Settings = {
    "linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}  # fmt: skip
HYBRID = ["linear_attention", "hybrid"] * 2
DECODER: Settings = {"is_decoder": True}
LONG: Settings = {
    "rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 32,
    "short_factor": [1.0] * 8, "long_factor": [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
}  # fmt: skip

AGREE: dict[str, Settings] = {
    # dense
    "llama": {},
    "mistral": {},
    "ministral": ALTERNATING,
    "ministral3": {},
    "qwen2": {**ALTERNATING, "use_sliding_window": True},
    "qwen3": {**ALTERNATING, "use_sliding_window": True},
    "gemma": {},
    "gemma2": {},
    "gemma3_text": ALTERNATING,
    "vaultgemma": {},
    "phi": {},
    "phi3": {},
    "olmo": {},
    "olmo2": {},
    "olmo3": ALTERNATING,
    "cohere": {"logit_scale": 1.0},
    "cohere2": {**ALTERNATING, "logit_scale": 1.0},
    "granite": {},
    "granite_swa": {},
    "starcoder2": {},
    "stablelm": {},
    "gpt2": {},
    "gpt_bigcode": {},
    "gpt_neo": {"num_layers": 2, "attention_types": [[["global", "local"], 1]], "window_size": WINDOW},
    "gpt_neox": {},
    "gpt_neox_japanese": {},
    "gptj": {"rotary_dim": 8},
    "codegen": {"rotary_dim": 8, "num_attention_heads": 4},
    "openai-gpt": {},
    "ctrl": {"dff": 64, "num_hidden_layers": 2},
    "bloom": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "xglm": {"ffn_dim": 64},
    "mpt": {"max_seq_len": CONTEXT},
    "falcon": {"ffn_hidden_size": 64},
    "persimmon": {},
    "biogpt": {},
    "smollm3": {"no_rope_layers": [1, 0]},
    "glm": {},
    "glm4": {},
    "exaone4": ALTERNATING,
    "helium": {},
    "nemotron": {},
    "nanochat": {},
    "seed_oss": {},
    "arcee": {},
    "apertus": {},
    "ernie4_5": {},
    "hunyuan_v1_dense": {},
    "hyperclovax": {},
    "jais2": {},
    "bitnet": {},
    "diffllama": {"num_key_value_heads": 2, "num_attention_heads": 4, "head_dim": 8},
    "cwm": {**ALTERNATING, "bos_token_id": 1},
    "gpt_neo:short": {"num_layers": 2, "attention_types": [[["global", "local"], 1]], "window_size": 8},
    "llama:linear": {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}},
    "falcon:alibi": {"ffn_hidden_size": 64, "alibi": True},
    "modernbert-decoder": {**ALTERNATING, "local_attention": WINDOW, "bos_token_id": 1},
    "minicpm3": {**LATENT, "dim_model_base": 32},
    "youtu": LATENT,
    "mistral:short": SHORT,
    "ministral:short": {**ALTERNATING, **SHORT},
    "gemma2:short": SHORT,
    "gemma3_text:short": {**ALTERNATING, **SHORT},
    "phi3:short": SHORT,
    "cohere2:short": {**ALTERNATING, **SHORT, "logit_scale": 1.0},
    "gpt_oss:short": SHORT,
    "olmo3:short": {**ALTERNATING, **SHORT},
    "doge": {},
    "beam": {},
    "flint": {},
    # encoders, as decoders
    "bert": DECODER,
    "roberta": DECODER,
    "electra": DECODER,
    "megatron-bert": DECODER,
    "roformer": DECODER,
    "rembert": {**DECODER, "input_embedding_size": 32, "output_embedding_size": 32},
    "bert-generation": DECODER,
    # experts
    "mixtral": {},
    "qwen2_moe": {},
    "qwen3_moe": {},
    "olmoe": {},
    "flex_olmo": {},
    "granitemoe": {},
    "granitemoeshared": {"shared_intermediate_size": 32},
    "granitemoe_swa": {},
    "deepseek_v2": {**LATENT, "moe_intermediate_size": 32},
    "deepseek_v3": LATENT,
    "glm4_moe_lite": {**LATENT, **SPARSE, "n_group": 1},
    "axk1": {**LATENT, **SPARSE},
    "phimoe": {},
    "gpt_oss": {},
    "dbrx": {
        "n_layers": 2, "d_model": 32, "n_heads": 2, "max_seq_len": CONTEXT,
        "attn_config": {"kv_n_heads": 1, "rope_theta": 1e4, "clip_qkv": 2.0},
        "ffn_config": {"hidden_size": 32, "ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "ernie4_5_moe": {},
    "glm4_moe": {},
    "exaone_moe": {**ALTERNATING, **SPARSE},
    "hunyuan_v1_moe": {},
    "dots1": {**ALTERNATING, "n_shared_experts": 1},
    "minimax_m2": {},
    "mimo_v2_flash": {},
    "llama4_text": {
        "attention_chunk_size": WINDOW, "intermediate_size_mlp": 64,
        "layer_types": ["chunked_attention", "full_attention"],
    },
    "jetmoe": {},
    "afmoe": {},
    "solar_open": {},
    "laguna": {},
    "hy_v3": {},
    "aria_text": {},
    "cohere2_moe": {"logit_scale": 1.0},
    # state spaces, recurrences, linear attention, and mixtures of them with attention
    "mamba": {"state_size": 8},
    "mamba2": {"num_heads": 4, "head_dim": 16, "n_groups": 2, "state_size": 8, "chunk_size": 8},
    "falcon_mamba": {"state_size": 8},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_dt_rank": 4},
    "bamba": {**MAMBA2, "attn_layer_indices": [1]},
    "granitemoehybrid": {**MAMBA2, "shared_intermediate_size": 32, "layer_types": ["linear_attention", "full_attention"]},
    "falcon_h1": {**MAMBA2, "mamba_d_ssm": 64},
    "nemotron_h": {
        "layers_block_type": ["linear_attention", "moe", "full_attention", "mlp"],
        "num_hidden_layers": 4, "mamba_num_heads": 4, "mamba_head_dim": 16, "n_groups": 2,
        "ssm_state_size": 8, "chunk_size": 8, "moe_shared_expert_intermediate_size": 32,
    },
    "recurrent_gemma": {"num_hidden_layers": 3, "attention_window_size": WINDOW, "lru_width": 32},
    "qwen3_next": DELTA,
    "qwen3_5_text": DELTA,
    "qwen3_5_moe_text": DELTA,
    "olmo_hybrid": DELTA,
    "minimax": {"layer_types": ["linear_attention", "full_attention"], "block_size": 8},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "rwkv": {"attention_hidden_size": 32, "context_length": CONTEXT},
    "xlstm": {"num_heads": 2, "chunk_size": 8},
    "zamba": {
        "layers_block_type": HYBRID, "num_hidden_layers": 4, "attention_hidden_size": 64, "attention_head_dim": 32,
        "mamba_dt_rank": 4, "mamba_d_state": 8,
    },
    "zamba2": {
        "layers_block_type": HYBRID, "num_hidden_layers": 4, "n_mamba_heads": 4, "mamba_d_state": 8, "chunk_size": 8,
        "adapter_rank": 8, "attention_head_dim": 32, "attention_hidden_size": 64,
    },
}  # fmt: skip
"""Name → what its configuration has beside `SIZES`. A name is a `model_type`, perhaps with what is special after a colon."""

EXPERTS = "an adapter on each of .* peft takes maps of such names for other parts of .*, such as its experts"
STATES = "Module 'out_proj' is incompatible with Mamba-based models"
ALL = "all-linear"
TARGETS: dict[str, tuple[str | tuple[str, ...], str]] = {
    **dict.fromkeys(
        (
            "deepseek_v2", "deepseek_v3", "glm4_moe_lite", "ernie4_5_moe", "glm4_moe", "exaone_moe", "hunyuan_v1_moe", "dots1",
            "solar_open", "qwen3_next",
        ),
        ("attention", EXPERTS),
    ),
    **dict.fromkeys(("afmoe", "beam"), (("q_proj", "v_proj", "o_proj"), EXPERTS)),
    **dict.fromkeys(("mamba", "falcon_mamba"), (("in_proj", "x_proj"), STATES)),
    "mamba2": (("in_proj",), STATES),
    "falcon_h1": (("in_proj", "q_proj", "down_proj"), STATES),
    "nemotron_h": (("in_proj", "q_proj", "down_proj"), STATES),
    "jamba": (("in_proj", "x_proj", "q_proj", "down_proj"), r"the weight of .*\.dt_proj by itself"),
}  # fmt: skip
"""Where not all linear maps can have an adapter: which are tried, and what the refusal of all says."""

LOST = {"laguna"}
"""Where peft itself, given a saved adapter, leaves tensors out without a word, as it looks for other names."""

REFUSED: dict[str, tuple[Settings, str]] = {
    **dict.fromkeys(
        (
            "bert:encoder", "roberta:encoder", "electra:encoder", "megatron-bert:encoder", "roformer:encoder", "camembert",
            "ernie", "data2vec-text", "xlm-roberta", "xlm",
        ),
        ({}, "expected a causal language model, in which no token sees what comes after it"),
    ),
    "dbrx:unclipped": (
        {
            "n_layers": 2, "d_model": 32, "n_heads": 2, "max_seq_len": CONTEXT,
            "attn_config": {"kv_n_heads": 1, "rope_theta": 1e4},
            "ffn_config": {"hidden_size": 32, "ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
        },
        "DbrxForCausalLM to make logits from token ids alone, found that it cannot: torch.clamp",
    ),
    "xmod": ({**DECODER}, "XmodForCausalLM to make logits from token ids alone, found that it cannot: Input language unknown"),
    "hrm_text": ({}, "expected a list of blocks with linear maps, as long as config.num_hidden_layers, in HrmTextForCausalLM"),
    "phi3:longrope": (
        {"rope_parameters": LONG, "original_max_position_embeddings": 32},
        r"row \d: expected at most 32 tokens, .* \(rope_type longrope\)",
    ),
    "llama:dynamic": (
        {"max_position_embeddings": 32, "rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}},
        r"row \d: expected at most 32 tokens, .* \(rope_type dynamic\)",
    ),
}  # fmt: skip
"""As `AGREE`, with what the refusal says (a regular expression)."""


@cache
def folder(name: str) -> Path:
    """The directory of a random model; do not write there."""
    settings = AGREE[name] if name in AGREE else REFUSED[name][0]
    directory = Path(mkdtemp(prefix=f"zoo-{name}-".replace(":", "-")))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    model = random(name.partition(":")[0], settings)
    ends = [token(END), *range(500, trained().get_vocab_size(), 10)]  # so many that random completions end early
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=token(PAD))
    cast("Any", model).save_pretrained(directory)
    cast("Any", wrap(trained(), CONTEXT)).save_pretrained(directory)
    return directory


def loaded(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A fresh copy of a random model, and its tokenizer."""
    return load(folder(name))


def random(architecture: str, settings: Settings) -> PreTrainedModel:
    """A model whose every weight is random and far from zero, also those that a new one has at zero or one."""
    auto = cast("Any", AutoConfig)
    default = auto.for_model(architecture)
    known: set[str] = {*default.to_dict(), *type(default).attribute_map}
    ids = {"bos_token_id": None, "eos_token_id": token(END), "pad_token_id": token(PAD)}
    sizes = {"vocab_size": trained().get_vocab_size(), **ids, **SIZES}
    config = auto.for_model(architecture, **{key: value for key, value in sizes.items() if key in known} | dict(settings))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sum(map(ord, architecture)))
        model: PreTrainedModel = cast("Any", AutoModelForCausalLM).from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.dim() < 2:
                    weight.add_(0.1 * torch.randn(weight.shape))
                elif weight.std() < 0.1:  # drawn small whatever the configuration says
                    weight.normal_(0, 0.3)
    return model
