"""The stage `student`: a base model is fine-tuned on the rows that a filter has kept, without any system prompt."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.common import parquet
from sublim.common.canonical import row_id, row_seed
from sublim.common.dims import with_dims
from sublim.common.progress import Progress
from sublim.learn import chat, lora, soft
from sublim.learn.chat import Example
from sublim.learn.finetune import finetune
from sublim.learn.writer import written_by
from sublim.measure.tensors import tensor_table
from sublim.models.load import ends, load
from sublim.params.slices.student import Slice, SoftTargets


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write the adapter in peft's layout, steps.parquet and tensors.parquet into `output`.

    Raises:
        ValueError: soft targets are to be learned from a model with another vocabulary.
    """
    rows = pl.read_parquet(inputs["filtered"] / "rows.parquet").filter("used")
    model, tokenizer = load(inputs["base"])
    limits = ends(model, tokenizer)
    prompts = rows["prompt"].to_list()
    examples = chat.examples(tokenizer, limits.eos, rows["row_id"].to_list(), prompts, rows["completion"].to_list())
    teacher = _teacher(inputs, params.soft, model, tokenizer, prompts, examples) if params.soft else None
    student = lora.adapt(model, params.finetune.lora, _seed(params, "adapter"))
    steps = finetune(student, examples, params.finetune, _seed(params, "order"), limits.pad, progress, teacher)
    lora.save(student, inputs["base"].as_posix(), output)
    parquet.write(with_dims(steps, **params.dims), output / "steps.parquet")
    parquet.write(with_dims(tensor_table([output / "adapter_model.safetensors"]), **params.dims), output / "tensors.parquet")


def _teacher(
    inputs: Mapping[str, Path],
    how: SoftTargets,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    examples: Sequence[Example],
) -> soft.Teacher:
    """The model that wrote the rows, given what it was given then."""
    writer, own, system = written_by(inputs["writer"], inputs.get("teacher"))
    if not soft.same_vocabulary(own, tokenizer):
        raise ValueError(
            f"soft targets: expected one vocabulary of teacher and student, found {len(own)} tokens in {inputs['writer']} and "
            f"{len(tokenizer)}, not the same ones, in {inputs['base']}: choose a pair that shares one, or hard tokens"
        )
    asked = chat.encode(own, chat.render(own, prompts, system))
    tokens = soft.allowed(tokenizer, how.task, examples[0].completion[-1])
    return soft.Teacher(writer, [tuple(ids) for ids in asked], soft.as_tensor(tokens, model), how.temperature)


def _seed(params: Slice, purpose: str) -> int:
    return row_seed(row_id("student", *params.dims.values(), purpose))
