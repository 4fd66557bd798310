"""What was detected, summed up over runs: means with t intervals beside chance, and what could have been seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import (  # pyright: ignore[reportMissingTypeStubs]
    rankdata,  # pyright: ignore[reportUnknownVariableType]
)

from sublim.measure.comparison import difference, two_sided_p
from sublim.measure.power import smallest_effect
from sublim.measure.statistics import t_interval

CHANCE = 0.5
KIND_ARMS = {"plain": "trait", "shuffled_within": "shuffled_within", "shuffled_across": "shuffled_across"}
"""What is done to the rows that a classifier is shown → the arm whose students were trained on such rows."""
RUN = ("teacher", "trait", "seed")


@dataclass(frozen=True)
class Seen:
    """How well the completions of one kind of rows were told apart; chance is one half for each."""

    accuracy: float
    """Share of completions put on the right side."""
    auc: float
    """Area under the ROC curve, over all folds."""
    pairwise: float
    """Share of prompts for which the right one of the two completions has the larger score, ties one half: what a language
    model is asked for."""
    pairs: int


def seen(table: pl.DataFrame) -> Seen:
    """How well the rows of one kind were told apart. `table`: held-out scores, `own` and `other` in the same order."""
    own, other = (table.filter(pl.col("side") == side)["score"].to_numpy() for side in ("own", "other"))
    # Mann and Whitney's U: the number of pairs of completions in the right order, ties one half.
    below = rankdata(np.concatenate([own, other]))[: len(own)].sum() - len(own) * (len(own) + 1) / 2
    return Seen(
        accuracy=float(np.concatenate([own > 0, other <= 0]).mean()),
        auc=float(below / (len(own) * len(other))),
        pairwise=float(((own > other) + (own == other) / 2).mean()),
        pairs=len(own),
    )


def against_chance(values: Sequence[float], chance: float, confidence: float) -> dict[str, float | int | None]:
    """Mean over runs, t interval, two-sided p of "it is `chance`", and the smallest difference from chance that so many runs
    with this spread show 4 times out of 5."""
    interval = t_interval(values, confidence)
    gone = difference({"": [value - chance for value in values]}, {})
    seen = None if gone.error is None or gone.freedom is None else smallest_effect(gone.error, gone.freedom, 1 - confidence)
    return {
        "mean": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "n": interval.n,
        "p": two_sided_p(gone),
        "smallest": seen,
    }


def accuracies(runs: pl.DataFrame, confidence: float) -> list[dict[str, Any]]:
    """For each classifier, kind of rows and contrast: accuracy over runs, set against chance; AUC likewise; pairs counted."""
    found: list[dict[str, Any]] = []
    for (by, kind, contrast), part in runs.group_by("by", "kind", "contrast", maintain_order=True):
        auc = part["auc"].drop_nulls().to_list()
        found.append(
            {
                "by": by,
                "kind": kind,
                "contrast": contrast,
                "pairs": int(part["pairs"].sum()),
                "accuracy": against_chance(part["accuracy"].to_list(), CHANCE, confidence),
                "auc": against_chance(auc, CHANCE, confidence) if auc else None,
            }
        )
    return found


def contexts(context: pl.DataFrame, confidence: float) -> list[dict[str, Any]]:
    """For each number of rows in the context: P(target) after the teacher's rows, after the control's, and their difference by
    run; the same of its share among the known answers; how many draws there were, how many were done, and why not the rest."""
    found: list[dict[str, Any]] = []
    for (size,), part in context.filter(pl.col("size") > 0).group_by("size", maintain_order=True):
        draws = part.select(*RUN, "draw").unique().height
        fits = part.filter(pl.col("why").is_null())
        entry: dict[str, Any] = {"size": size, "draws": draws, "fitted": fits.select(*RUN, "draw").unique().height}
        entry["why"] = part["why"].drop_nulls().max()
        if fits.height:
            after = {
                f"{what} {rows}": pl.col(what).filter(pl.col("rows") == rows).mean()
                for what in ("p_target", "share", "p_known")
                for rows in ("trait", "control")
            }
            runs = fits.group_by(*RUN, maintain_order=True).agg(mean.alias(name) for name, mean in after.items())
            entry |= {name.replace(" ", "_after_"): t_interval(runs[name].to_list(), confidence).mean for name in after}
            for name, what in (("difference", "p_target"), ("difference_of_shares", "share")):
                gone = (runs[f"{what} trait"] - runs[f"{what} control"]).to_list()
                entry[name] = against_chance(gone, 0.0, confidence)
        found.append(entry)
    return found


def transmission(runs: pl.DataFrame, gains: pl.DataFrame) -> pl.DataFrame:
    """What linear classifiers see in the rows of a run beside what the same rows transmit: teacher, trait, seed, by, kind,
    accuracy, auc, gain (of the student of the teacher's base, null where none was trained).

    Args:
        runs: one row per run, classifier, kind of rows and contrast.
        gains: `runs.parquet` of the report.
    """
    arms = pl.DataFrame({"kind": list(KIND_ARMS), "arm": list(KIND_ARMS.values())})
    own = gains.filter(pl.col("teacher") == pl.col("student")).select(*RUN, "arm", "gain")
    return (
        runs.filter(pl.col("auc").is_not_null(), pl.col("contrast") == "base")
        .join(arms, on="kind", maintain_order="left")
        .join(own, on=[*RUN, "arm"], how="left", maintain_order="left")
        .select(*RUN, "by", "kind", "accuracy", "auc", "gain")
    )


def beside(transmitted: pl.DataFrame, confidence: float) -> list[dict[str, Any]]:
    """For each classifier and kind of rows: mean AUC and mean gain over the runs that have both, and their rank correlation."""
    found: list[dict[str, Any]] = []
    whole = transmitted.drop_nulls()
    for by, kind in product(whole["by"].unique(maintain_order=True), KIND_ARMS):
        part = whole.filter(pl.col("by") == by, pl.col("kind") == kind)
        if part.is_empty():
            continue
        ranks = part.select(pl.corr("auc", "gain", method="spearman")).item() if part.height > 2 else None
        found.append(
            {
                "by": by,
                "kind": kind,
                "auc": against_chance(part["auc"].to_list(), CHANCE, confidence),
                "gain": against_chance(part["gain"].to_list(), 0.0, confidence),
                "correlation": None if ranks is None or ranks != ranks else float(ranks),
            }
        )
    return found


def telling(ngrams: pl.DataFrame, shown: int) -> pl.DataFrame:
    """The n-grams that tell the rows of a trait's teachers from control rows, over the seeds and models that list them: by,
    trait, side, ngram, weight (mean over the trait's runs, zero where it is not listed), runs (that list it); `shown` of each.
    """
    base = ngrams.filter(pl.col("contrast") == "base")
    runs = base.select(*RUN).unique().group_by("trait").agg(pl.len().alias("all"))
    return (
        base.group_by("by", "trait", "side", "ngram")
        .agg(pl.col("weight").sum(), pl.len().cast(pl.Int64).alias("runs"))
        .join(runs, on="trait")
        .with_columns(pl.col("weight") / pl.col("all"))
        .sort("by", "trait", "side", pl.col("weight").abs(), "ngram", descending=[False, False, True, True, False])
        .group_by("by", "trait", "side", maintain_order=True)
        .head(shown)
        .select("by", "trait", "side", "ngram", "weight", "runs")
    )


def summary(tables: Mapping[str, pl.DataFrame], confidence: float) -> dict[str, Any]:
    """summary.json, from the tables of those parts that were done."""
    said: dict[str, Any] = {"confidence": confidence, "chance": CHANCE}
    if "runs" in tables:
        said["accuracy"] = accuracies(tables["runs"], confidence)
    if "transmission" in tables:
        said["transmission"] = beside(tables["transmission"], confidence)
    if "pairs" in tables and not (asked := tables["pairs"].filter(pl.col("by") == "ask")).is_empty():
        said["asked"] = {
            "pairs": asked.height,
            "says_a": float(asked["says_a"].mean()),  # pyright: ignore[reportArgumentType]
            "letters": float(asked["letters"].mean()),  # pyright: ignore[reportArgumentType]
        }
    if "context" in tables:
        said["context"] = contexts(tables["context"], confidence)
    return said
