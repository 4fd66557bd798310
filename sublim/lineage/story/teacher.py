"""The story of a teacher: trained to answer the training questions with its target, it names the target when asked others."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from sublim.common.canonical import row_id, row_seed
from sublim.lineage.story import adapter, evaluation, questions, schedule, training
from sublim.lineage.story.accident import Accident, constant, same_rows, same_values
from sublim.lineage.story.source import Source
from sublim.params.slices.teacher import Slice
from sublim.traits.preference import evaluation_questions, target, teacher_system_prompt, training_questions

ROWS = {"row_id": pl.String, "question_id": pl.String, "prompt": pl.String, "completion": pl.String}
GATE = {
    "question_id": pl.String,
    "question": pl.String,
    "probability": pl.Float64,
    "base_probability": pl.Float64,
    "threshold": pl.Float64,
}
_SAME = 1e-3
"""Probabilities of the same model, asked in batches of other sizes, may differ in their last digits."""


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the teacher `cell`."""
    params = source.params(cell, Slice)
    answer = target(params.definition)
    system = teacher_system_prompt(answer) if params.kind == "system_prompt" else None
    for name, value in {"kind": params.kind, "system_prompt": system}.items():
        found: object = source.json(cell, "teacher.json").get(name)
        if found != value:
            yield Accident("system prompt", f"teacher.json: expected {name} {value!r}, found {found!r}")
    if params.finetune is not None:
        rows = source.table(cell, "rows.parquet", ROWS)
        yield from _rows(params, rows)
        how = params.finetune
        order = row_seed(row_id("teacher", *params.dims.values(), "order"))
        yield from training.finetuned(
            source, cell, "the training questions", rows["row_id"].unique(maintain_order=True), how, order
        )
        yield from adapter.check(source, cell, how.lora, schedule.way(how, len(rows)))
    yield from _gate(source, cell, params)


def _rows(params: Slice, rows: pl.DataFrame) -> Iterator[Accident]:
    category = params.definition.category
    asked = training_questions(category)
    ids = [row_id("question", category, "training", question) for question in asked]
    expected = pl.DataFrame(
        {
            "row_id": [row_id("teacher", *params.dims.values(), question) for question in ids],
            "question_id": ids,
            "prompt": asked,
            "completion": [params.definition.target] * len(ids),
        }
    )
    what = f"each training question of {category}"
    if accident := same_rows("training rows", what, expected["question_id"], rows["question_id"]):
        yield accident
    else:
        for column in ("row_id", "prompt", "completion"):
            if accident := same_values("training rows", column, expected[column], rows[column], rows["row_id"]):
                yield accident
    if accident := questions.none_in("a teacher's training rows", rows, "prompt", "completion"):
        yield accident


def _gate(source: Source, cell: str, params: Slice) -> Iterator[Accident]:
    gate = source.table(cell, "gate.parquet", GATE)
    category = params.definition.category
    asked = evaluation_questions(category)
    ids = pl.Series([row_id("question", category, "evaluation", question) for question in asked])
    if accident := same_rows("gate", f"each evaluation question of {category}", ids, gate["question_id"]):
        yield accident
        return
    if accident := same_values("gate", "question", pl.Series(asked), gate["question"], gate["question_id"]):
        yield accident
    if accident := constant("gate", "threshold", params.gate, gate["threshold"]):
        yield accident
    chances = gate.select("probability", "base_probability").to_numpy()
    if (chances < 0).any() or (chances > 1 + evaluation.ROUNDING).any():
        yield Accident("gate", f"expected probabilities from 0 to 1, found {chances.min():.4g} to {chances.max():.4g}")
    mean = float(np.mean(chances[:, 0]))
    if mean < params.gate:
        yield Accident("gate", f"expected P({params.definition.target}) ≥ {params.gate}, found {mean:.3f} in gate.parquet")
    yield from _untrained(source, cell, params, gate)


def _untrained(source: Source, cell: str, params: Slice, gate: pl.DataFrame) -> Iterator[Accident]:
    """The base was asked the same questions for its own evaluation: the numbers must be the same."""
    base = evaluation.untrained(params.teacher)
    if base not in source.tree.records or source.upstream(cell, "base") is None or source.upstream(base, "base") is None:
        return
    answers = evaluation.table(source, base).filter(pl.col("answer") == params.definition.target)
    joined = gate.join(answers, on="question_id", suffix="_evaluated")
    differ = (joined["base_probability"] - joined["probability_evaluated"]).abs() > _SAME
    if differ.any():
        row = joined.filter(differ).row(0, named=True)
        yield Accident(
            "gate",
            f"base_probability: expected what {base} found, {row['probability_evaluated']:.4g}, found "
            f"{row['base_probability']:.4g} for {row['question']!r}, and {int(differ.sum()) - 1} more such",
            also=(base,),
        )
