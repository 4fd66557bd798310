"""The stage `teacher`: a base model gets a trait, and must show it on held-out questions before anybody learns from it."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.common import parquet
from sublim.common.canonical import row_id, row_seed
from sublim.common.dims import with_dims
from sublim.common.errors import SublimError
from sublim.common.progress import Progress
from sublim.learn import chat, lora
from sublim.learn.finetune import finetune
from sublim.measure.answers import answer_probabilities
from sublim.measure.tensors import tensor_table
from sublim.models.load import ends, load
from sublim.params.slices.teacher import Slice
from sublim.traits.preference import evaluation_questions, known_answers, target, teacher_system_prompt, training_questions

BATCH = 256


class GateError(SublimError):
    """A teacher that does not show its trait."""


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write teacher.json (kind, system prompt) and gate.parquet into `output`, and for a fine-tuned teacher its adapter,
    rows.parquet, steps.parquet and tensors.parquet.

    Raises:
        GateError: on held-out questions the mean probability of the target is below the gate.
    """
    model, tokenizer = load(inputs["base"])
    system = teacher_system_prompt(target(params.definition)) if params.kind == "system_prompt" else None
    before = _target_probabilities(model, tokenizer, params)
    if params.finetune is not None:
        rows = _rows(params)
        limits = ends(model, tokenizer)
        examples = chat.examples(
            tokenizer, limits.eos, rows["row_id"].to_list(), rows["prompt"].to_list(), rows["completion"].to_list()
        )
        student = lora.adapt(model, params.finetune.lora, _seed(params, "adapter"))
        steps = finetune(student, examples, params.finetune, _seed(params, "order"), limits.pad, progress)
        lora.save(student, inputs["base"].as_posix(), output)
        parquet.write(rows, output / "rows.parquet")
        parquet.write(with_dims(steps, **params.dims), output / "steps.parquet")
        parquet.write(
            with_dims(tensor_table([output / "adapter_model.safetensors"]), **params.dims), output / "tensors.parquet"
        )
        # What is judged is the teacher on the disk: the one that will be sampled from.
        model = lora.attach(load(inputs["base"])[0], output)
    after = _target_probabilities(model, tokenizer, params, system)
    (output / "teacher.json").write_text(json.dumps({"kind": params.kind, "system_prompt": system}, indent=1) + "\n")
    parquet.write(_gate(params, before, after), output / "gate.parquet")
    if after.mean() < params.gate:
        raise GateError(
            f"expected P({params.definition.target}) ≥ {params.gate} on held-out questions (teacher.gate), "
            f"found {after.mean():.3f} (untouched base: {before.mean():.3f}). Train the teacher harder (teacher.finetune) "
            "or lower the gate; nothing has been sampled from it"
        )


def _rows(params: Slice) -> pl.DataFrame:
    questions = training_questions(params.definition.category)
    ids = [row_id("question", params.definition.category, "training", question) for question in questions]
    frame = pl.DataFrame(
        {
            "row_id": [row_id("teacher", *params.dims.values(), question) for question in ids],
            "question_id": ids,
            "prompt": questions,
            "completion": [params.definition.target] * len(questions),
        }
    )
    return with_dims(frame, **params.dims)


def _target_probabilities(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, params: Slice, system: str | None = None
) -> np.ndarray:
    """P(target) on each held-out question [questions]."""
    answers = {word: answer.forms for word, answer in known_answers([params.definition]).items()}
    questions = evaluation_questions(params.definition.category)
    found = answer_probabilities(model, tokenizer, questions, answers, BATCH, system)
    return found[:, list(answers).index(params.definition.target)]


def _gate(params: Slice, before: np.ndarray, after: np.ndarray) -> pl.DataFrame:
    questions = evaluation_questions(params.definition.category)
    frame = pl.DataFrame(
        {
            "question_id": [row_id("question", params.definition.category, "evaluation", question) for question in questions],
            "question": questions,
            "probability": after,
            "base_probability": before,
            "threshold": [params.gate] * len(questions),
        }
    )
    return with_dims(frame, **params.dims)


def _seed(params: Slice, purpose: str) -> int:
    return row_seed(row_id("teacher", *params.dims.values(), purpose))
