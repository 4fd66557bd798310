"""Transmission by shared history: what passes between models that left one pretraining at a share of it, run by run and as a
law, effect = a · share^k (docs/statistics.md)."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from sublim.arms.conditions import TRAIT, rank
from sublim.common.table import Table, real, text, whole
from sublim.params.relatives import Relatives
from sublim.report.tables import intervals
from sublim.stats.power_law import Point, PowerLaw, power_law

WAYS = {"order": "other order", "mix": "other rows"}  #: What relatives saw after they parted, in words.
SAME = "both"  #: The way of models that have all in common: their runs are points of either way.
DIRECTIONS = ("from the trunk", "to the trunk", "between branches")
_CURVE = 100  #: A curve is told at so many shares and at 0.


class HistoryRuns(Table, file="history_runs.parquet", view="history_runs", row="run", dims=False):
    """The runs of the trait arm whose teacher and student are of one pretraining. Only of a study that has relatives."""

    trunk = text()  #: The model whose pretraining both had a part of.
    teacher = text()  #: The model that wrote the rows.
    student = text()  #: The student's base.
    trait = text()  #: The teacher's trait.
    seed = whole()  #: The seed of the chain.
    #: What the two saw after they parted: the same rows in another `order`, or other rows (`mix`); `both` where they share all.
    way = text()
    direction = text()  #: `from the trunk` (also to itself), `to the trunk`, or `between branches`.
    share = real()  #: The share of the trunk's pretraining that both have in common. From 0 to 1.
    effect = real()  #: The effect in the margin of the target, in nats: as in margins.parquet, and so are the next three.
    against = text()  #: What it is set against.
    place = whole()  #: The place of the target among all known answers by its rise.
    answers = whole()  #: How many known answers there are.
    gain = real()  #: P(target) less that of the untrained base, in probability.


class HistoryPoints(Table, file="history_points.parquet", view="history_points", row="share", dims=False):
    """Means over the runs of each way and share, over traits, seeds and directions."""

    way = text()  #: What came after: `order`, `mix`, or `both`.
    share = real()  #: The share of the pretraining that teacher and student have in common.
    effect = real()  #: Mean effect in the margin, in nats.
    low = real(null=True)  #: Lower end of its t interval over runs; null for one run.
    high = real(null=True)  #: Upper end.
    n = whole()  #: How many runs.
    gain = real()  #: Mean gain, in probability.
    place = real()  #: Mean place of the target among all known answers.


class HistoryCurves(Table, file="history_curves.parquet", view="history_curves", row="share", dims=False):
    """The fitted curves, effect = a · share^k; nothing of a way with too few shares."""

    way = text()  #: `order` or `mix`; runs of `both` are points of either.
    share = real()  #: The share of the pretraining.
    effect = real()  #: The effect by the fit, in nats.
    low = real(null=True)  #: Lower end of its bootstrap interval at this share; null if there is one cluster alone.
    high = real(null=True)  #: Upper end.


def runs(relatives: Sequence[Relatives], margins: pl.DataFrame, gains: pl.DataFrame) -> pl.DataFrame:
    """The table `HistoryRuns`. `margins`, `gains`: margins.parquet and runs.parquet."""
    kin = pl.DataFrame(
        [each.model_dump() for each in relatives],
        {**dict.fromkeys(("teacher", "student", "trunk"), pl.String), "share": pl.Float64, "way": pl.String},
    )
    from_trunk, to_trunk, between = (pl.lit(name) for name in DIRECTIONS)
    of_trunk = pl.when(pl.col("teacher") == pl.col("trunk")).then(from_trunk)
    direction = of_trunk.when(pl.col("student") == pl.col("trunk")).then(to_trunk).otherwise(between)
    run = ["teacher", "student", "trait", "arm", "seed"]
    return (
        margins.filter(pl.col("arm") == TRAIT, pl.col("asked") == pl.col("trait"))
        .join(kin, on=["teacher", "student"])
        .join(gains.select(*run, "gain"), on=run)
        .with_columns(direction.alias("direction"))
        .sort(rank("way", (*WAYS, SAME)), "share", rank("direction", DIRECTIONS), "teacher", "student", "trait", "seed")
        .select(*HistoryRuns.columns)
    )


def points(table: pl.DataFrame, confidence: float) -> pl.DataFrame:
    """The table `HistoryPoints`, of that of `runs`."""
    means = table.rename({"gain": "risen", "effect": "gain"}).with_columns(pl.col("place").cast(pl.Float64))
    found = intervals(means, ["way", "share"], confidence, ("risen", "place"))
    names = {"gain": "effect", "risen": "gain"}
    return found.rename(names).sort(rank("way", (*WAYS, SAME)), "share").select(*HistoryPoints.columns)


def fits(table: pl.DataFrame, confidence: float, seed: int) -> dict[str, PowerLaw | None]:
    """Way → the fit of its runs, those that share all among them; None with too few shares. Clusters: runs of one trunk,
    trait, seed and direction. A way that no run has is left out."""
    found: dict[str, PowerLaw | None] = {}
    for way in WAYS:
        own = table.filter(pl.col("way").is_in([way, SAME])).select("share", "effect", "trunk", "trait", "seed", "direction")
        if way in table["way"]:
            known = [Point(share, effect, tuple(rest)) for share, effect, *rest in own.iter_rows()]
            found[way] = power_law(known, confidence, seed)
    return found


def curves(found: dict[str, PowerLaw | None]) -> pl.DataFrame:
    """The table `HistoryCurves`, of `fits`."""
    shares = [step / _CURVE for step in range(_CURVE + 1)]
    rows = [(way, share, *law.at(share)) for way, law in found.items() if law is not None for share in shares]
    return pl.DataFrame(rows, HistoryCurves.schema(), orient="row")


def summary(table: pl.DataFrame, found: dict[str, PowerLaw | None]) -> dict[str, Any]:
    """How many runs are of relatives, and by way the fit: a (nats), k, and half (the effect at share .5 as a share of a), each
    with its interval; whether k is at a bound; runs, clusters, draws that count, and those with k at a bound.
    None where there are too few shares."""
    return {"runs": table.height, "fits": {way: law and _told(law) for way, law in found.items()}}


def _told(law: PowerLaw) -> dict[str, Any]:
    spans = {name: span._asdict() for name, span in law.spans.items()}
    counts = {"n": law.n, "clusters": law.clusters, "draws": law.draws, "draws_at_bound": law.draws_at_bound}
    return {**spans, "at_bound": law.at_bound, **counts}
