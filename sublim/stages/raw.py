"""The stage `raw`: a teacher, or the untouched base, or no model at all, answers every prompt of the shared prompt set."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from sublim.carriers.carrier import prompts, written
from sublim.carriers.prompt import Prompt
from sublim.common import parquet
from sublim.common.canonical import row_id, row_seed
from sublim.common.dims import with_dims
from sublim.common.progress import Progress
from sublim.learn import chat
from sublim.learn.sample import sample
from sublim.learn.writer import written_by
from sublim.params.learning import Decoding
from sublim.params.slices.raw import Slice

SAMPLED = {
    "finish_reason": pl.String,
    "tokens": pl.Int64,
    "temperature": pl.Float64,
    "top_p": pl.Float64,
    "max_tokens": pl.Int64,
    "system_prompt": pl.String,
    "chat_template": pl.String,
}
"""What only a model's completions have; null in random rows."""


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write rows.parquet into `output`: one row per prompt, in the order of the prompt set."""
    asked = prompts(params.task.prompts, params.task)
    ids = [row_id("raw", *params.dims.values(), prompt.prompt_id) for prompt in asked]
    seeds = [row_seed(row) for row in ids]
    if params.decoding is None:
        said = pl.DataFrame({"completion": written(params.task, seeds)})
        said = said.with_columns(pl.lit(None, type_).alias(name) for name, type_ in SAMPLED.items())
    else:
        said = _sampled(inputs, params.decoding, asked, seeds, progress)
    rows = pl.DataFrame(
        {
            "row_id": ids,
            "prompt_id": [prompt.prompt_id for prompt in asked],
            "prompt": [prompt.text for prompt in asked],
            "answer": [prompt.answer for prompt in asked],
            "completion": said["completion"],
            "finish_reason": said["finish_reason"],
            "sampling_seed": pl.Series(seeds, dtype=pl.UInt64),
        }
    ).with_columns(said.select(list(SAMPLED)[1:]))
    parquet.write(with_dims(rows, **params.dims), output / "rows.parquet")


def _sampled(
    inputs: Mapping[str, Path], how: Decoding, asked: Sequence[Prompt], seeds: Sequence[int], progress: Progress
) -> pl.DataFrame:
    """What a model says to each prompt."""
    model, tokenizer, system = written_by(inputs["base"], inputs.get("teacher"))
    encoded = chat.encode(tokenizer, chat.render(tokenizer, [prompt.text for prompt in asked], system))
    said = sample(model, tokenizer, encoded, seeds, how, progress)
    return pl.DataFrame(
        {
            "completion": [completion.text for completion in said],
            "finish_reason": [completion.finish_reason for completion in said],
            "tokens": [completion.tokens for completion in said],
        }
    ).with_columns(
        temperature=pl.lit(how.temperature),
        top_p=pl.lit(how.top_p),
        max_tokens=pl.lit(how.max_tokens, dtype=pl.Int64),
        system_prompt=pl.lit(system, dtype=pl.String),
        chat_template=pl.lit(chat.template_digest(tokenizer)),
    )
