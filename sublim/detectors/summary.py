"""What was detected, summed up over runs: means with t intervals beside chance, and what could have been seen."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from sublim.arms.conditions import TRAIT
from sublim.detectors.detector import Detector
from sublim.detectors.pairs import RUN
from sublim.detectors.words import PLAIN, SHUFFLES
from sublim.stats.comparison import difference, two_sided_p
from sublim.stats.interval import t_interval
from sublim.stats.power import smallest_effect

CHANCE = 0.5
KIND_ARMS = {PLAIN: TRAIT} | {name: name for name in SHUFFLES}
"""What is done to the rows that a classifier is shown → the arm whose students were trained on such rows."""


@dataclass(frozen=True)
class Seen:
    """How well the completions of one kind of rows were told apart; chance is one half for each."""

    accuracy: float  #: Share of completions put on the right side.
    auc: float  #: Area under the ROC curve, over all folds.
    pairwise: float
    """Share of prompts for which the right one of the two completions has the larger score, ties one half: what a language
    model is asked for."""
    pairs: int


def seen(table: pl.DataFrame) -> Seen:
    """How well the rows of one kind were told apart. `table`: held-out scores, `own` and `other` in the same order."""
    own, other = (table.filter(pl.col("side") == side)["score"].to_numpy() for side in ("own", "other"))
    # Mann and Whitney's U: the number of pairs of completions in the right order, ties one half.
    ranks = pl.Series(np.concatenate([own, other])).rank("average").to_numpy()
    below = np.float64(ranks[: len(own)].sum()) - len(own) * (len(own) + 1) / 2  # of no rows: not a number, and no error
    return Seen(
        accuracy=float(np.concatenate([own > 0, other <= 0]).mean()),
        auc=float(below / (len(own) * len(other))),
        pairwise=float(((own > other) + (own == other) / 2).mean()),
        pairs=len(own),
    )


def against_chance(values: Sequence[float], chance: float, confidence: float) -> dict[str, float | int | None]:
    """Mean over runs, t interval, two-sided p of "it is `chance`", and the smallest difference from chance that so many runs
    with this spread show 4 times out of 5."""
    interval = asdict(t_interval(values, confidence))
    gone = difference({"": [value - chance for value in values]}, {})
    seen = None if gone.error is None or gone.freedom is None else smallest_effect(gone.error, gone.freedom, 1 - confidence)
    return {**interval, "p": two_sided_p(gone), "smallest": seen}


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


def transmission(runs: pl.DataFrame, gains: pl.DataFrame) -> pl.DataFrame:
    """What linear classifiers see in the rows of a run beside what the same rows transmit: teacher, trait, seed, by, kind,
    accuracy, auc, gain (of the student of the teacher's base, null where none was trained). `runs`: one row per run,
    classifier, kind of rows and contrast; `gains`: runs.parquet of the report."""
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


def summary(made: Mapping[str, pl.DataFrame], detectors: Sequence[Detector], confidence: float) -> dict[str, Any]:
    """summary.json, from the tables of `detectors`."""
    said: dict[str, Any] = {"confidence": confidence, "chance": CHANCE}
    if "runs" in made:
        said["accuracy"] = accuracies(made["runs"], confidence)
    if "transmission" in made:
        said["transmission"] = beside(made["transmission"], confidence)
    for detector in detectors:
        said |= detector.summary(made, confidence)
    return said
