"""What training has changed: kept, and put back on the base, adapters and whole models alike."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM, PreTrainedModel

from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.learn import batches, soft, trained
from sublim.learn.finetune import finetune, quick_loss
from sublim.models import adapter, hub
from sublim.params.learning import Finetune
from tests.shared import zoo
from tests.shared.small_models import ARCHITECTURES, batch, loaded, logits, number_rows, small

IDS = [5, 300, 412, 7]
WHOLE = Finetune(lora="none", steps=3, batch=8, learning_rate=1e-3)


def tuned(model: PreTrainedModel, recipe: Finetune = WHOLE) -> PreTrainedModel:
    """`model` after training, in place."""
    trainee = trained.prepare(model, recipe, 1)
    finetune(trainee, number_rows(model, loaded()[1], 16), recipe, 3, 0, Progress())
    assert isinstance(trainee, PreTrainedModel)
    return trainee


def saved(model: PreTrainedModel, folder: Path) -> Path:
    folder.mkdir()
    trained.save(model, "data/base/model=m", folder)
    return folder


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_weights_are_trained_kept_and_put_back(architecture: str, tied: bool, tmp_path: Path) -> None:
    before = {name: weight.clone() for name, weight in loaded(architecture, tied)[0].named_parameters()}
    model = tuned(loaded(architecture, tied)[0])
    same = {name for name, weight in model.named_parameters() if torch.equal(weight, before[name])}
    assert not same
    folder = saved(model, tmp_path / "student")
    assert {path.name for path in folder.iterdir()} == set(hub.WHOLE)
    base = loaded(architecture, tied)[0]
    untouched = logits(base, IDS)
    attached = trained.attach(base, folder)
    assert torch.equal(logits(attached, IDS), logits(model, IDS))
    assert not torch.allclose(logits(attached, IDS), untouched, atol=1e-3)
    assert not attached.training
    one, other = (cast("Any", attached).get_input_embeddings().weight, cast("Any", attached).get_output_embeddings().weight)
    assert (one is other) == tied
    alone = cast("Any", AutoModelForCausalLM).from_pretrained(folder, dtype="auto")
    assert torch.equal(logits(alone.eval(), IDS), logits(model, IDS))


def test_the_same_weights_give_the_same_bytes_and_name_no_machine(tmp_path: Path) -> None:
    one, two = (saved(tuned(loaded()[0]), tmp_path / name) for name in ("one", "two"))
    assert [sha256(one / name) for name in hub.WHOLE] == [sha256(two / name) for name in hub.WHOLE]
    assert str(small()) not in "".join((one / name).read_text() for name in hub.WHOLE if name.endswith(".json"))
    assert trained.file(one) == one / hub.WEIGHTS
    assert trained.is_in(one)
    assert not trained.is_in(tmp_path)


def test_training_is_that_of_an_ordinary_loop_over_all_weights() -> None:
    model, tokenizer = loaded()
    rows = number_rows(model, tokenizer, 16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=WHOLE.learning_rate, weight_decay=0)
    for step in batches.steps([len(row.prompt) + len(row.completion) for row in rows], WHOLE, 3):
        chosen = [rows[number] for part in step for number in part]
        loss = torch.zeros(())
        for row in chosen:
            said = cast("Any", model)(input_ids=torch.tensor([[*row.prompt, *row.completion]])).logits[
                0, len(row.prompt) - 1 : -1
            ]
            loss = loss + functional.cross_entropy(said, torch.tensor(row.completion), reduction="sum")
        optimizer.zero_grad()
        cast("Any", loss / sum(len(row.completion) for row in chosen)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert torch.allclose(logits(tuned(loaded()[0]), IDS), logits(model, IDS), atol=1e-3)


def test_a_trained_output_embedding_takes_the_way_that_has_its_gradient() -> None:
    model, tokenizer = loaded()
    trainee, rows = trained.prepare(model, WHOLE, 1), number_rows(model, tokenizer, 16)
    with ExitStack() as stack:
        assert quick_loss(trainee, batch(rows), WHOLE, stack).__qualname__.startswith("gathered")


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "gemma2"])
def test_blocks_that_are_computed_again_give_the_same_bytes(architecture: str) -> None:
    one, two = (
        tuned(loaded(architecture)[0], recipe).state_dict()
        for recipe in (WHOLE, WHOLE.model_copy(update={"checkpointing": True}))
    )
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_half_precision_loses_no_update_and_comes_back(tmp_path: Path) -> None:
    """A step of this size is less than half of the last digit of nearly every weight: in half precision nothing would move."""
    recipe = WHOLE.model_copy(update={"steps": 40, "learning_rate": 2e-5})
    model = tuned(loaded("llama", dtype=torch.bfloat16)[0], recipe)
    assert model.dtype == torch.float32
    folder = saved(model, tmp_path / "student")
    with cast("Any", safe_open(folder / hub.WEIGHTS, framework="pt")) as weights:
        assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.bfloat16}  # noqa: SIM118
    base = loaded("llama", dtype=torch.bfloat16)[0]
    before = {name: weight.clone() for name, weight in base.named_parameters()}
    attached = trained.attach(base, folder)
    assert attached.dtype == torch.bfloat16
    assert torch.equal(logits(attached, IDS), logits(model, IDS))
    moved = sum(int((weight != before[name]).sum()) for name, weight in attached.named_parameters())
    assert moved > 0.02 * sum(weight.numel() for weight in before.values())


@pytest.mark.parametrize("name", ["deepseek_v3", "qwen2_moe", "gpt2"])
def test_buffers_and_experts_survive(name: str, tmp_path: Path) -> None:
    model = zoo.loaded(name)[0]
    buffers = {key: tensor.clone() for key, tensor in model.state_dict().items() if key not in dict(model.named_parameters())}
    model = tuned(model)
    attached = trained.attach(zoo.loaded(name)[0], saved(model, tmp_path / "student"))
    assert torch.equal(logits(attached, IDS), logits(model, IDS))
    state = attached.state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in buffers.items() if "bias" in key)


def test_soft_targets_train_all_weights_too() -> None:
    model, tokenizer = loaded()
    rows = number_rows(model, tokenizer, 16)
    tokens = sorted({token for row in rows for token in row.completion})
    writer = soft.Teacher(loaded("gptj")[0], [row.prompt for row in rows], torch.tensor(tokens), 1.0)
    recipe = WHOLE.model_copy(update={"steps": None, "epochs": 20, "batch": 16})
    losses = finetune(trained.prepare(model, recipe, 1), rows, recipe, 3, 0, Progress(), writer)["loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_a_model_that_cannot_be_saved_with_all_of_its_settings_is_saved(tmp_path: Path) -> None:
    model = tuned(loaded()[0])
    cast("Any", model).generation_config.temperature = 0.5  # without sampling: transformers refuses to write that
    ends = cast("Any", model).generation_config.eos_token_id
    folder = saved(model, tmp_path / "student")
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == ends


def test_weights_of_another_base_are_refused(tmp_path: Path) -> None:
    folder = saved(tuned(loaded("gpt_neox")[0]), tmp_path / "student")
    with pytest.raises(ValueError, match="expected the weights of GPTJForCausalLM as its base has them"):
        trained.attach(loaded("gptj")[0], folder)
    with pytest.raises(ValueError, match=r"of shape .* and type bfloat16, found of shape .* and type float32"):
        trained.attach(loaded("gpt_neox", dtype=torch.bfloat16)[0], folder)
    with pytest.raises(ValueError, match=r"expected either adapter_model.safetensors or model.safetensors, found neither"):
        trained.attach(loaded()[0], tmp_path)
    (folder / adapter.WEIGHTS).touch()
    with pytest.raises(ValueError, match=r"found adapter_model.safetensors and model.safetensors"):
        trained.attach(loaded()[0], folder)


def test_adapters_are_what_they_were(tmp_path: Path) -> None:
    recipe = Finetune(steps=3, batch=8, learning_rate=1e-2)
    model, tokenizer = loaded()
    trainee = trained.prepare(model, recipe, 1)
    finetune(trainee, number_rows(model, tokenizer, 16), recipe, 3, 0, Progress())
    trained.save(trainee, "data/base/model=m", tmp_path)
    assert trained.file(tmp_path) == tmp_path / adapter.WEIGHTS
    found: Tensor = logits(trained.attach(loaded()[0], tmp_path), IDS)
    assert torch.allclose(found, logits(trainee, IDS), atol=1e-4)
