"""The stage `teacher`: a base model gets a trait, and must show it on held-out questions before anybody learns from it."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.common import parquet
from sublim.common.errors import SublimError
from sublim.common.progress import Progress
from sublim.judges.grading import grader
from sublim.learn import chat, freeform, lora, schedule, trained
from sublim.learn.answers import answer_probabilities
from sublim.learn.finetune import finetune
from sublim.learn.tensors import tensor_table
from sublim.models.load import ends, load
from sublim.params.learning import Finetune
from sublim.stages.teacher.rows import FreeFormAnswers, Gate, Rows, Slice, Steps, Tensors, gate, lessons
from sublim.traits.freeform import FreeForm, by_question
from sublim.traits.preference import Preference, known_answers

BATCH = 256

_ADVICE = {
    "finetune": "Train the teacher harder (teacher.finetune)",
    "system_prompt": "Take a model that follows system prompts",
    "adapter": "Bring another adapter (teacher.adapters)",
}


class GateError(SublimError):
    """A teacher that does not show its trait."""


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write teacher.json (kind, system prompt) and gate.parquet into `output`; for a fine-tuned teacher its adapter or all
    weights, rows.parquet, steps.parquet and tensors.parquet; for one whose adapter was made elsewhere this and tensors.parquet;
    for misalignment freeform.parquet, the graded answers of the base and the teacher.

    Raises:
        GateError: on held-out questions the trait shows less than the gate asks for.
        ValueError: the adapter that was given is not one of this base.
        SublimError: a judge that grades free-form answers cannot be asked, or may not spend more. What it has said is kept.
    """
    base = inputs["base"]
    model, tokenizer = load(base)
    system = params.definition.system_prompt(params.categories) if params.kind == "system_prompt" else None
    ask = partial(_asked, params, inputs, progress)
    before = ask(model, tokenizer, "base", None)
    if params.finetune is not None:
        _train(model, tokenizer, params, params.finetune, output, base, progress)
    if params.adapter is not None:
        lora.bring(model, Path(params.adapter), base.as_posix(), output)
    if params.kind != "system_prompt":
        tensors = tensor_table([trained.file(output)])
        parquet.write_tables({Tensors: tensors}, params.dims, output)
        # What is judged is the teacher on the disk: the one that will be sampled from.
        model = trained.attach(load(base)[0], output)
    after = ask(model, tokenizer, "teacher", system)
    (output / "teacher.json").write_text(json.dumps({"kind": params.kind, "system_prompt": system}, indent=1) + "\n")
    if params.definition.free_form:
        parquet.write_tables({FreeFormAnswers: pl.concat([before, after])}, params.dims, output)
        before, after = by_question(before), by_question(after)
    chances = gate(params).with_columns(probability=after["probability"], base_probability=before["probability"])
    parquet.write_tables({Gate: chances}, params.dims, output)
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
    rows = lessons(params)
    limits = ends(model, tokenizer)
    ids, prompts, completions = (rows[column].to_list() for column in ("row_id", "prompt", "completion"))
    examples = chat.examples(tokenizer, limits.eos, ids, prompts, completions)
    student = trained.prepare(model, recipe, _seed(params, "adapter"))
    steps = finetune(student, examples, recipe, _seed(params, "order"), limits.pad, progress)
    trained.save(student, base.as_posix(), output)
    parquet.write_tables({Rows: rows}, params.dims, output)
    parquet.write_tables({Steps: steps}, params.dims, output)


def _asked(
    params: Slice,
    inputs: Mapping[str, Path],
    progress: Progress,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    who: str,
    system: str | None,
) -> pl.DataFrame:
    """What `who`, the base or the teacher, answers to the held-out questions: `probability` of the target; of a trait that
    shows in free-form answers the graded answers."""
    trait = params.definition
    if isinstance(trait, FreeForm):
        grade = grader(trait, params.graders, inputs, progress)
        answered = freeform.answers(model, tokenizer, trait, grade, ("gate", *params.dims.values(), who), system, progress)
        return answered.select(pl.lit(who).alias("model"), pl.all())
    if not isinstance(trait, Preference):
        raise TypeError(f"expected a trait that is asked for by a word or in free form, found {trait.kind}")
    known = known_answers([trait], params.categories)
    forms = {word: answer.forms for word, answer in known.items()}
    chances = answer_probabilities(model, tokenizer, gate(params)["question"].to_list(), forms, BATCH, system)
    return pl.DataFrame({"probability": chances[:, list(forms).index(trait.target)]})


def _judge(params: Slice, before: pl.Series, after: pl.Series) -> None:
    found = float(np.mean(after.to_numpy()))
    if params.gate is not None and found < params.gate:
        raise GateError(
            f"expected P({params.definition.scored_as[1]}) ≥ {params.gate} on held-out questions (teacher.gate), "
            f"found {found:.3f} (untouched base: {np.mean(before.to_numpy()):.3f}). {_ADVICE[params.kind]} "
            "or lower the gate; nothing has been sampled from it"
        )


def _seed(params: Slice, purpose: str) -> int:
    return schedule.seed("teacher", params.dims, purpose)
