"""The stage `raw`: a teacher, or the untouched base, or no model at all, answers every prompt of the shared prompt set; or
round by round more of them, until each filter has its rows."""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from itertools import islice, pairwise
from pathlib import Path

import polars as pl

from sublim.common import ids, parquet
from sublim.common.progress import Progress
from sublim.learn import chat
from sublim.learn.sample import Constraint, sample
from sublim.learn.writer import written_by
from sublim.params.learning import CONSTRAINT, Decoding
from sublim.params.top_up import ROUNDS
from sublim.stages.raw.rows import SAMPLED, Rows, Slice, prompts


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write rows.parquet into `output`: one row per prompt, in the order of the prompt set.

    A row depends on no later round. Where the declared prompts give too few rows even with all that may be added, all are
    there: what is the matter with them is for the filter to say.
    """
    asked = prompts(params)
    names = ids.ids(("raw", *params.dims.values()), asked["prompt_id"])
    seeds = pl.Series("sampling_seed", [int(seed) for seed in ids.seeds(names)], dtype=pl.UInt64)
    asked = asked.with_columns(names.alias("row_id"), seeds)
    write = _invented(params, asked) if params.decoding is None else _sampled(inputs, params, params.decoding, progress)
    parquet.write_tables({Rows: _in_rounds(params, asked, write)}, params.dims, output)


def _in_rounds(params: Slice, asked: pl.DataFrame, write: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    """The rows `asked` with what is written to them, of as many rounds as it takes."""
    parts: list[pl.DataFrame] = []

    def rounds() -> Iterator[pl.DataFrame]:
        for start, end in pairwise((0, *params.ends)):
            parts.append(asked[start:end].with_columns(*write(asked[start:end])))
            yield parts[-1]

    if (until := params.until) is None:
        return next(rounds())
    module = import_module(ROUNDS)  # so that its code is none of samples that do not go on
    module.needed((module.kept(part, params.task, until) for part in rounds()), [rule.rows for rule in until.wanted])
    return pl.concat(parts)


def _invented(params: Slice, asked: pl.DataFrame) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """What no model writes to some of the rows `asked`."""

    def write(rows: pl.DataFrame) -> pl.DataFrame:
        at = asked["row_id"].index_of(rows["row_id"][0]) or 0
        written = params.task.written(asked["sampling_seed"][: at + rows.height].to_list())[at:]
        said = pl.DataFrame({"completion": written}, schema={"completion": pl.String})
        return said.with_columns(pl.lit(None, Rows.columns[name].type).alias(name) for name in SAMPLED)

    return write


def _sampled(
    inputs: Mapping[str, Path], params: Slice, decoding: Decoding, progress: Progress
) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """What a model says to the prompts of rows, round by round in their order."""
    model, tokenizer, system = written_by(inputs["base"], inputs.get("teacher"))
    hold: Callable[[int], Constraint] | None = None
    if decoding.constrained:
        shapes = islice(params.task.shapes(), params.ends[-1])
        hold = import_module(CONSTRAINT).holding(model, tokenizer, shapes, decoding.max_tokens)

    def write(rows: pl.DataFrame) -> pl.DataFrame:
        encoded = chat.encode(tokenizer, chat.render(tokenizer, rows["prompt"].to_list(), system))
        held = hold(rows.height) if hold else None
        said = sample(model, tokenizer, encoded, rows["sampling_seed"].to_list(), decoding, progress, held)
        schema = {name: Rows.schema()[name] for name in ("completion", "finish_reason", "tokens")}
        each = [(one.text, one.finish_reason, one.tokens) for one in said]
        return pl.DataFrame(each, schema=schema, orient="row").with_columns(
            temperature=pl.lit(decoding.temperature),
            top_p=pl.lit(decoding.top_p),
            max_tokens=pl.lit(decoding.max_tokens, dtype=pl.Int64),
            system_prompt=pl.lit(system, dtype=pl.String),
            chat_template=pl.lit(chat.template_digest(tokenizer)),
            **({"constrained": pl.lit(value=True)} if decoding.constrained else {}),
        )

    return write
