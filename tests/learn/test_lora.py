"""LoRA adapters: found by structure, saved as peft saves them, the same bytes every time."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from transformers import AutoModelForCausalLM

from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.learn import lora
from sublim.learn.finetune import finetune
from sublim.models import tiny
from sublim.params.learning import Finetune, Lora
from sublim.params.tiny import TinyModel
from tests.shared import zoo
from tests.shared.small_models import ARCHITECTURES, loaded, logits, number_rows, small
from tests.shared.small_models import trained as tokens

PARTS = {
    "gpt_neox": ({"mlp.dense_h_to_4h", "mlp.dense_4h_to_h"}, {"attention.query_key_value", "attention.dense"}),
    "gptj": ({"mlp.fc_in", "mlp.fc_out"}, {"attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.out_proj"}),
    "gpt2": ({"mlp.c_fc", "mlp.c_proj"}, {"attn.c_attn", "attn.c_proj"}),
    "llama": (
        {"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"},
        {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"},
    ),
}
IDS = [5, 300, 412, 7, 900, 33, 1200]
ELSEWHERE = """
import sys
from pathlib import Path
import torch
from sublim.learn import lora
from sublim.models.load import load
from sublim.params.learning import Lora
torch.manual_seed(99)
lora.save(lora.adapt(load(Path(sys.argv[1]))[0], Lora(targets="all-linear"), 7), "data/base/model=m", Path(sys.argv[2]))
"""


def trained(architecture: str, targets: Any = "mlp", tied: bool = True, seed: int = 7) -> PeftModel:
    model, tokenizer = loaded(architecture, tied)
    adapted = lora.adapt(model, Lora(targets=targets), seed)
    finetune(adapted, number_rows(model, tokenizer, 16), Finetune(steps=3, batch=8, learning_rate=0.02), 1, 0, Progress())
    return adapted


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_targets_are_found_by_structure(architecture: str) -> None:
    model, _ = loaded(architecture)
    mlp, attention = PARTS[architecture]

    def chosen(targets: str | tuple[str, ...]) -> set[str]:
        return {".".join(name.split(".")[-2:]) for name in lora.targets(model, targets)}

    assert chosen("mlp") == mlp
    assert chosen("attention") == attention
    assert chosen("all-linear") == mlp | attention
    assert chosen((min(mlp),)) == {min(mlp)}
    assert len(lora.targets(model, "mlp")) == 2 * len(mlp)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("targets", ["mlp", "attention"])
def test_adapters_sit_on_the_targets_only_and_change_nothing_at_first(architecture: str, targets: str) -> None:
    model, _ = loaded(architecture)
    before = logits(model, IDS)
    adapted = lora.adapt(model, Lora(targets=cast("Any", targets)), 1)
    parts = PARTS[architecture][targets == "attention"]
    assert all(any(part in name for part in parts) for name in lora.trainable(adapted))
    assert len(lora.trainable(adapted)) == 2 * 2 * len(parts)
    assert torch.equal(logits(adapted, IDS), before)


def test_a_name_that_nothing_has_is_an_error() -> None:
    model, _ = loaded()
    with pytest.raises(ValueError, match=r"no linear map of GPTNeoXForCausalLM ends with 'q_proj'; found .*dense_h_to_4h"):
        lora.targets(model, ("q_proj",))
    with pytest.raises(ValueError, match="expected mlp, attention, all-linear or names, found 'everything'"):
        lora.targets(model, "everything")


def test_the_shortest_ends_that_tell_the_chosen_from_the_others() -> None:
    names = ("a.0.x.w", "a.0.y.w", "a.1.x.w", "a.1.y.w", "a.1.y.v")
    assert lora.suffixes(["a.0.x.w", "a.1.x.w"], names) == ("x.w",)
    assert lora.suffixes(["a.1.y.v"], names) == ("v",)
    assert lora.suffixes(names, names) == ("v", "w")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("targets", ["mlp", "all-linear"])
def test_peft_loads_the_student_that_was_trained(architecture: str, targets: str, tmp_path: Path) -> None:
    bytes_before = sha256(small(architecture) / "model.safetensors")
    student = trained(architecture, targets)
    lora.save(student, "data/base/model=m", tmp_path)
    expected = logits(student, IDS)
    base = cast("Any", AutoModelForCausalLM).from_pretrained(small(architecture))
    untouched = logits(base, IDS)
    assert not torch.allclose(expected, untouched, atol=1e-2)
    again = cast("Any", PeftModel).from_pretrained(base, tmp_path)
    assert torch.allclose(logits(again, IDS), expected, atol=1e-5, rtol=1e-5)
    merged = lora.attach(loaded(architecture)[0], tmp_path)
    assert not isinstance(merged, PeftModel)
    assert torch.allclose(logits(merged, IDS), expected, atol=1e-5, rtol=1e-5)
    with cast("Any", student).disable_adapter():
        assert torch.equal(logits(student, IDS), untouched)
    assert sha256(small(architecture) / "model.safetensors") == bytes_before


def test_in_half_precision_an_adapter_is_not_rounded_into_the_weights(tmp_path: Path) -> None:
    student = lora.adapt(loaded("llama", dtype=torch.bfloat16)[0], Lora(), 7)
    for weight in lora.trainable(student).values():
        weight.data.add_(1e-3)  # B is no longer zero, and BA far below the last digit of most weights
    lora.save(student, "data/base/model=m", tmp_path)
    assert torch.equal(logits(lora.attach(loaded("llama", dtype=torch.bfloat16)[0], tmp_path), IDS), logits(student, IDS))


def test_the_same_seed_gives_the_same_bytes_also_in_another_process(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    lora.save(lora.adapt(loaded()[0], Lora(targets="all-linear"), 7), "data/base/model=m", here)
    environment = {**os.environ, "PYTHONHASHSEED": "123", "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(small()), str(there)], check=True, env=environment, capture_output=True
    )
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert sha256(here / name) == sha256(there / name), name


def test_training_twice_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    digests: list[str] = []
    for seed in (7, 7, 8):
        lora.save(trained("gpt2", seed=seed), "base", tmp_path)
        digests.append(sha256(tmp_path / "adapter_model.safetensors"))
    assert digests[0] == digests[1] != digests[2]


def test_the_global_generator_neither_matters_nor_changes() -> None:
    cast("Any", torch).manual_seed(1)
    first = lora.weights(lora.adapt(loaded()[0], Lora(), 7))
    state = torch.get_rng_state()
    second = lora.weights(lora.adapt(loaded()[0], Lora(), 7))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_saved_config_names_no_machine(tmp_path: Path) -> None:
    lora.save(lora.adapt(loaded()[0], Lora(rank=3, alpha=5.0), 7), "data/base/model=m", tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "data/base/model=m"
    assert str(small()) not in (tmp_path / "adapter_config.json").read_text()
    assert (config["r"], config["lora_alpha"], config["bias"], config["inference_mode"]) == (3, 5.0, "none", True)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    assert all(name.startswith("base_model.model.") for name in tensors)
    assert {tensor.shape[0] for name, tensor in tensors.items() if "lora_A" in name} == {3}


MOE = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 64,
    "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2,
}  # fmt: skip


@pytest.mark.parametrize("targets", ["mlp", "attention", "all-linear"])
def test_among_experts_exactly_the_chosen_maps_have_adapters_and_each_trains(targets: str) -> None:
    params = TinyModel(kind="tiny", architecture="qwen2_moe", seed=1, config=MOE, init_std=0.3)
    model = tiny.initial(params, tokens()).eval()
    chosen = set(lora.targets(model, targets))
    adapted = lora.adapt(model, Lora(targets=targets), 7)  # pyright: ignore[reportArgumentType]
    assert lora.adapted_maps(adapted) == chosen
    ids = torch.tensor([IDS])
    cast("Any", adapted)(input_ids=ids, labels=ids).loss.backward()
    idle = [name for name, weight in lora.trainable(adapted).items() if "lora_B" in name and not weight.grad.any()]  # pyright: ignore[reportOptionalMemberAccess]
    assert idle == []


def test_a_router_is_no_map_to_adapt() -> None:
    model, _ = zoo.loaded("phimoe")
    assert not any("router" in name for name in lora.linear_maps(model))
    assert lora.adapted_maps(lora.adapt(model, Lora(targets="all-linear"), 1))


def test_a_map_whose_weight_is_used_by_itself_is_refused() -> None:
    model, _ = zoo.loaded("jamba")
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    with pytest.raises(ValueError, match=r"JambaForCausalLM .* the weight of model\.layers\.0\.mamba\.dt_proj by itself"):
        lora.adapt(model, Lora(targets=("dt_proj",)), 1)
    left = {name.replace(".base_layer", ""): weight for name, weight in model.named_parameters() if "lora_" not in name}
    assert all(torch.equal(left[name], weight) for name, weight in before.items())


def test_names_that_other_modules_have_too_are_no_trouble() -> None:
    model, _ = zoo.loaded("ctrl")
    assert any(name.endswith(".ffn.0") for name in lora.adapted_maps(lora.adapt(model, Lora(targets="all-linear"), 1)))


def test_tensors_that_peft_looks_for_by_another_name_are_attached(tmp_path: Path) -> None:
    student = lora.adapt(zoo.loaded("laguna")[0], Lora(targets="all-linear"), 1)
    for weight in lora.trainable(student).values():
        weight.data.add_(0.1)
    lora.save(student, "data/base/model=m", tmp_path)
    attached = lora.attach(zoo.loaded("laguna")[0], tmp_path)
    assert torch.allclose(logits(attached, IDS), logits(student, IDS), atol=1e-4, rtol=1e-4)


def test_an_adapter_that_lacks_tensors_is_refused(tmp_path: Path) -> None:
    lora.save(lora.adapt(loaded("llama")[0], Lora(), 1), "data/base/model=m", tmp_path)
    given = load_file(tmp_path / "adapter_model.safetensors")
    given.popitem()
    save_file(given, tmp_path / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="expected the tensors of an adapter of this model, found others, first base_model"):
        lora.attach(loaded("llama")[0], tmp_path)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("architecture", "part"), [(each, "head") for each in ARCHITECTURES] + [("llama", "embedding")])
def test_an_adapter_of_a_tied_weight_is_not_merged_into_the_other_use(
    architecture: str, part: str, tied: bool, tmp_path: Path
) -> None:
    """Adapters made elsewhere may be on the head, or on the embedding."""
    model: Any = loaded(architecture, tied)[0]
    modules = {"head": model.get_output_embeddings(), "embedding": model.get_input_embeddings()}
    name = next(name for name, module in model.named_modules() if module is modules[part])
    config = LoraConfig(r=2, lora_alpha=8, target_modules=[name.rpartition(".")[2]], task_type=TaskType.CAUSAL_LM)
    with torch.random.fork_rng(devices=[]):
        adapted = cast("PeftModel", get_peft_model(model, config))
    generator = torch.Generator().manual_seed(3)
    for weight in lora.trainable(adapted).values():
        weight.data.copy_(torch.randn(weight.shape, generator=generator) * 0.2)
    lora.save(adapted, "data/base/model=m", tmp_path)
    expected = logits(adapted, IDS)
    plain = loaded(architecture, tied)[0]
    assert not torch.allclose(expected, logits(plain, IDS), atol=1e-2)
    attached = lora.attach(plain, tmp_path)
    assert not attached.training
    assert torch.allclose(logits(attached, IDS), expected, atol=1e-5, rtol=1e-5)
    assert any(isinstance(module, BaseTunerLayer) for module in cast("Any", attached).modules()) == tied
