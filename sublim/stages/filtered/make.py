"""The stage `filtered`: every raw row with the reasons for which it is rejected, and the rows that a student trains on."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from sublim.arms.arm import Arm
from sublim.common import ids, parquet
from sublim.common.canonical import digest
from sublim.common.progress import Progress
from sublim.filters import chain, purity
from sublim.params.kinds import kind
from sublim.stages.filtered.rows import Funnel, Rows, Slice
from sublim.stages.raw.rows import Slice as RawSlice

RAW = RawSlice.DIMS
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
    raw = pl.read_parquet(source, columns=[*RAW, "row_id", "prompt_id", "prompt", "answer", "completion", "finish_reason"])
    _verify(raw, params, source)
    raw = _scored(raw, params, inputs, progress)
    track = progress.start("filter", raw.height, "row")
    judged = _judged(raw, params)
    funnel = chain.funnel(judged["reasons"], judged["used"], params.rule, params.context)
    if judged["used"].sum() < params.rule.rows:
        raise YieldError(_too_few(judged, funnel, params))
    rows = _identified(_shuffled(judged, params), params)
    purity.check(rows.filter("kept"), params.words)
    parquet.write_tables({Rows: rows, Funnel: funnel}, params.dims, output)
    track.advance(raw.height, note=f"{judged['kept'].sum():,} kept, {judged['used'].sum():,} used")


def _verify(raw: pl.DataFrame, params: Slice, source: Path) -> None:
    expected = {name: params.dims[name] for name in RAW}
    for other in raw.select(*expected).unique().sort(pl.all()).iter_rows(named=True):
        if other != expected:
            found = f"expected rows of {_named(expected)}, found rows of {_named(other)}"
            raise ValueError(f"{source}: {found}: sample that cell again")
    if twice := raw.height - raw["row_id"].n_unique():
        found = f"expected every row_id once, found {twice:,} rows with the id of another"
        raise ValueError(f"{source}: {found}: sample the cell again")


def _scored(raw: pl.DataFrame, params: Slice, inputs: Mapping[str, Path], progress: Progress) -> pl.DataFrame:
    """The raw rows with what the judge says of those that no other step rejects: score and judgement."""
    if (judge := params.planned_judge) is None:
        return raw.with_columns(pl.lit(None, dtype=pl.Float64).alias("score"), pl.lit(None, dtype=pl.String).alias("judgement"))
    from sublim.judges.planned import scored  # a filter without a judge needs none of it

    return scored(judge, inputs.get("judge"), raw, chain.asked(raw, params.rule, params.context), progress)


def _judged(raw: pl.DataFrame, params: Slice) -> pl.DataFrame:
    return (
        raw.with_columns(reasons=chain.reasons(raw, params.rule, params.context))
        .with_columns(kept=pl.col("reasons").list.len() == 0)
        .with_columns(used=pl.col("kept") & (pl.col("kept").cum_sum() <= params.rule.rows))
    )


def _too_few(judged: pl.DataFrame, funnel: pl.DataFrame, params: Slice) -> str:
    steps = funnel.filter(pl.col("step") != "used").select("step", "rows")
    counts = ", ".join(f"{step} {rows:,}" for step, rows in steps.iter_rows())
    kept = int(judged["kept"].sum())
    rejected = judged.filter(~pl.col("kept")).head(_SHOWN)
    shown = "; ".join(f"{text!r} ({', '.join(why)})" for text, why in rejected.select("completion", "reasons").iter_rows())
    cell = _named({name: params.dims[name] for name in RAW})
    return (
        f"{cell}: expected at least {params.rule.rows:,} kept rows (carriers.{params.carrier}.filters.{params.filter}.rows), "
        f"found {kept:,} of {judged.height:,} ({kept / max(judged.height, 1):.0%}). Funnel: {counts}. "
        f"The first rejected ones: {shown or 'none'}. "
        f"Let sampling go on until there are enough (carriers.{params.carrier}.top_up; if it is there, a larger one), "
        "use fewer rows, or train the teacher less hard"
    )


def _shuffled(judged: pl.DataFrame, params: Slice) -> pl.DataFrame:
    used = judged.filter("used").select("row_id", "completion")
    arm: Arm = kind("arms", params.arm)
    shuffled = arm.changed(list(used.iter_rows()), digest(["shuffle", *params.dims.values()]))
    if shuffled is None:
        return judged.with_columns(sources=pl.concat_list("row_id"))
    new = used.select(
        "row_id",
        pl.Series("shuffled", [row.completion for row in shuffled], dtype=pl.String),
        pl.Series("sources", [list(row.sources) for row in shuffled], dtype=pl.List(pl.String)),
    )
    return judged.join(new, on="row_id", how="left", maintain_order="left").with_columns(
        completion=pl.coalesce("shuffled", "completion"), sources=pl.coalesce("sources", pl.concat_list("row_id"))
    )


def _identified(rows: pl.DataFrame, params: Slice) -> pl.DataFrame:
    names = ids.ids(("filtered", *params.dims.values()), rows["row_id"])
    return rows.rename({"row_id": "parent_id"}).with_columns(names.alias("row_id"))


def _named(dims: Mapping[str, object]) -> str:
    return "/".join(f"{name}={value}" for name, value in dims.items())
