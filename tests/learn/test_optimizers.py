"""Optimizers: what a recipe says of them is what training does, and how far they take weights bounds what is said of these."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sublim.common.progress import Progress
from sublim.learn import batches, lora, schedule
from sublim.learn.finetune import finetune
from sublim.params.learning import Finetune
from tests.shared.small_models import student

Optimizer = Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer]
STEPS: dict[str, Any] = {"steps": 4, "batch": 8, "max_grad_norm": None}


def changed(params: Finetune) -> list[Tensor]:
    model, rows = student()
    finetune(model, rows, params, 3, 0, Progress())
    return [weight.detach() for weight in lora.trainable(model).values()]


def plain(params: Finetune, optimizer: Optimizer) -> list[Tensor]:
    """The same run by an ordinary loop: rows one by one, torch's own optimizer."""
    model, rows = student()
    weights = list(lora.trainable(model).values())
    stepping = optimizer(weights)
    for step in batches.steps([len(row.prompt) + len(row.completion) for row in rows], params, 3):
        chosen = [rows[number] for part in step for number in part]
        loss = torch.zeros(())
        for row in chosen:
            ids = torch.tensor([[*row.prompt, *row.completion]])
            logits = cast("Any", model)(input_ids=ids).logits[0, len(row.prompt) - 1 : -1]
            loss = loss + functional.cross_entropy(logits, torch.tensor(row.completion), reduction="sum")
        stepping.zero_grad()
        cast("Any", loss / sum(len(row.completion) for row in chosen)).backward()
        stepping.step()
    return [weight.detach() for weight in weights]


@pytest.mark.parametrize(
    ("said", "optimizer"),
    [
        ({"optimizer": "sgd", "learning_rate": 0.1}, partial(torch.optim.SGD, lr=0.1)),
        (
            {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.8, "weight_decay": 0.3},
            partial(torch.optim.SGD, lr=0.1, momentum=0.8, weight_decay=0.3),
        ),
        ({"learning_rate": 1e-2}, partial(torch.optim.AdamW, lr=1e-2, weight_decay=0)),
        (
            {"learning_rate": 1e-2, "betas": (0.5, 0.9), "epsilon": 1e-3, "weight_decay": 0.3},
            partial(torch.optim.AdamW, lr=1e-2, betas=(0.5, 0.9), eps=1e-3, weight_decay=0.3),
        ),
    ],
    ids=["sgd", "momentum", "adamw", "betas"],
)
def test_an_optimizer_is_torch_s_with_what_the_recipe_says(said: dict[str, Any], optimizer: Optimizer) -> None:
    params = Finetune(**STEPS, **said)
    found, expected = changed(params), plain(params, optimizer)
    assert all(torch.allclose(one, other, rtol=1e-3, atol=2e-5) for one, other in zip(found, expected, strict=True))
    for key in said.keys() - {"optimizer"}:
        less = Finetune(**STEPS, **{name: value for name, value in said.items() if name != key})
        pairs = zip(changed(less), expected, strict=True)
        assert not all(torch.allclose(one, other, rtol=1e-3, atol=2e-5) for one, other in pairs), key


def test_nothing_that_bounds_adamw_is_said_of_sgd() -> None:
    usual = Finetune(steps=10, learning_rate=0.01)
    assert schedule.travel(usual, 64) == pytest.approx(0.1)
    assert schedule.travel(usual.model_copy(update={"betas": (0.9, 0.95)}), 64) == pytest.approx(0.1)
    assert schedule.travel(usual.model_copy(update={"betas": (0.0, 0.999)}), 64) == pytest.approx(1.0)
    steep = Finetune(steps=10, learning_rate=0.01, optimizer="sgd", momentum=0.9, max_grad_norm=2.0)
    assert schedule.travel(steep, 64) == pytest.approx(2.0)
    assert schedule.travel(steep.model_copy(update={"max_grad_norm": None}), 64) == math.inf


def test_no_weight_moves_further_by_sgd_than_is_said() -> None:
    params = Finetune(steps=4, batch=8, optimizer="sgd", momentum=0.9, learning_rate=1.0, max_grad_norm=0.02)
    before = [weight.detach().clone() for weight in lora.trainable(student()[0]).values()]
    moved = max(float((one - other).abs().max()) for one, other in zip(changed(params), before, strict=True))
    assert 0 < moved <= schedule.travel(params, 16)
