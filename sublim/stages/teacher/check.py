"""The story of a teacher: trained on the rows of its trait, or given it otherwise, it shows the trait on held-out questions."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from sublim.engine.record import Record
from sublim.evidence import adapter, freeform, questions, trained
from sublim.evidence.accident import Accident, constant, same_columns, same_rows, same_values
from sublim.evidence.source import Source
from sublim.stages.eval.check import ROUNDING
from sublim.stages.eval.rows import Answers
from sublim.stages.eval.spec import STAGE as EVAL
from sublim.stages.eval.spec import untrained
from sublim.stages.teacher import rows
from sublim.stages.teacher.rows import FreeFormAnswers, Gate, Rows, Slice
from sublim.traits.freeform import FreeForm, by_question

_SAME = 1e-3  #: Probabilities of the same model, asked in batches of other sizes, may differ in their last digits.


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the teacher `cell`."""
    params = source.params(cell, Slice)
    system = params.definition.system_prompt(params.categories) if params.kind == "system_prompt" else None
    due, found = {"kind": params.kind, "system_prompt": system}, source.json(cell, "teacher.json")
    for name in [*due, *sorted(found.keys() - due)]:
        if found.get(name) != due.get(name):
            yield Accident("system prompt", f"teacher.json: expected {name} {due.get(name)!r}, found {found.get(name)!r}")
    if params.finetune is not None:
        taught = source.table(cell, Rows)
        yield from _lessons(params, taught)
        lessons = taught["row_id"].unique(maintain_order=True)
        yield from trained.finetuned(source, cell, "base", "the training questions", lessons, params.finetune)
    if params.adapter is not None:
        yield from adapter.brought(source, cell, "base", params.files)
    yield from _gate(source, cell, params)


def read_besides(record: Record) -> list[str]:
    """The evaluation of its base, which was asked the questions of the gate as well."""
    return [EVAL.cell(untrained(str(record.plan.dims.get("teacher"))))]


def _lessons(params: Slice, found: pl.DataFrame) -> Iterator[Accident]:
    expected, (category, _) = rows.lessons(params), params.definition.scored_as
    what = f"each training question of {category}"
    if wrong := same_rows("training rows", what, expected["question_id"], found["question_id"]):
        yield from wrong
    else:
        yield from same_columns("training rows", ("row_id", "prompt", "completion"), expected, found, found["row_id"])
    if accident := questions.none_in("a teacher's training rows", found, "prompt", "completion"):
        yield accident


def _gate(source: Source, cell: str, params: Slice) -> Iterator[Accident]:
    gate, expected = source.table(cell, Gate), rows.gate(params)
    category, target = params.definition.scored_as
    names = gate["question_id"]
    if wrong := same_rows("gate", f"each evaluation question of {category}", expected["question_id"], names):
        yield from wrong
        return
    yield from same_values("gate", "question", expected["question"], gate["question"], names)
    yield from constant("gate", "threshold", params.gate, gate["threshold"])
    chances = gate.select("probability", "base_probability").to_numpy()
    if (chances < 0).any() or (chances > 1 + ROUNDING).any():
        yield Accident("gate", f"expected probabilities from 0 to 1, found {chances.min():.4g} to {chances.max():.4g}")
    mean = float(np.mean(chances[:, 0]))
    if params.gate is not None and mean < params.gate:
        yield Accident("gate", f"expected P({target}) ≥ {params.gate}, found {mean:.3f} in gate.parquet")
    if isinstance(params.definition, FreeForm):
        yield from _answers(source, cell, params, params.definition, gate)
    else:
        yield from _untrained(source, cell, params, target, gate)


def _answers(source: Source, cell: str, params: Slice, trait: FreeForm, gate: pl.DataFrame) -> Iterator[Accident]:
    """The gate's shares are those of the graded answers."""
    table = source.table(cell, FreeFormAnswers)
    for who, column in {"base": "base_probability", "teacher": "probability"}.items():
        answers = table.filter(pl.col("model") == who)
        found = list(freeform.check(trait, params.graders, ("gate", *params.dims.values(), who), answers))
        yield from found
        if not found:
            shares = by_question(answers)["probability"]
            yield from same_values("gate", f"{column} (of freeform.parquet)", shares, gate[column], gate["question_id"])
    if len(strange := set(table["model"]) - {"base", "teacher"}):
        yield Accident("free-form answers", f"expected those of base and teacher, found some of {sorted(strange)}")


def _untrained(source: Source, cell: str, params: Slice, target: str, gate: pl.DataFrame) -> Iterator[Accident]:
    """The base was asked the same questions for its own evaluation: the numbers must be the same."""
    base = EVAL.cell(untrained(params.teacher))
    if base not in source.tree.records or source.upstream(cell, "base") is None or source.upstream(base, "base") is None:
        return
    answers = source.table(base, Answers).filter(pl.col("answer") == target)
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
