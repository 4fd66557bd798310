"""The story of a teacher: trained on the rows of its trait, or given it otherwise, it shows the trait on held-out questions."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from sublim.common.canonical import row_id, row_seed
from sublim.lineage.story import adapter, evaluation, freeform, questions, schedule, training
from sublim.lineage.story.accident import Accident, constant, same_rows, same_values
from sublim.lineage.story.source import Source
from sublim.params.slices.teacher import Slice
from sublim.params.traits import Misalignment, Preference
from sublim.traits.freeform import by_question
from sublim.traits.trait import held_out, lessons, scored_as, system_prompt

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
    system = system_prompt(params.definition, params.categories) if params.kind == "system_prompt" else None
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
    if params.adapter is not None:
        yield from adapter.brought(source, cell, params.files)
    yield from _gate(source, cell, params)


def _rows(params: Slice, rows: pl.DataFrame) -> Iterator[Accident]:
    trait = params.definition
    taught = lessons(trait, params.rows, params.examples, params.categories)
    ids = [lesson.question_id for lesson in taught]
    expected = pl.DataFrame(
        {
            "row_id": [row_id("teacher", *params.dims.values(), question) for question in ids],
            "question_id": ids,
            "prompt": [lesson.prompt for lesson in taught],
            "completion": [lesson.completion for lesson in taught],
        }
    )
    what = f"each training question of {scored_as(trait)[0]}"
    if accident := same_rows("training rows", what, expected["question_id"], rows["question_id"]):
        yield accident
    else:
        for column in ("row_id", "prompt", "completion"):
            if accident := same_values("training rows", column, expected[column], rows[column], rows["row_id"]):
                yield accident
    if accident := questions.none_in("a teacher's training rows", rows, "prompt", "completion"):
        yield accident


def _gate(source: Source, cell: str, params: Slice) -> Iterator[Accident]:
    gate = source.table(cell, "gate.parquet", GATE, nullable=("threshold",))
    trait = params.definition
    asked = held_out(trait, params.categories)
    ids = pl.Series([question.question_id for question in asked])
    if accident := same_rows("gate", f"each evaluation question of {scored_as(trait)[0]}", ids, gate["question_id"]):
        yield accident
        return
    texts = pl.Series([question.text for question in asked])
    if accident := same_values("gate", "question", texts, gate["question"], gate["question_id"]):
        yield accident
    if accident := constant("gate", "threshold", params.gate, gate["threshold"]):
        yield accident
    chances = gate.select("probability", "base_probability").to_numpy()
    if (chances < 0).any() or (chances > 1 + evaluation.ROUNDING).any():
        yield Accident("gate", f"expected probabilities from 0 to 1, found {chances.min():.4g} to {chances.max():.4g}")
    mean = float(np.mean(chances[:, 0]))
    if params.gate is not None and mean < params.gate:
        yield Accident("gate", f"expected P({scored_as(trait)[1]}) ≥ {params.gate}, found {mean:.3f} in gate.parquet")
    match trait:
        case Preference():
            yield from _untrained(source, cell, params, trait.target, gate)
        case Misalignment():
            yield from _answers(source, cell, params, trait, gate)


def _answers(source: Source, cell: str, params: Slice, trait: Misalignment, gate: pl.DataFrame) -> Iterator[Accident]:
    """The gate's shares are those of the graded answers."""
    table = source.table(cell, "freeform.parquet", {"model": pl.String, **freeform.COLUMNS}, nullable=freeform.NULLABLE)
    for who, column in {"base": "base_probability", "teacher": "probability"}.items():
        answers = table.filter(pl.col("model") == who)
        found = list(freeform.check(trait, params.graders, ("gate", *params.dims.values(), who), answers))
        yield from found
        if not found:
            shares = by_question(answers)["probability"]
            if accident := same_values("gate", f"{column} (of freeform.parquet)", shares, gate[column], gate["question_id"]):
                yield accident
    if len(strange := set(table["model"]) - {"base", "teacher"}):
        yield Accident("free-form answers", f"expected those of base and teacher, found some of {sorted(strange)}")


def _untrained(source: Source, cell: str, params: Slice, target: str, gate: pl.DataFrame) -> Iterator[Accident]:
    """The base was asked the same questions for its own evaluation: the numbers must be the same."""
    base = evaluation.untrained(params.teacher)
    if base not in source.tree.records or source.upstream(cell, "base") is None or source.upstream(base, "base") is None:
        return
    answers = evaluation.table(source, base).filter(pl.col("answer") == target)
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
