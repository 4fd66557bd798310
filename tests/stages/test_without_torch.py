"""What follows from params alone stands in one place (without torch: tests/engine/test_layers.py): training follows it, and so
do checks of training."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sublim.common import parquet
from sublim.common.canonical import row_id, row_seed
from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.engine.record import Output, Plan, Record
from sublim.evidence import training
from sublim.evidence.source import Source
from sublim.learn import schedule, trained
from sublim.learn.finetune import finetune
from sublim.params.learning import Finetune
from tests.shared.forge import tree
from tests.shared.small_models import loaded, number_rows


def test_training_and_its_check_follow_one_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were another schedule in its place, both would follow that."""

    def share(_params: Finetune, step: int, _steps: int) -> float:
        return 1 / (step + 2)

    def one_by_one(rows: int, *_: object, **__: object) -> list[schedule.Stretch]:
        return [schedule.Stretch(1, np.array([row])) for row in range(rows)]

    monkeypatch.setattr(schedule, "share", share)
    monkeypatch.setattr(schedule, "stretches", one_by_one)
    recipe, plan = Finetune(epochs=1, batch=2, learning_rate=0.5), Plan("student", {"seed": 1}, {}, {})
    model, tokenizer = loaded()
    rows = number_rows(model, tokenizer, 4)
    seed = row_seed(row_id("student", 1, "order"))
    steps = finetune(trained.prepare(model, recipe, 1), rows, recipe, seed, 0, Progress())
    assert steps["learning_rate"].to_list() == [0.5 / (step + 2) for step in range(4)]
    assert steps["rows"].to_list() == [[row.row_id] for row in rows]

    file = tmp_path / plan.cell / "steps.parquet"
    file.parent.mkdir(parents=True)
    parquet.write(parquet.with_dims(steps, **plan.dims), file)
    Record(plan, {}, {file.name: Output(sha256(file), file.stat().st_size)}, {}).write(file.with_name("record.json"))

    def accidents() -> list[str]:
        names = pl.Series([row.row_id for row in rows])
        return [each.kind for each in training.finetuned(Source(tree(tmp_path)), plan.cell, "its rows", names, recipe)]

    assert accidents() == []
    monkeypatch.undo()
    assert "steps" in accidents()
