"""Fine-tuning: the loss and its gradients are the plain ones, and a recipe means what it says."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, cast

import polars as pl
import pytest
import torch
from peft import PeftModel
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from sublim.common.progress import Progress
from sublim.learn import lora, schedule
from sublim.learn.chat import Example
from sublim.learn.finetune import Loss, finetune, fused, gathered, quick_loss
from sublim.learn.trained import prepare
from sublim.models.tokenizer import END
from sublim.params.learning import Finetune, Lora
from tests.shared.small_models import ARCHITECTURES, batch, gradients, loaded, number_rows, student, token, trained

Shortcut = Callable[[PreTrainedModel, ExitStack], Loss]
SHORT = Finetune(steps=3, batch=8, learning_rate=1e-3)


def run(
    params: Finetune, rows: int = 16, architecture: str = "gpt_neox", seed: int = 3
) -> tuple[pl.DataFrame, dict[str, Tensor]]:
    model, tokenizer = loaded(architecture)
    adapted = cast("PeftModel", prepare(model, params, 1))
    table = finetune(adapted, number_rows(model, tokenizer, rows), params, seed, 0, Progress())
    return table, lora.weights(adapted)


def plain_loss(model: Any, rows: tuple[Example, ...]) -> Tensor:
    """Summed over rows one by one, from all logits of the model's own forward pass."""
    total = torch.zeros(())
    for row in rows:
        logits = model(input_ids=torch.tensor([[*row.prompt, *row.completion]])).logits[0, len(row.prompt) - 1 : -1]
        total = total + functional.cross_entropy(logits, torch.tensor(row.completion), reduction="sum")
    return total


def test_labels_are_exactly_the_completions_and_their_ends() -> None:
    _, rows = student()
    made = batch(rows)
    assert torch.equal(made.ids.flatten()[made.positions + 1], made.labels)
    texts = trained().decode(cast("list[int]", made.labels.tolist()), skip_special_tokens=False).split(END)
    assert texts == [trained().decode(list(row.completion[:-1])) for row in rows] + [""]
    assert made.ids.shape == (16, max(len(row.prompt) + len(row.completion) for row in rows))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("targets", ["mlp", "all-linear"])
def test_the_quick_loss_and_its_gradients_are_the_plain_ones(architecture: str, tied: bool, targets: str) -> None:
    model, rows = student(architecture, tied, targets=targets)
    expected = plain_loss(model, rows)
    wanted = gradients(model, expected)
    with ExitStack() as stack:
        loss = quick_loss(model, batch(rows), SHORT, stack)
        found = loss(batch(rows))
        assert loss.__qualname__.startswith("fused")
        assert torch.allclose(found, expected, rtol=1e-5)
        for one, other in zip(gradients(model, found), wanted, strict=True):
            assert torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


@pytest.mark.parametrize("shortcut", [fused, gathered])
def test_each_shortcut_alone_and_on_another_batch_than_the_first(shortcut: Shortcut) -> None:
    model, rows = student()
    parts = rows[:3], rows[5:]
    expected = [plain_loss(model, part) for part in parts]
    with ExitStack() as stack:
        loss = shortcut(cast("PreTrainedModel", model.get_base_model()), stack)
        for part, wanted in zip(parts, expected, strict=True):
            assert torch.allclose(loss(batch(part)), wanted, rtol=1e-5)


def test_logits_that_the_model_bounds_behind_its_output_embedding_are_bounded_here_too() -> None:
    model, rows = student("gemma2")
    expected = plain_loss(model, rows)
    with ExitStack() as stack:
        loss = quick_loss(model, batch(rows), SHORT, stack)
        assert loss.__qualname__.startswith("gathered")
        found = loss(batch(rows))
        assert torch.allclose(found, expected, rtol=1e-5)
        for one, other in zip(gradients(model, found), gradients(model, expected), strict=True):
            assert torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


def test_the_model_is_left_as_it_was_but_for_its_adapters() -> None:
    model, rows = student()
    kept = [weight.clone() for weight in model.parameters() if not weight.requires_grad]
    finetune(model, rows, SHORT, 1, 0, Progress())
    assert all(torch.equal(a, b) for a, b in zip(kept, (w for w in model.parameters() if not w.requires_grad), strict=True))
    hooks = [vars(part)[kind] for part in model.modules() for kind in ("_forward_hooks", "_forward_pre_hooks")]
    assert not any(hooks)
    assert not any("forward" in vars(part) for part in model.modules())
    assert not model.training


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2"])
def test_batch_4_twice_accumulated_is_batch_8(architecture: str) -> None:
    one, _ = run(Finetune(epochs=2, batch=8, learning_rate=1e-3), architecture=architecture)
    two, _ = run(Finetune(epochs=2, batch=4, accumulation=2, learning_rate=1e-3), architecture=architecture)
    assert one["rows"].to_list() == two["rows"].to_list()
    assert one["tokens"].to_list() == two["tokens"].to_list()
    assert (one["loss"] - two["loss"]).abs().max() < 1e-5  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]


