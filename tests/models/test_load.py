"""Loading a checkpoint: whole, or not at all."""

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from sublim.common.progress import Progress
from sublim.models.hub import ModelError
from sublim.models.load import ends, load, skeleton
from sublim.params.elsewhere import HubModel
from sublim.stages.base import make as base
from sublim.stages.base.rows import Slice
from sublim.stages.teacher.spec import STAGE
from tests.shared import zoo
from tests.shared.small_models import ARCHITECTURES, mixture, small

Weights = dict[str, Tensor]


def changed(source: Path, folder: Path, change: Callable[[Weights], object]) -> Path:
    copytree(source, folder)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_checkpoint_that_lacks_any_one_tensor_is_refused(architecture: str, tied: bool, tmp_path: Path) -> None:
    source = small(architecture, tied)
    names = sorted(load_file(source / "model.safetensors"))
    for name in names[:: max(1, len(names) // 6)]:
        folder = changed(source, tmp_path / name, lambda weights, name=name: weights.pop(name))
        with pytest.raises(ModelError, match="missing") as error:
            load(folder)
        assert name.split(".", 1)[-1] in str(error.value)


def test_what_is_left_over_or_of_another_shape_is_refused(tmp_path: Path) -> None:
    more = changed(small(), tmp_path / "more", lambda weights: weights.update(extra=torch.zeros(2)))
    with pytest.raises(ModelError, match=r"1 left over \(extra\)"):
        load(more)
    name = next(name for name, weight in load_file(small() / "model.safetensors").items() if weight.dim() == 2)
    other = changed(small(), tmp_path / "other", lambda weights: weights.update({name: torch.zeros(3, 3)}))
    with pytest.raises(ModelError, match=r"another shape|size mismatch|\(3, 3\)|\[3, 3\]"):
        load(other)


def test_no_model_is_a_sentence(tmp_path: Path) -> None:
    for broken in ("config.json", "tokenizer.json"):
        folder = tmp_path / broken
        copytree(small(), folder)
        (folder / broken).write_text("{}")
        with pytest.raises(ModelError, match="expected a causal language model"):
            load(folder)


def test_padding_is_an_id_that_the_embedding_has() -> None:
    model, tokenizer = load(small())
    cast("Any", model.generation_config).pad_token_id = 10**6
    cast("Any", tokenizer).pad_token = None
    assert ends(model, tokenizer).pad in ends(model, tokenizer).eos


@pytest.mark.parametrize("odd", ["4", True, [4, [5]], -1, [4, 10**6]])
def test_an_end_that_is_no_token_of_the_model_is_a_sentence(odd: Any) -> None:
    model, tokenizer = load(small())
    cast("Any", model.generation_config).eos_token_id = odd
    with pytest.raises(ValueError, match=r"expected eos_token_id .* to be ids of tokens, below 2,304"):
        ends(model, tokenizer)


@pytest.mark.parametrize(
    ("file", "values", "said"),
    [
        ("config.json", {"num_hidden_layers": "2"}, "num_hidden_layers"),
        ("config.json", {"num_attention_heads": 0}, "ZeroDivisionError"),
        ("config.json", {"pad_token_id": 10**6}, "Padding_idx"),
        ("config.json", {"hidden_act": "nonsense"}, "KeyError: 'nonsense'"),
        ("tokenizer_config.json", {"model_max_length": "x"}, "TypeError"),
        ("tokenizer_config.json", {"tokenizer_class": "BertTokenizer"}, "WordPiece"),
    ],
)
def test_a_setting_that_makes_no_sense_is_a_sentence(file: str, values: dict[str, Any], said: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    copytree(small("llama"), folder)
    (folder / file).write_text(json.dumps({**json.loads((folder / file).read_text()), **values}))
    for of in (load, skeleton):
        with pytest.raises(
            ModelError, match=f"(?s)expected a causal language model that transformers can load, found: .*{said}"
        ):
            of(folder)


def test_weights_that_are_no_numbers_are_said_to_be_so(tmp_path: Path) -> None:
    folder = changed(small("llama"), tmp_path / "model", lambda weights: weights["model.norm.weight"].fill_(torch.nan))
    with pytest.raises(ModelError, match="found NaN: its weights are broken"):
        load(folder)


@pytest.mark.parametrize("text", ["{", "[1]", '{"template": ["a"]}', '{"template": {"a": {"b": 1}}}'])
def test_variables_of_the_template_that_are_none_are_a_sentence(text: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    copytree(small(), folder)
    (folder / "source.json").write_text(text)
    with pytest.raises(ModelError, match=r"source\.json: "):
        load(folder)


def test_the_variables_of_the_template_go_with_the_tokenizer(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    copytree(small(), folder)
    (folder / "source.json").write_text(json.dumps({"template": {"enable_thinking": False}}))
    assert load(folder)[1].init_kwargs["template_variables"] == {"enable_thinking": False}


def test_an_encoder_is_no_causal_model() -> None:
    with pytest.raises(ModelError, match=r"expected a causal language model.*BertLMHeadModel.*`is_decoder: true`"):
        load(zoo.folder("bert:encoder"))
    load(zoo.folder("bert"))


def test_a_model_that_cannot_be_run_on_token_ids_is_named() -> None:
    with pytest.raises(ModelError, match="expected DbrxForCausalLM to make logits from token ids alone, found that it cannot"):
        load(zoo.folder("dbrx:unclipped"))


def verdict(of: Callable[[Path], object], folder: Path) -> str | None:
    try:
        of(folder)
    except ModelError as error:
        return str(error)
    return None


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "mixtral", "qwen2_moe"])
def test_a_skeleton_is_refused_for_what_the_model_is(architecture: str, tmp_path: Path) -> None:
    """Without its weights being read; those of mixtures are put together from several tensors."""
    source = small(architecture) if architecture in ARCHITECTURES else mixture(architecture)
    names = sorted(load_file(source / "model.safetensors"))
    changes: dict[str, Callable[[Weights], object]] = {
        "whole": lambda _: None,
        "more": lambda weights: weights.update(extra=torch.zeros(2)),
    }
    for name in names[:: max(1, len(names) // 6)]:
        changes[f"{name} missing"] = lambda weights, name=name: weights.pop(name)
        changes[f"{name} odd"] = lambda weights, name=name: weights.update({name: torch.zeros(3, 3)})
    for what, change in changes.items():
        folder = changed(source, tmp_path / what, change)
        found = verdict(load, folder)
        assert (found is None) == (what == "whole")
        assert verdict(skeleton, folder) == found


def test_a_skeleton_has_no_weights_and_its_template_variables(tmp_path: Path) -> None:
    model, tokenizer = skeleton(small(), {"enable_thinking": False})
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert tokenizer.init_kwargs["template_variables"] == {"enable_thinking": False}
    assert verdict(skeleton, tmp_path / "nowhere") is not None


def test_a_base_that_was_downloaded_is_looked_at_before_anybody_learns_from_it(tmp_path: Path) -> None:
    name = sorted(load_file(small() / "model.safetensors"))[0]
    folder = changed(small(), tmp_path / "model", lambda weights: weights.pop(name))
    (tmp_path / "output").mkdir()
    params = Slice(name="m", model=HubModel(kind="hub", path=str(folder)), files={})
    with pytest.raises(ModelError, match=r"^models\.m: .*2 missing \(gpt_neox.embed_in.weight, lm_head.weight\)"):
        base.make({}, params, tmp_path / "output", Progress())
    assert "base" in STAGE.after, "no teacher is trained before every base has been looked at"
