"""The stage `raw`: a teacher, or the untouched base, answers every prompt of the shared prompt set."""

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from sublim.carriers.carrier import prompts
from sublim.carriers.prompt import Prompt
from sublim.common import parquet
from sublim.common.canonical import row_id, row_seed
from sublim.common.dims import with_dims
from sublim.common.progress import Progress
from sublim.learn import chat, lora
from sublim.learn.sample import Completion, sample
from sublim.models.load import load
from sublim.params.slices.raw import Slice


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write rows.parquet into `output`: one row per prompt, in the order of the prompt set."""
    model, tokenizer = load(inputs["base"])
    system: str | None = None
    if "teacher" in inputs:
        system = json.loads((inputs["teacher"] / "teacher.json").read_text(encoding="utf-8"))["system_prompt"]
        if (inputs["teacher"] / "adapter_config.json").is_file():
            model = lora.attach(model, inputs["teacher"])
    asked = prompts(params.task.prompts, params.task)
    ids = [row_id("raw", *params.dims.values(), prompt.prompt_id) for prompt in asked]
    seeds = [row_seed(row) for row in ids]
    encoded = chat.encode(tokenizer, chat.render(tokenizer, [prompt.text for prompt in asked], system))
    written = sample(model, tokenizer, encoded, seeds, params.decoding, progress)
    table = _table(params, asked, ids, seeds, written).with_columns(
        system_prompt=pl.lit(system, dtype=pl.String), chat_template=pl.lit(chat.template_digest(tokenizer))
    )
    parquet.write(table, output / "rows.parquet")


def _table(params: Slice, asked: list[Prompt], ids: list[str], seeds: list[int], written: list[Completion]) -> pl.DataFrame:
    how = params.decoding
    frame = pl.DataFrame(
        {
            "row_id": ids,
            "prompt_id": [prompt.prompt_id for prompt in asked],
            "prompt": [prompt.text for prompt in asked],
            "answer": [prompt.answer for prompt in asked],
            "completion": [completion.text for completion in written],
            "finish_reason": [completion.finish_reason for completion in written],
            "sampling_seed": pl.Series(seeds, dtype=pl.UInt64),
            "tokens": [completion.tokens for completion in written],
        }
    ).with_columns(
        temperature=pl.lit(how.temperature), top_p=pl.lit(how.top_p), max_tokens=pl.lit(how.max_tokens, dtype=pl.Int64)
    )
    return with_dims(frame, **params.dims)
