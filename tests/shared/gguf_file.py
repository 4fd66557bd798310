"""A small Llama as a GGUF file, written by the format's own library."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase


def write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path, kind: str, *, template: bool = True) -> None:
    """Write `model`, a Llama, and its byte-level tokenizer to `path`. `kind`: the type of numbers of the matrices, such as F32
    or Q8_0. `template`: with its chat template."""
    library: Any = import_module("gguf")
    quants: Any = import_module("gguf.quants")
    gguf, config, state = library.GGUFWriter(path, "llama"), cast("Any", model.config), model.state_dict()
    gguf.add_context_length(config.max_position_embeddings)
    gguf.add_embedding_length(config.hidden_size)
    gguf.add_block_count(config.num_hidden_layers)
    gguf.add_feed_forward_length(config.intermediate_size)
    gguf.add_head_count(config.num_attention_heads)
    gguf.add_head_count_kv(config.num_key_value_heads)
    gguf.add_layer_norm_rms_eps(config.rms_norm_eps)
    gguf.add_rope_freq_base(config.rope_parameters["rope_theta"])
    gguf.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    gguf.add_vocab_size(config.vocab_size)
    own = cast("Any", tokenizer)
    words: list[tuple[str, int]] = sorted(own.get_vocab().items(), key=lambda each: each[1])
    types: Any = library.TokenType
    marks = set(own.all_special_ids) | set(own.added_tokens_decoder)
    gguf.add_tokenizer_model("gpt2")
    gguf.add_tokenizer_pre("default")
    gguf.add_token_list([word for word, _ in words])
    gguf.add_token_types([types.CONTROL if number in marks else types.NORMAL for _, number in words])
    gguf.add_token_merges(_merges(own))
    gguf.add_eos_token_id(own.eos_token_id)
    gguf.add_bos_token_id(own.eos_token_id)
    if template:
        gguf.add_chat_template(own.chat_template)
    kinds: Any = library.GGMLQuantizationType
    for name, tensor in state.items():
        array: NDArray[np.float32] = tensor.float().numpy()
        if name == "lm_head.weight":
            continue  # tied
        if array.ndim < 2:
            gguf.add_tensor(_named(name), array)
            continue
        if "q_proj" in name or "k_proj" in name:
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            array = _interleaved(array, heads)
        made: Any = quants.quantize(array, kinds[kind])
        gguf.add_tensor(_named(name), made, raw_dtype=kinds[kind])
    gguf.write_header_to_file()
    gguf.write_kv_data_to_file()
    gguf.write_tensors_to_file()
    gguf.close()


def _merges(tokenizer: Any) -> list[str]:
    said: list[list[str] | str] = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    return [each if isinstance(each, str) else " ".join(each) for each in said]


def _interleaved(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """The rows of each head in the order of GGUF's rotary embeddings."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "post_attention_layernorm": "ffn_norm",
    "input_layernorm": "attn_norm",
    "model.layers": "blk",
}


def _named(name: str) -> str:
    for ours, theirs in _NAMES.items():
        name = name.replace(ours, theirs)
    return name
