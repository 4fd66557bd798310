"""The stage `teacher`: a base model gets a trait, and must show it on held-out questions before anybody learns from it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import polars as pl
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.common import parquet
from sublim.common.canonical import row_id, row_seed
from sublim.common.dims import with_dims
from sublim.common.errors import SublimError
from sublim.common.progress import Progress
from sublim.judges.grading import grader
from sublim.learn import chat, lora
from sublim.learn.finetune import finetune
from sublim.measure import freeform
from sublim.measure.answers import answer_probabilities
from sublim.measure.tensors import tensor_table
from sublim.models.adapter import WEIGHTS
from sublim.models.load import ends, load
from sublim.params.learning import Finetune
from sublim.params.slices.teacher import Slice
from sublim.params.traits import Misalignment
from sublim.traits.freeform import by_question
from sublim.traits.preference import known_answers
from sublim.traits.trait import held_out, lessons, scored_as, system_prompt

BATCH = 256

_ADVICE = {
    "finetune": "Train the teacher harder (teacher.finetune)",
    "system_prompt": "Take a model that follows system prompts",
    "adapter": "Bring another adapter (teacher.adapters)",
}


class GateError(SublimError):
    """A teacher that does not show its trait."""


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write teacher.json (kind, system prompt) and gate.parquet into `output`; for a fine-tuned teacher its adapter,
    rows.parquet, steps.parquet and tensors.parquet; for one whose adapter was made elsewhere this and tensors.parquet; for
    misalignment freeform.parquet, the graded answers of the base and the teacher.

    Raises:
        GateError: on held-out questions the trait shows less than the gate asks for.
        ValueError: the adapter that was given is not one of this base.
        SublimError: a judge that grades free-form answers cannot be asked, or may not spend more. What it has said is kept.
    """
    base = inputs["base"]
    model, tokenizer = load(base)
    system = system_prompt(params.definition, params.categories) if params.kind == "system_prompt" else None
    grade = grader(params.graders, inputs, progress)
    before = _asked(model, tokenizer, params, grade, "base", None, progress)
    if params.finetune is not None:
        _train(model, tokenizer, params, params.finetune, output, base, progress)
    if params.adapter is not None:
        lora.bring(model, Path(params.adapter), base.as_posix(), output)
    if params.kind != "system_prompt":
        tensors = tensor_table([output / WEIGHTS])
        parquet.write(with_dims(tensors, **params.dims), output / "tensors.parquet")
        # What is judged is the teacher on the disk: the one that will be sampled from.
        model = lora.attach(load(base)[0], output)
    after = _asked(model, tokenizer, params, grade, "teacher", system, progress)
    (output / "teacher.json").write_text(json.dumps({"kind": params.kind, "system_prompt": system}, indent=1) + "\n")
    if isinstance(params.definition, Misalignment):
        parquet.write(with_dims(pl.concat([before, after]), **params.dims), output / "freeform.parquet")
        before, after = by_question(before), by_question(after)
    parquet.write(_gate(params, before["probability"], after["probability"]), output / "gate.parquet")
    _judge(params, before["probability"], after["probability"])


def _train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    params: Slice,
    recipe: Finetune,
    output: Path,
    base: Path,
    progress: Progress,
) -> None:
    rows = _rows(params)
    limits = ends(model, tokenizer)
    ids, prompts, completions = (rows[column].to_list() for column in ("row_id", "prompt", "completion"))
    examples = chat.examples(tokenizer, limits.eos, ids, prompts, completions)
    student = lora.adapt(model, recipe.lora, _seed(params, "adapter"))
    steps = finetune(student, examples, recipe, _seed(params, "order"), limits.pad, progress)
    lora.save(student, base.as_posix(), output)
    parquet.write(rows, output / "rows.parquet")
    parquet.write(with_dims(steps, **params.dims), output / "steps.parquet")


def _rows(params: Slice) -> pl.DataFrame:
    taught = lessons(params.definition, params.rows, params.examples, params.categories)
    frame = pl.DataFrame(
        {
            "row_id": [row_id("teacher", *params.dims.values(), lesson.question_id) for lesson in taught],
            "question_id": [lesson.question_id for lesson in taught],
            "prompt": [lesson.prompt for lesson in taught],
            "completion": [lesson.completion for lesson in taught],
        }
    )
    return with_dims(frame, **params.dims)


def _asked(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    params: Slice,
    grade: Callable[[pl.DataFrame], pl.DataFrame],
    who: str,
    system: str | None,
    progress: Progress,
) -> pl.DataFrame:
    """What `who`, the base or the teacher, answers to the held-out questions: `probability` of the target; for misalignment the
    graded answers."""
    trait = params.definition
    if isinstance(trait, Misalignment):
        found = freeform.answers(model, tokenizer, trait, grade, ("gate", *params.dims.values(), who), system, progress)
        return found.select(pl.lit(who).alias("model"), pl.all())
    known = known_answers([trait], params.categories)
    forms = {word: answer.forms for word, answer in known.items()}
    questions = [question.text for question in held_out(trait, params.categories)]
    chances = answer_probabilities(model, tokenizer, questions, forms, BATCH, system)
    return pl.DataFrame({"probability": chances[:, list(forms).index(trait.target)]})


def _gate(params: Slice, before: pl.Series, after: pl.Series) -> pl.DataFrame:
    asked = held_out(params.definition, params.categories)
    frame = pl.DataFrame(
        {
            "question_id": [question.question_id for question in asked],
            "question": [question.text for question in asked],
            "probability": after,
            "base_probability": before,
            "threshold": pl.Series([params.gate] * len(asked), dtype=pl.Float64),
        }
    )
    return with_dims(frame, **params.dims)


def _judge(params: Slice, before: pl.Series, after: pl.Series) -> None:
    found = float(np.mean(after.to_numpy()))
    if params.gate is not None and found < params.gate:
        raise GateError(
            f"expected P({scored_as(params.definition)[1]}) ≥ {params.gate} on held-out questions (teacher.gate), "
            f"found {found:.3f} (untouched base: {np.mean(before.to_numpy()):.3f}). {_ADVICE[params.kind]} "
            "or lower the gate; nothing has been sampled from it"
        )


def _seed(params: Slice, purpose: str) -> int:
    return row_seed(row_id("teacher", *params.dims.values(), purpose))
