"""Activation checkpointing: less is kept, and every byte is the same."""

from typing import Any, cast

import pytest
import torch
from torch import Tensor

from sublim.common.progress import Progress
from sublim.learn import lora, soft
from sublim.learn.finetune import finetune
from sublim.params.learning import Finetune, Lora
from tests.shared import zoo
from tests.shared.small_models import ARCHITECTURES, loaded, number_rows, student

RECIPE = Finetune(steps=3, batch=4, accumulation=2, learning_rate=1e-3)


def again(recipe: Finetune) -> Finetune:
    return recipe.model_copy(update={"checkpointing": True})


def run(recipe: Finetune, architecture: str, *, imitated: bool = False) -> tuple[list[float], dict[str, Tensor], list[int]]:
    """The losses, the weights, and how large each of the tensors is that autograd keeps."""
    model, rows = student(architecture, dropout=0.0 if recipe.adapters is None else recipe.adapters.dropout)
    writer = None
    if imitated:
        tokens = sorted({token for row in rows for token in row.completion})
        writer = soft.Teacher(loaded()[0], [row.prompt for row in rows], torch.tensor(tokens), 1.0)
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with cast("Any", torch.autograd.graph).saved_tensors_hooks(keep, lambda tensor: tensor):  # pyright: ignore[reportUnknownLambdaType]
        steps = finetune(model, rows, recipe, 3, 0, Progress(), writer)
    return steps["loss"].to_list(), lora.weights(model), kept


@pytest.mark.parametrize("imitated", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "gemma2"])
def test_blocks_that_are_computed_again_give_the_same_bytes_and_keep_less(architecture: str, imitated: bool) -> None:
    losses, weights, kept = run(RECIPE, architecture, imitated=imitated)
    same, found, fewer = run(again(RECIPE), architecture, imitated=imitated)
    assert same == losses
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert sum(fewer) < 0.7 * sum(kept)


def test_dropout_drops_the_same_again() -> None:
    recipe = Finetune(lora=Lora(dropout=0.3), steps=3, batch=8, learning_rate=1e-2)
    losses, weights, _ = run(recipe, "gpt_neox")
    same, found, _ = run(again(recipe), "gpt_neox")
    assert same == losses
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_the_models_own_dropout_stays_off_and_nothing_is_left_behind() -> None:
    model, _ = loaded("gpt2")
    assert cast("Any", model.config).resid_pdrop > 0
    one, two = (run(again(RECIPE), "gpt2")[0] for _ in range(2))
    assert one == two
    model, rows = student("gpt2")
    finetune(model, rows, again(RECIPE), 1, 0, Progress())
    assert not any("forward" in vars(part) for part in model.modules())
    assert not model.training


def test_a_mixture_of_experts_is_the_same_too() -> None:
    weights: list[dict[str, Tensor]] = []
    for recipe in (RECIPE, again(RECIPE)):
        model, tokenizer = zoo.loaded("qwen2_moe")
        adapted = lora.adapt(model, Lora(targets="attention"), 1)
        finetune(adapted, number_rows(model, tokenizer, 16), recipe, 3, 0, Progress())
        weights.append(lora.weights(adapted))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_model_without_a_list_of_blocks_cannot_do_so(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = student()

    def none(_: object) -> tuple[str, ...]:
        return ()

    monkeypatch.setattr("sublim.learn.finetune.blocks", none)
    with pytest.raises(ValueError, match=r"checkpointing: expected a list of blocks, .* leave it out"):
        finetune(model, rows, again(RECIPE), 1, 0, Progress())