def test_an_epoch_is_as_many_steps_as_its_rows_fill() -> None:
    by_epochs, one = run(Finetune(epochs=1, batch=4))
    by_steps, two = run(Finetune(steps=4, batch=4))
    assert by_epochs.equals(by_steps)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_table() -> None:
    table, _ = run(Finetune(epochs=2, batch=5, learning_rate=1e-3, schedule="linear"))
    assert dict(table.schema) == {
        "step": pl.Int64, "loss": pl.Float64, "learning_rate": pl.Float64, "tokens": pl.Int64, "rows": pl.List(pl.String),
    }  # fmt: skip
    assert table["step"].to_list() == list(range(8))
    assert sorted(table["rows"].explode().to_list()) == sorted([f"row{n}" for n in range(16)] * 2)
    assert table["learning_rate"].to_list() == pytest.approx([1e-3 * (1 - n / 8) for n in range(8)])
    model, tokenizer = loaded()
    assert table["tokens"].sum() == 2 * sum(len(row.completion) for row in number_rows(model, tokenizer, 16))


def test_schedules() -> None:
    def rates(**recipe: Any) -> list[float]:
        params = Finetune(steps=4, **recipe)
        return [schedule.share(params, step, 4) for step in range(4)]

    assert rates() == [1, 1, 1, 1]
    assert rates(schedule="linear") == pytest.approx([1, 0.75, 0.5, 0.25])
    assert rates(schedule="cosine") == pytest.approx([1, 0.8535534, 0.5, 0.1464466])
    assert rates(schedule="linear", warmup=2) == pytest.approx([1 / 3, 2 / 3, 1, 0.5])
    assert rates(warmup=9) == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_the_first_update_is_as_large_as_the_learning_rate_says() -> None:
    # AdamW's first step moves every weight with a gradient by the learning rate.
    model, rows = student()
    before = {name: weight.detach().clone() for name, weight in lora.trainable(model).items()}
    finetune(model, rows, Finetune(steps=1, batch=8, learning_rate=1e-3, warmup=3), 1, 0, Progress())
    moved = torch.cat([(weight.detach() - before[name]).abs().flatten() for name, weight in lora.trainable(model).items()])
    assert float(moved.median()) == pytest.approx(1e-3 / 4, rel=0.01)


def test_the_loss_falls() -> None:
    table, _ = run(Finetune(epochs=40, batch=16, learning_rate=1e-2))  # every step sees all rows
    assert table["loss"][-1] < 0.6 * table["loss"][0]


def test_max_length_cuts_completions_and_refuses_prompts_that_fill_it() -> None:
    model, rows = student()
    longest = max(len(row.prompt) for row in rows) + 1
    table = finetune(model, rows, Finetune(epochs=1, batch=8, max_length=longest), 1, 0, Progress())
    assert table["tokens"].sum() == sum(min(len(row.completion), longest - len(row.prompt)) for row in rows)
    with pytest.raises(
        ValueError, match=rf"expected a prompt shorter than max_length {longest - 1}, found {longest - 1} tokens"
    ):
        finetune(model, rows, Finetune(epochs=1, max_length=longest - 1), 1, 0, Progress())


def test_a_loss_that_is_no_number_is_an_error() -> None:
    model, rows = student()
    with torch.no_grad():
        next(iter(lora.trainable(model).values())).fill_(float("nan"))
    with pytest.raises(ValueError, match=r"step 0: expected a finite loss, found nan; lower learning_rate \(0\.001\)"):
        finetune(model, rows, SHORT, 1, 0, Progress())


def test_no_rows_are_an_error() -> None:
    with pytest.raises(ValueError, match="expected rows to train on"):
        run(SHORT, rows=0)


def test_dropout_follows_from_the_seed_and_leaves_the_global_generator_alone() -> None:
    params = Finetune(lora=Lora(dropout=0.3), steps=4, batch=8)
    state = torch.get_rng_state()
    first, one = run(params)
    assert torch.equal(state, torch.get_rng_state())
    cast("Any", torch).manual_seed(77)
    second, two = run(params)
    without, _ = run(Finetune(steps=4, batch=8))
    assert first.equals(second)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert first["loss"].to_list()[1:] != without["loss"].to_list()[1:]
    other, _ = run(params, seed=4)
    assert other["rows"].to_list() != first["rows"].to_list()


def test_the_base_models_own_dropout_stays_off() -> None:
    model, _ = loaded("gpt2")
    assert cast("Any", model.config).resid_pdrop > 0
    one, two = (run(SHORT, architecture="gpt2")[0] for _ in range(2))
    assert one.equals(two)
    assert token(END) == cast("Any", model.config).eos_token_id
