"""Recipes: what they may say, and that keys which came later are no part of params that do not use them."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sublim.params.adjustment import Adjustment, adjusted
from sublim.params.learning import Finetune, Lora
from sublim.params.load import ParamsError, load

OLD = {
    "lora": {"rank": 8, "alpha": 16.0, "dropout": 0.0, "targets": "mlp"},
    "steps": 160, "epochs": None, "batch": 64, "accumulation": 1, "learning_rate": 5e-3, "schedule": "constant", "warmup": 0,
    "weight_decay": 0.0, "max_grad_norm": 1.0, "max_length": None,
}  # fmt: skip
"""A recipe as artifacts have it in their records."""


def test_a_recipe_without_new_keys_is_what_it_was() -> None:
    assert Finetune(steps=160).model_dump(mode="json") == OLD
    assert Finetune.model_validate_json(Finetune.model_validate(OLD).model_dump_json()) == Finetune(steps=160)
    said = Finetune(steps=160, optimizer="sgd", momentum=0.5).model_dump(mode="json")
    assert said == OLD | {"optimizer": "sgd", "momentum": 0.5}


def test_an_adjustment_leaves_the_optimizer() -> None:
    recipe = Finetune(steps=3, betas=(0.5, 0.9))
    assert adjusted(recipe, Adjustment(learning_rate=0.1)) == recipe.model_copy(update={"learning_rate": 0.1})


def test_all_weights_or_adapters() -> None:
    whole = Finetune.model_validate_json(Finetune(steps=1, lora="none").model_dump_json())
    assert whole.lora == "none"
    assert whole.adapters is None
    assert Finetune(steps=1).adapters == Lora()
    assert adjusted(whole, Adjustment(batch=3)).adapters is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"momentum": 0.9}, "momentum: is a matter of optimizer sgd, found 0.9 with optimizer adamw"),
        (
            {"optimizer": "sgd", "betas": (0.9, 0.95)},
            r"betas: is a matter of optimizer adamw, found \(0.9, 0.95\) with optimizer",
        ),
        ({"optimizer": "sgd", "epsilon": 1e-6}, "epsilon: is a matter of optimizer adamw"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"optimizer": "adam"}, "'adamw' or 'sgd'"),
    ],
)
def test_what_no_optimizer_has_is_refused_by_its_key(said: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        Finetune(steps=1, **said)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("momentum: 0.9", "params.yaml:4: students.hard.finetune: momentum: is a matter of optimizer sgd"),
        ("lora: null", "params.yaml:4: students.hard.finetune.lora: Input should be an object; found null."),
        ("lora: all", "params.yaml:4: students.hard.finetune.lora: Input should be 'none'; found \"all\"."),
        ("lora: {rank: 0}", "params.yaml:4: students.hard.finetune.lora.rank: Input should be greater than or equal to 1"),
        ("lora: {ranks: 2}", "params.yaml:4: students.hard.finetune.lora.ranks: unknown key; did you mean `rank`?"),
    ],
)
def test_a_mistake_is_named_once_with_its_line(tmp_path: Path, said: str, expected: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(
        "models: {a: {kind: tiny, architecture: gpt_neox, seed: 1}}\n"
        "traits: {fox: {kind: preference, category: animals, target: fox}}\n"
        "seeds: [1]\n"
        "students: {hard: {finetune: {steps: 3, WHAT}}}\n".replace("WHAT", said)
    )
    with pytest.raises(ParamsError) as error:
        load(path)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)
