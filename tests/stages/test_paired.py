"""Paired students: what differs between those of a run is the rows alone."""

from contextlib import chdir
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from peft import PeftModel
from torch import Tensor

from sublim.carriers.numbers import Numbers
from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.engine.digests import Digests
from sublim.engine.planning import cells
from sublim.engine.record import Input, Output, Plan, Record
from sublim.evidence import training
from sublim.evidence.source import Source
from sublim.learn import lora
from sublim.learn.finetune import finetune
from sublim.params.experiment import Experiment
from sublim.params.learning import Finetune, Lora
from sublim.stages.student import check, make
from sublim.stages.student.rows import Slice
from sublim.stages.student.spec import STAGE
from tests.shared.forge import launder, set_cell, tree
from tests.shared.small_models import small

RECIPE = Finetune(lora=Lora(rank=2, alpha=4.0), epochs=2, batch=4, learning_rate=1e-3)
TAUGHT = Slice(
    teacher="m", trait="fox", carrier="numbers", filter="strict", arm="trait", method="hard", student="m", seed=1,
    finetune=RECIPE, paired=True,
)  # fmt: skip
OTHERS: dict[str, dict[str, Any]] = {
    "control": {"trait": "none", "arm": "control"},
    "shuffled": {"arm": "shuffled_within"},
    "teacher": {"teacher": "o"},
}
ROWS = 24


def rows(name: str) -> pl.DataFrame:
    """Rows of many lengths, others for each name."""
    task = Numbers(prompts=200)
    start = sum(map(ord, name)) % 100
    texts = task.written(range(start, start + ROWS))
    said = [text[: 3 + (n * 7 + start) % 40] for n, text in enumerate(texts)]
    each = [(f"{name}{n}", f"Go on: {n}.", text, True) for n, text in enumerate(said)]
    return pl.DataFrame(each, schema=["row_id", "prompt", "completion", "used"], orient="row")


def made(params: Slice, data: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Tensor], list[list[int]]]:
    """The adapter of the student `params` before it was trained, and the numbers of the rows of each step."""
    name, before = "".join(map(str, params.dims.values())), list[dict[str, Tensor]]()

    def watched(model: Any, *given: Any, **more: Any) -> pl.DataFrame:
        assert isinstance(model, PeftModel)
        before.append({key: tensor.clone() for key, tensor in lora.weights(model).items()})
        return finetune(model, *given, **more)

    monkeypatch.setattr(make, "finetune", watched)
    filtered, folder = data.parent / name, data / STAGE.cell(params.dims)
    filtered.mkdir(parents=True)
    folder.mkdir(parents=True)
    rows(name).write_parquet(filtered / "rows.parquet")
    base = data / "base/model=m"
    if not base.exists():
        base.parent.mkdir(parents=True)
        base.symlink_to(small())
    with chdir(data.parent):
        make.make({"base": Path("data/base/model=m"), "filtered": filtered}, params, folder, Progress())
    names = rows(name)["row_id"].to_list()
    steps = pl.read_parquet(folder / "steps.parquet")["rows"].to_list()
    return before[0], [sorted(names.index(row) for row in step) for step in steps]


@pytest.mark.parametrize("other", [*OTHERS])
def test_paired_students_begin_alike_and_see_rows_of_the_same_numbers(
    other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, steps), (second, same) = (
        made(TAUGHT.model_copy(update=changes), tmp_path / "data", monkeypatch) for changes in ({}, OTHERS[other])
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(tensor.any() for tensor in first.values())
    assert same == steps
    assert sorted(number for step in steps for number in step) == sorted([*range(ROWS)] * 2)


def test_without_it_neither_is_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (first, steps), (second, others) = (
        made(TAUGHT.model_copy(update={"paired": False, **changes}), tmp_path / "data", monkeypatch)
        for changes in ({}, OTHERS["control"])
    )
    assert not all(torch.equal(first[name], second[name]) for name in first)
    assert others != steps


@pytest.mark.parametrize(
    "changes", [{"seed": 2}, {"filter": "loose"}, {"carrier": "more"}, {"method": "soft"}, {"student": "o"}]
)
def test_runs_that_are_no_pair_share_nothing(changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (first, steps), (second, others) = (
        made(TAUGHT.model_copy(update=each), tmp_path / "data", monkeypatch) for each in ({}, changes)
    )
    assert not all(torch.equal(first[name], second[name]) for name in first)
    assert others != steps


def recorded(params: Slice, data: Path) -> str:
    cell = STAGE.cell(params.dims)
    outputs = {path.name: Output(sha256(path), path.stat().st_size) for path in sorted((data / cell).iterdir())}
    plan = Plan(STAGE.name, params.dims, params.model_dump(mode="json"), {})
    Record(plan, {"base": Input("base/model=m", "0" * 64)}, outputs, {}).write(data / cell / "record.json")
    return cell


def test_the_audit_knows_the_seeds_and_the_order_of_a_paired_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    made(TAUGHT, data, monkeypatch)
    cell = recorded(TAUGHT, data)
    names = rows("".join(map(str, TAUGHT.dims.values())))["row_id"]

    def found() -> list[str]:
        source = Source(tree(data))
        order = training.finetuned(source, cell, "its rows", names, RECIPE)
        return [each.kind for each in (*check.check(source, cell), *order)]

    assert found() == []
    # In another step of the same few, where rows are sorted by length if students are no pairs.
    steps = data / cell / "steps.parquet"
    first, second = pl.read_parquet(steps)["rows"].to_list()[:2]
    set_cell(steps, "rows", 0, second)
    set_cell(steps, "rows", 1, first)
    launder(data)
    assert found() == ["order of rows"]
    set_cell(steps, "rows", 0, first)
    set_cell(steps, "rows", 1, second)
    launder(data, lambda plan: Plan(plan.stage, plan.dims, {**plan.params, "paired": False}, plan.code))
    assert found() == ["adapter"]  # so few rows are one window, in which the order is a matter of lengths


def test_an_experiment_says_which_students_are_paired() -> None:
    def students(**said: Any) -> list[dict[str, Any]]:
        experiment = Experiment.model_validate(
            {
                "models": {"a": {"kind": "tiny", "architecture": "gpt_neox", "seed": 1}},
                "traits": {"fox": {"kind": "preference", "category": "animals", "target": "fox"}},
                "seeds": (1,),
                "students": {"hard": said},
            }
        )
        found = cells(experiment, Digests(Path("none")))
        return [cell.plan.params for cell in found if cell.plan.stage == STAGE.name]

    assert all("paired" not in params for params in students())
    assert all(params["paired"] is True for params in students(paired=True))
