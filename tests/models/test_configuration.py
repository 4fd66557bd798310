"""Keys of an architecture's configuration: those that it knows are taken, by any of their names; others are refused."""

from pathlib import Path
from typing import Any

import pytest

from sublim.common.progress import Progress
from sublim.models import configuration, tiny
from sublim.models.configuration import ConfigError
from sublim.params.tiny import PLAIN, TinyModel

KNOWN: list[tuple[str, dict[str, Any]]] = [
    ("gpt_neox", {"num_hidden_layers": 1, "rotary_pct": 0.5, "rotary_emb_base": 100}),
    ("gptj", {"n_embd": 32, "hidden_size": 32, "n_layer": 1, "rotary_dim": 8}),
    ("gpt2", {"n_inner": 64, "num_attention_heads": 2}),
    ("llama", {"rope_theta": 1e4, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}),
    ("gemma3_text", {"layer_types": ["full_attention", "sliding_attention"], "sliding_window": 16}),
    ("gemma3", {"text_config": {"hidden_size": 32, "layer_types": ["full_attention"]}}),
    ("qwen3_moe", {"num_experts": 4, "mlp_only_layers": [0]}),
]
UNKNOWN: list[tuple[str, dict[str, Any], str]] = [
    ("gpt_neox", {"num_hiden_layers": 1}, "config.num_hiden_layers: .* did you mean `num_hidden_layers`"),
    ("gpt_neox", {"rope_theta2": 1}, "config.rope_theta2: "),
    ("gpt2", {"n_layers": 1}, "config.n_layers: .* did you mean `n_layer`"),
    ("llama", {"rope_parameters": {"theta": 1}}, "config.rope_parameters.theta: .* did you mean `rope_theta`"),
    ("gemma3", {"text_config": {"hiden_size": 1}}, "config.text_config.hiden_size: .* did you mean `hidden_size`"),
    ("gpt_neo_x", {}, "architecture: 'gpt_neo_x' .* did you mean `gpt_neox`"),
    ("nothing at all", {}, "architecture: 'nothing at all' "),
]


@pytest.mark.parametrize(("architecture", "given"), KNOWN)
def test_a_key_that_the_architecture_has_is_taken(architecture: str, given: dict[str, Any]) -> None:
    configuration.check(architecture, given)


@pytest.mark.parametrize("architecture", PLAIN)
def test_what_transformers_is_not_asked_about_it_knows(architecture: str) -> None:
    keys = PLAIN[architecture].split()
    configuration.check(architecture, dict.fromkeys(keys, 1))
    for config, tried in ((dict.fromkeys(keys, 1), False), ({keys[0]: 1, "hiden_size": 1}, True)):
        params = TinyModel(kind="tiny", architecture=architecture, seed=1, config=config)
        assert bool([*params.tried("models.a", None)]) == tried
    assert [*TinyModel(kind="tiny", architecture="gpt_neo_x", seed=1, config={}).tried("models.a", None)]


@pytest.mark.parametrize(("architecture", "given", "said"), UNKNOWN)
def test_a_key_that_it_has_not_is_refused_with_the_nearest(architecture: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        configuration.check(architecture, given)


def test_nothing_is_made_for_a_misspelt_key(tmp_path: Path) -> None:
    params = TinyModel(kind="tiny", architecture="gpt_neox", seed=1, config={"num_hiden_layers": 1})
    with pytest.raises(ConfigError):
        tiny.build("a", params, tmp_path, Progress())
    assert not [*tmp_path.iterdir()]


def test_lists_nothing_and_mappings_are_values() -> None:
    text = (
        '{"kind": "tiny", "architecture": "gemma3_text", "seed": 1, '
        '"config": {"layer_types": ["full_attention"], "sliding_window": null, "rope_parameters": {"f": {"rope_theta": 1.0}}}}'
    )
    params = TinyModel.model_validate_json(text)
    dumped = params.model_dump(mode="json")["config"]
    assert dumped["layer_types"] == ["full_attention"]
    assert dumped["sliding_window"] is None
    assert dumped["rope_parameters"] == {"f": {"rope_theta": 1.0}}
