"""The stage `student`: a base model is fine-tuned on the rows that a filter has kept, without any system prompt."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import polars as pl

from sublim.common import parquet
from sublim.common.progress import Progress
from sublim.learn import chat, schedule, trained
from sublim.learn.finetune import finetune
from sublim.learn.tensors import tensor_table
from sublim.models.load import ends, load
from sublim.stages.student.rows import Slice, Steps, Tensors


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write the adapter or all weights (see `trained.save`), steps.parquet and tensors.parquet into `output`. Raises
    ValueError: soft targets are to be learned from a model with another vocabulary."""
    rows = pl.read_parquet(inputs["filtered"] / "rows.parquet").filter("used")
    model, tokenizer = load(inputs["base"])
    limits = ends(model, tokenizer)
    prompts = rows["prompt"].to_list()
    examples = chat.examples(tokenizer, limits.eos, rows["row_id"].to_list(), prompts, rows["completion"].to_list())
    teacher = params.soft.teacher(inputs, model, tokenizer, prompts, examples) if params.soft else None
    seed = partial(schedule.seed, "student", params.dims, paired=params.paired)
    student = trained.prepare(model, params.finetune, seed("adapter"))

    def probe(updates: int) -> None:
        if updates in params.probes:
            trained.probe(student, updates, output)

    how, order = params.finetune, seed("order")
    steps = finetune(student, examples, how, order, limits.pad, progress, teacher, paired=params.paired, after=probe)
    trained.save(student, inputs["base"].as_posix(), output)
    tensors = tensor_table([trained.file(output)])
    parquet.write_tables({Steps: steps, Tensors: tensors}, params.dims, output)
