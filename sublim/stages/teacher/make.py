"""The stage `teacher`: a base model gets a trait, and must show it on held-out questions before anybody learns from it."""

import json
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
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
from sublim.params.teacher import LIKELIHOODS
from sublim.stages.teacher.gate import missed
from sublim.stages.teacher.rows import FreeFormAnswers, Gate, Likelihoods, Rows, Slice, Steps, Tensors, gate, lessons, written
from sublim.stats.margin import log_odds
from sublim.traits.freeform import FreeForm, by_question
from sublim.traits.preference import Preference, known_answers

BATCH = 256  #: Questions at a time.
ROWS = 16  #: Rows at a time whose likelihood is asked: all logits of a row are kept.

_ADVICE = {
    "finetune": "Train the teacher otherwise (teacher.finetune), or change the gate",
    "system_prompt": "Take a model that follows system prompts, or change the gate",
    "adapter": "Bring another adapter (teacher.adapters), or change the gate",
}


class GateError(SublimError):
    """A teacher that does not show its trait."""


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write teacher.json (kind, system prompt) and gate.parquet into `output`, and likelihood.parquet if a gate is on it; for a
    fine-tuned teacher its adapter or all weights, rows.parquet, steps.parquet and tensors.parquet; for one whose adapter was
    made elsewhere this and tensors.parquet; for misalignment freeform.parquet, the graded answers of base and teacher.

    Raises:
        GateError: on held-out questions the trait shows less than the gates ask for, or the teacher finds rows that no model
            wrote less likely, or likelier, than they allow.
        ValueError: the adapter that was given is not one of this base.
        SublimError: a judge that grades free-form answers cannot be asked, or may not spend more. What it has said is kept.
    """
    base = inputs["base"]
    model, tokenizer = load(base)
    system = params.definition.system_prompt(params.categories) if params.kind == "system_prompt" else None
    ask = partial(_asked, params, inputs, progress)
    before = ask(model, tokenizer, "base", None)
    shown = written(params)
    if params.likelihood is not None:
        shown = shown.with_columns(base_nll=_nll(shown, model, tokenizer, None))
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
    asked = gate(params).with_columns(
        *after.select(*_told(params)),
        *(column.alias(f"base_{column.name}") for column in before.select(*_told(params))),
    )
    parquet.write_tables({Gate: asked}, params.dims, output)
    if params.likelihood is not None:
        shown = shown.with_columns(nll=_nll(shown, model, tokenizer, system))
        parquet.write_tables({Likelihoods: shown}, params.dims, output)
    if failed := list(missed(params, asked, shown)):
        raise GateError(f"{'; '.join(failed)}; nothing has been sampled from it. {_ADVICE[params.kind]}")


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


def _told(params: Slice) -> tuple[str, ...]:
    """What the gate is told of base and teacher."""
    return ("probability",) if params.margin is None else ("probability", "margin")


def _asked(
    params: Slice,
    inputs: Mapping[str, Path],
    progress: Progress,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    who: str,
    system: str | None,
) -> pl.DataFrame:
    """What `who`, the base or the teacher, answers to the held-out questions: `probability` of the target, and its `margin`; of
    a trait that shows in free-form answers the graded answers."""
    trait = params.definition
    if isinstance(trait, FreeForm):
        grade = grader(trait, params.graders, inputs, progress)
        answered = freeform.answers(model, tokenizer, trait, grade, ("gate", *params.dims.values(), who), system, progress)
        return answered.select(pl.lit(who).alias("model"), pl.all())
    if not isinstance(trait, Preference):
        raise TypeError(f"expected a trait that is asked for by a word or in free form, found {trait.kind}")
    known = known_answers([trait], params.categories)
    forms = {word: answer.forms for word, answer in known.items()}
    questions = gate(params).select("question_id", "question")
    chances = answer_probabilities(model, tokenizer, questions["question"].to_list(), forms, BATCH, system)
    return (
        questions.join(pl.DataFrame({"answer": list(forms)}), how="cross", maintain_order="left_right")
        .with_columns(probability=pl.Series(chances.ravel()))
        .with_columns(margin=log_odds(pl.col("probability"), ["question_id"]))
        .filter(pl.col("answer") == trait.target)
    )


def _nll(
    shown: pl.DataFrame, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, system: str | None
) -> NDArray[np.float64]:
    """The negative log-likelihood of each row, its end counted, in nats per token [rows]."""
    limits = ends(model, tokenizer)
    ids, prompts, completions = (shown[column].to_list() for column in ("row_id", "prompt", "completion"))
    examples = chat.examples(tokenizer, limits.eos, ids, prompts, completions, system)
    return -import_module(LIKELIHOODS).log_likelihoods(model, examples, ROWS, limits.pad) / np.array(
        [len(each.completion) for each in examples]
    )


def _seed(params: Slice, purpose: str) -> int:
    return schedule.seed("teacher", params.dims, purpose)
