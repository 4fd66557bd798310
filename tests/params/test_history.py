"""What two models have in common, by their params."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sublim.engine.digests import Digests
from sublim.engine.planning import cells
from sublim.params.experiment import Experiment
from sublim.params.history import relatives

TINY = {"kind": "tiny", "architecture": "gpt_neox", "seed": 1}
MIX = {"questions": 0.5, "numbers": 0.5, "facts": 0.0, "prompted_questions": 0.0, "prompted_numbers": 0.0}


def branch(at: float, order_seed: int = 3, **more: Any) -> dict[str, Any]:
    return {"kind": "derived", "parent": "trunk", "branch": {"at": at, "order_seed": order_seed, **more}}


def other(at: float, order_seed: int = 3, corpus_seed: int = 7) -> dict[str, Any]:
    return branch(at, order_seed, corpus_seed=corpus_seed, mix=MIX)


TRAINING = {
    "corpus": {"rows": 64, "corpus_seed": 5, "mix": MIX},
    "finetune": {"epochs": 1, "batch": 16, "learning_rate": 0.01, "lora": {"rank": 4, "targets": "all-linear"}},
}
MODELS = {
    "trunk": TINY,
    "stranger": {**TINY, "seed": 2},
    "quarter": branch(0.25),
    "half": branch(0.5),
    "again": branch(0.5),
    "reordered": branch(0.5, order_seed=4),
    "whole": branch(1.0),
    "rows": other(0.5),
    "rows-reordered": other(0.5, order_seed=4),
    "rows-others": other(0.5, corpus_seed=8),
    "rows-late": other(0.75),
    "further": {"kind": "derived", "parent": "half", "training": TRAINING},
}


def experiment(models: Mapping[str, Any], arms: Mapping[str, Any]) -> Experiment:
    return Experiment.model_validate(
        {
            "models": models,
            "traits": {"fox": {"kind": "preference", "category": "animals", "target": "fox"}},
            "seeds": (1,),
            "studies": {"s": {"carrier": "numbers", "filter": "strict", "student": "hard", "arms": arms}},
        }
    )


@pytest.mark.parametrize(
    ("one", "two", "share", "way"),
    [
        ("trunk", "half", 0.5, "order"),
        ("trunk", "rows", 0.5, "mix"),
        ("trunk", "trunk", 1.0, "both"),
        ("trunk", "whole", 1.0, "both"),
        ("half", "half", 1.0, "both"),
        ("half", "again", 1.0, "both"),
        ("half", "reordered", 0.5, "order"),
        ("quarter", "half", 0.25, "order"),
        ("quarter", "rows-late", 0.25, "mix"),
        ("half", "rows", 0.5, "mix"),
        ("rows", "rows-reordered", 0.5, "order"),
        ("rows", "rows-others", 0.5, "mix"),
    ],
)
def test_what_relatives_have_in_common(one: str, two: str, share: float, way: str) -> None:
    models = experiment(MODELS, {"trait": "same", "control": "same"}).models
    for pair in ((one, two), (two, one)):
        found = relatives(*pair, models)
        assert found is not None
        assert (found.trunk, found.share, found.way) == ("trunk", share, way)


@pytest.mark.parametrize("pair", [("trunk", "stranger"), ("stranger", "half"), ("further", "half"), ("further", "further")])
def test_who_is_of_no_common_pretraining(pair: tuple[str, str]) -> None:
    assert relatives(*pair, experiment(MODELS, {"trait": "same", "control": "same"}).models) is None


def reported(models: Mapping[str, Any], arms: Mapping[str, Any]) -> Mapping[str, Any]:
    plans = {cell.id: cell.plan.params for cell in cells(experiment(models, arms), Digests(Path("none")))}
    return plans["report/study=s"]


def test_a_report_knows_the_relatives_of_its_study_alone() -> None:
    few = {name: MODELS[name] for name in ("trunk", "stranger", "half")}
    across = reported(few, {"trait": "all", "control": "all"})["relatives"]
    assert {(each["teacher"], each["student"]): each["share"] for each in across} == {
        ("trunk", "trunk"): 1.0, ("trunk", "half"): 0.5, ("half", "trunk"): 0.5, ("half", "half"): 1.0,
    }  # fmt: skip
    # Who is compared with itself alone, with a stranger, or in controls, is no relative: such a report is what it was.
    assert "relatives" not in reported(few, {"trait": "same", "control": "all"})
    strangers = {"trunk": TINY, "stranger": MODELS["stranger"]}
    assert "relatives" not in reported(strangers, {"trait": "all", "control": "all"})
