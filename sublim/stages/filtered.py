"""The stage `filtered`: every raw row with the reasons for which it is rejected, and the rows that a student trains on."""

from collections.abc import Mapping
from pathlib import Path
from typing import assert_never

import polars as pl

from sublim.carriers import chain, purity
from sublim.carriers.shuffle import Shuffled, shuffled_across, shuffled_within
from sublim.common import parquet
from sublim.common.canonical import digest, row_id
from sublim.common.dims import with_dims
from sublim.common.progress import Progress
from sublim.params.judges import LocalJudge
from sublim.params.slices.filtered import Slice

RAW = ("teacher", "trait", "carrier", "seed")
"""The dimensions of raw rows."""
_SHOWN = 3


class YieldError(ValueError):
    """Too few rows are left for the students."""


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write rows.parquet (all raw rows, in their order, judged) and funnel.parquet into `output`.

    The first `rows` kept rows are used. The shuffled arms shuffle the numbers of the used rows; every other row keeps its text.
    Neither file holds a bound of the filter, so a bound that rejects nothing new leaves their bytes as they are.

    Raises:
        ValueError: the raw rows are those of another cell, or a row is there twice.
        YieldError: fewer rows are kept than students use.
        PurityError: a kept row names the trait.
        SublimError: the filter's judge cannot be asked, or may not spend more. What it has said is kept.
    """
    source = inputs["raw"] / "rows.parquet"
    raw = pl.read_parquet(source, columns=[*RAW, "row_id", "prompt_id", "prompt", "answer", "completion"])
    _verify(raw, params, source)
    raw = _scored(raw, params, inputs, progress)
    track = progress.start("filter", raw.height, "row")
    judged = _judged(raw, params)
    funnel = chain.funnel(judged["reasons"], judged["used"], params.task, params.rule)
    if judged["used"].sum() < params.rule.rows:
        raise YieldError(_too_few(judged, funnel, params))
    rows = _identified(_shuffled(judged, params), params)
    purity.check(rows.filter("kept"), params.words)
    parquet.write(with_dims(rows, **params.dims), output / "rows.parquet")
    parquet.write(with_dims(funnel, **params.dims), output / "funnel.parquet")
    track.advance(raw.height, note=f"{judged['kept'].sum():,} kept, {judged['used'].sum():,} used")


def _verify(raw: pl.DataFrame, params: Slice, source: Path) -> None:
    expected = {name: params.dims[name] for name in RAW}
    for other in raw.select(*expected).unique().sort(pl.all()).iter_rows(named=True):
        if other != expected:
            raise ValueError(
                f"{source}: expected rows of {_named(expected)}, found rows of {_named(other)}: sample that cell again"
            )
    twice = raw.height - raw["row_id"].n_unique()
    if twice:
        raise ValueError(
            f"{source}: expected every row_id once, found {twice:,} rows with the id of another: sample the cell again"
        )


def _scored(raw: pl.DataFrame, params: Slice, inputs: Mapping[str, Path], progress: Progress) -> pl.DataFrame:
    """The raw rows with what the judge says of those that no other step rejects: score and judgement."""
    step, definition = params.rule.judge, params.judge
    if step is None or definition is None:
        return raw.with_columns(pl.lit(None, dtype=pl.Float64).alias("score"), pl.lit(None, dtype=pl.String).alias("judgement"))
    from sublim.judges import judge  # a filter without a judge needs no HTTP

    folder = inputs.get("judge")
    if isinstance(definition, LocalJudge) and definition.path is not None:
        folder = Path(definition.path)
        judge.verify_unchanged(step.judge, folder, params.files)
    asked = chain.asked(raw, params.task, params.rule, params.words)
    return judge.scored(step.judge, definition, folder, raw, asked, progress)


def _judged(raw: pl.DataFrame, params: Slice) -> pl.DataFrame:
    return (
        raw.with_columns(reasons=chain.reasons(raw, params.task, params.rule, params.words))
        .with_columns(kept=pl.col("reasons").list.len() == 0)
        .with_columns(used=pl.col("kept") & (pl.col("kept").cum_sum() <= params.rule.rows))
    )


def _too_few(judged: pl.DataFrame, funnel: pl.DataFrame, params: Slice) -> str:
    counts = ", ".join(
        f"{step} {rows:,}" for step, rows in funnel.filter(pl.col("step") != "used").select("step", "rows").iter_rows()
    )
    kept = int(judged["kept"].sum())
    rejected = judged.filter(~pl.col("kept")).head(_SHOWN)
    shown = "; ".join(f"{text!r} ({', '.join(why)})" for text, why in rejected.select("completion", "reasons").iter_rows())
    cell = _named({name: params.dims[name] for name in RAW})
    return (
        f"{cell}: expected at least {params.rule.rows:,} kept rows "
        f"(carriers.{params.carrier}.filters.{params.filter}.rows), "
        f"found {kept:,} of {judged.height:,} ({kept / max(judged.height, 1):.0%}). Funnel: {counts}. "
        f"The first rejected ones: {shown or 'none'}. Ask for more prompts, use fewer rows, or train the teacher less hard"
    )


def _shuffled(judged: pl.DataFrame, params: Slice) -> pl.DataFrame:
    used = judged.filter("used").select("row_id", "completion")
    seed = digest(["shuffle", *params.dims.values()])
    texts = list(used.iter_rows())
    shuffled: list[Shuffled]
    match params.arm:
        case "trait" | "control" | "random":
            return judged.with_columns(sources=pl.concat_list("row_id"))
        case "shuffled_within":
            shuffled = shuffled_within(texts, seed)
        case "shuffled_across":
            shuffled = shuffled_across(texts, seed)
        case _:
            assert_never(params.arm)
    new = pl.DataFrame(
        {
            "row_id": used["row_id"],
            "shuffled": [row.completion for row in shuffled],
            "sources": [row.sources for row in shuffled],
        },
        schema_overrides={"sources": pl.List(pl.String)},
    )
    return judged.join(new, on="row_id", how="left", maintain_order="left").with_columns(
        completion=pl.coalesce("shuffled", "completion"), sources=pl.coalesce("sources", pl.concat_list("row_id"))
    )


def _identified(rows: pl.DataFrame, params: Slice) -> pl.DataFrame:
    ids = [row_id("filtered", *params.dims.values(), parent) for parent in rows["row_id"]]
    return rows.select(
        pl.Series("row_id", ids, dtype=pl.String),
        pl.col("row_id").alias("parent_id"),
        "prompt_id",
        "prompt",
        "completion",
        "score",
        "judgement",
        "reasons",
        "kept",
        "used",
        "sources",
    )


def _named(dims: Mapping[str, object]) -> str:
    return "/".join(f"{name}={value}" for name, value in dims.items())
