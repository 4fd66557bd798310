"""The stage `raw`: a teacher, or the untouched base, or no model at all, answers every prompt of the shared prompt set."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from sublim.common import ids, parquet
from sublim.common.progress import Progress
from sublim.learn import chat
from sublim.learn.sample import sample
from sublim.learn.writer import written_by
from sublim.params.learning import Decoding
from sublim.stages.raw.rows import SAMPLED, Rows, Slice, prompts


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write rows.parquet into `output`: one row per prompt, in the order of the prompt set."""
    asked = prompts(params.task)
    names = ids.ids(("raw", *params.dims.values()), asked["prompt_id"])
    seeds = [int(seed) for seed in ids.seeds(names)]
    if params.decoding is None:
        said = pl.DataFrame({"completion": params.task.written(seeds)}, schema={"completion": pl.String})
        said = said.with_columns(pl.lit(None, Rows.columns[name].type).alias(name) for name in SAMPLED)
    else:
        said = _sampled(inputs, params.decoding, asked["prompt"].to_list(), seeds, progress)
    rows = asked.with_columns(names.alias("row_id"), pl.Series("sampling_seed", seeds, dtype=pl.UInt64), *said)
    parquet.write_tables({Rows: rows}, params.dims, output)


def _sampled(
    inputs: Mapping[str, Path], decoding: Decoding, prompts: Sequence[str], seeds: Sequence[int], progress: Progress
) -> pl.DataFrame:
    """What a model says to each prompt."""
    model, tokenizer, system = written_by(inputs["base"], inputs.get("teacher"))
    encoded = chat.encode(tokenizer, chat.render(tokenizer, prompts, system))
    said = sample(model, tokenizer, encoded, seeds, decoding, progress)
    rows = [(each.text, each.finish_reason, each.tokens) for each in said]
    schema = {name: Rows.schema()[name] for name in ("completion", "finish_reason", "tokens")}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        temperature=pl.lit(decoding.temperature),
        top_p=pl.lit(decoding.top_p),
        max_tokens=pl.lit(decoding.max_tokens, dtype=pl.Int64),
        system_prompt=pl.lit(system, dtype=pl.String),
        chat_template=pl.lit(chat.template_digest(tokenizer)),
    )
