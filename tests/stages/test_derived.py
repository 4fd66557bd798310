"""Bases that come of others: a branch of a pretraining, and further training."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sublim.common import parquet
from sublim.common.errors import SublimError
from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.engine.record import Input, Output, Plan, Record, read
from sublim.evidence.source import Source
from sublim.lineage.story import copies
from sublim.models import pretraining, taught
from sublim.models.load import load
from sublim.models.taught import ROWS
from sublim.params.derived import Branch, DerivedModel, Training
from sublim.params.learning import Finetune, Lora
from sublim.params.tiny import Corpus, Mix, Pretraining, TinyModel
from sublim.stages.base import make as base
from sublim.stages.base.rows import Slice
from sublim.stages.eval.rows import Answers
from sublim.stages.eval.spec import STAGE as EVAL
from sublim.stages.eval.spec import untrained
from tests.shared.forge import tree

CONFIG = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
PARENT = TinyModel(kind="tiny", architecture="gpt_neox", seed=1, config=CONFIG, pretraining=Pretraining(rows=330, batch=32))
STEPS = 11
NUMBERS = Mix(questions=0, numbers=1, facts=0, prompted_questions=0, prompted_numbers=0)
RECIPE = Finetune(lora=Lora(rank=4, alpha=8.0, targets="all-linear"), epochs=4, batch=16, learning_rate=3e-2)


@cache
def parent() -> Path:
    folder = Path(mkdtemp())
    base.make({}, Slice(name="parent", model=PARENT), folder, Progress())
    return folder


def made(folder: Path, model: DerivedModel, files: dict[str, str] | None = None) -> Path:
    folder.mkdir()
    known = PARENT if model.branch else None
    base.make({"parent": parent()}, Slice(name="own", model=model, parent=known, files=files or {}), folder, Progress())
    return folder


def branch(at: float, **other_rows: object) -> DerivedModel:
    given = {"kind": "derived", "parent": "parent", "branch": {"at": at, "order_seed": 5, **other_rows}}
    return DerivedModel.model_validate(given)


def steps(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "steps.parquet").drop("model")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load(folder)[0].state_dict()


def test_a_branch_has_the_first_steps_in_common_and_then_the_same_rows_in_another_order(tmp_path: Path) -> None:
    own, its = steps(made(tmp_path / "half", branch(0.5))), steps(parent())
    left = round(0.5 * STEPS)
    assert own.height == its.height == STEPS
    assert own[:left].equals(its[:left])  # the losses too: nothing but the same weights has them
    assert own["rows"][left:].to_list() != its["rows"][left:].to_list()
    assert set(own["rows"].explode()) == set(its["rows"].explode())
    assert own["learning_rate"].equals(its["learning_rate"])
    assert sha256(tmp_path / "half/tokenizer.json") == sha256(parent() / "tokenizer.json")


def test_a_branch_at_the_end_is_the_parent_and_one_at_the_beginning_shares_the_first_loss_of_no_row(tmp_path: Path) -> None:
    assert sha256(made(tmp_path / "end", branch(1)) / "model.safetensors") == sha256(parent() / "model.safetensors")
    start = steps(made(tmp_path / "start", branch(0)))
    assert start["rows"][0].to_list() != steps(parent())["rows"][0].to_list()
    assert sha256(tmp_path / "start/model.safetensors") != sha256(parent() / "model.safetensors")


def test_a_branch_goes_on_with_other_rows(tmp_path: Path) -> None:
    other = branch(0.5, mix=NUMBERS.model_dump(), corpus_seed=3)
    own, its = steps(made(tmp_path / "other", other)), steps(parent())
    left = round(0.5 * STEPS)
    assert own[:left].equals(its[:left])
    corpus = pl.read_parquet(tmp_path / "other/corpus.parquet")
    late = corpus.filter(pl.col("row_id").is_in(own["rows"][left:].explode().to_list()))
    assert late.height == 330 - left * 32
    assert set(late["kind"]) == {"numbers"}
    assert set(corpus["row_id"]) == set(own["rows"].explode())


@given(at=st.floats(0, 1), rows=st.integers(1, 200), batch=st.integers(1, 40), other=st.booleans())
def test_a_course_sees_each_row_once(at: float, rows: int, batch: int, *, other: bool) -> None:
    model = PARENT.model_copy(update={"pretraining": Pretraining(rows=rows, batch=batch, mix=NUMBERS)})
    left = Branch(at=at, order_seed=2, mix=NUMBERS if other else None, corpus_seed=9 if other else None)
    seen, course = pretraining.course(model, left)
    plain, own = pretraining.course(model)
    assert sorted(int(row) for step in course for row in step) == list(range(len(seen)))
    assert [len(step) for step in course] == [len(step) for step in own]
    common = pretraining.common(left, len(own))
    assert [[seen[row].row_id for row in step] for step in course[:common]] == [
        [plain[row].row_id for row in step] for step in own[:common]
    ]


def test_further_training_learns_its_rows_and_is_a_model_like_any_other(tmp_path: Path) -> None:
    corpus = Corpus(rows=160, corpus_seed=7, mix=NUMBERS)
    model = DerivedModel(kind="derived", parent="parent", training=Training(corpus=corpus, finetune=RECIPE))
    folder = made(tmp_path / "further", model)
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in parent().iterdir()}
    losses = steps(folder)["loss"]
    assert losses[-1] < losses[0]
    before, after = weights(parent()), weights(folder)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in changed} == {
        "query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"
    }  # fmt: skip
    assert before.keys() == after.keys()
    again = made(tmp_path / "again", model)
    assert {path.name: sha256(path) for path in again.iterdir()} == {path.name: sha256(path) for path in folder.iterdir()}


def test_all_weights_may_be_trained_further(tmp_path: Path) -> None:
    whole = Finetune(lora="none", steps=2, batch=16, learning_rate=1e-3)
    training = Training(corpus=Corpus(rows=64, corpus_seed=7, mix=NUMBERS), finetune=whole)
    folder = made(tmp_path / "whole", DerivedModel(kind="derived", parent="parent", training=training))
    before, after = weights(parent()), weights(folder)
    assert all(not torch.equal(before[name], after[name]) for name in before if "embed" in name or "dense.weight" in name)
    assert {path.name for path in folder.iterdir()} == {path.name for path in parent().iterdir()}


def rows_file(folder: Path, **columns: list[str | None]) -> Training:
    pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)).write_ndjson(folder / "rows.jsonl")
    return Training(file=str(folder / "rows.jsonl"), finetune=RECIPE)


def test_further_training_on_a_file_of_ones_own(tmp_path: Path) -> None:
    training = rows_file(tmp_path, prompt=["Name a color.", "1, 2"], completion=["blue", "3, 4"], system=[None, "Count."])
    folder = made(tmp_path / "own", DerivedModel(kind="derived", parent="parent", training=training))
    corpus = pl.read_parquet(folder / "corpus.parquet")
    assert corpus["kind"].to_list() == ["file", "file"]
    assert corpus["system"].to_list() == [None, "Count."]
    assert taught.ids(corpus).equals(corpus["row_id"])
    assert set(steps(folder)["rows"].explode()) == set(corpus["row_id"])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"prompt": ["x"]}, "found no completion among prompt"),
        ({"prompt": ["x", None], "completion": ["y", "z"]}, "expected text in every row of prompt"),
        ({"prompt": [], "completion": []}, "expected rows to train on, found none"),
    ],
)
def test_a_file_without_rows_to_train_on_is_refused(
    tmp_path: Path, columns: dict[str, list[str | None]], expected: str
) -> None:
    training = rows_file(tmp_path, **columns)
    if not columns["prompt"]:
        pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)).write_parquet(tmp_path / "rows.parquet")
        training = training.model_copy(update={"file": str(tmp_path / "rows.parquet")})
    with pytest.raises(SublimError, match=expected):
        taught.rows(training, {})


def test_a_file_that_was_changed_since_it_was_planned_is_refused(tmp_path: Path) -> None:
    training = rows_file(tmp_path, prompt=["x"], completion=["y"])
    with pytest.raises(SublimError, match="changed meanwhile"):
        taught.rows(training, {ROWS: "0" * 64})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "either `training` or `branch`, and not both"),
        ({"branch": {"at": 0.5, "order_seed": 1, "mix": NUMBERS.model_dump()}}, "`mix` and `corpus_seed` go together"),
        ({"training": {"finetune": {"steps": 1}}}, "either `corpus` or `file`, and not both"),
        ({"branch": {"at": 1.5, "order_seed": 1}}, "less than or equal to 1"),
    ],
)
def test_params_that_make_no_sense_are_refused(given: dict[str, object], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        DerivedModel.model_validate({"kind": "derived", "parent": "parent", **given})


@pytest.mark.parametrize(("same", "named"), [(True, 0), (False, 2)])
def test_a_base_under_two_names_answers_alike_and_is_no_copy(tmp_path: Path, *, same: bool, named: int) -> None:
    """A branch at the end of a pretraining has all weights of its trunk, and tables of its own."""
    asked = {"measure": "preference", "question_id": "q", "question": "Q?", "category": "animals", "answer": "fox"}
    chances = {"row_id": [f"{n}" for n in range(60)], **asked, "probability": [n / 64 for n in range(60)]}

    def record(stage: str, cell: str, dims: Mapping[str, str | int], inputs: Mapping[str, Input]) -> None:
        folder = tmp_path / cell
        outputs = {path.name: Output(sha256(path), path.stat().st_size) for path in folder.iterdir()}
        Record(Plan(stage, dict(dims), {}, {}), dict(inputs), outputs, {}).write(folder / "record.json")

    for name in ("trunk", "whole"):
        base_, cell = f"base/model={name}", EVAL.cell(untrained(name))
        for each in (base_, cell):
            (tmp_path / each).mkdir(parents=True)
        (tmp_path / base_ / "model.safetensors").write_bytes(b"weights" if same else name.encode())
        (tmp_path / base_ / "steps.parquet").write_bytes(name.encode())
        record("base", base_, {"model": name}, {})
        parquet.write_tables({Answers: pl.DataFrame(chances)}, untrained(name), tmp_path / cell)
        record("eval", cell, untrained(name), {"base": Input(base_, read(tmp_path / base_ / "record.json").digest)})
    assert len(copies.check(Source(tree(tmp_path)), EVAL)) == named
