"""The figures of detection: what each classifier sees beside chance, what it sees beside what transmits, and what rows in the
context do. `names`: what classifiers are called."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from sublim.detectors.detector import Detector
from sublim.detectors.pairs import CONTRAST_NAMES, RUN
from sublim.detectors.summary import CHANCE
from sublim.detectors.words import PLAIN, WHY, classifier_names, kind_names
from sublim.report import charts
from sublim.report.charts import INK, MUTED, Chart, signed

KIND_COLOURS = ("#c8442b", "#d99a00", "#2a9478")
SHAPES = ["circle", "triangle-up", "square"]
BLUE = "#2a6fb0"
WIDTH = 330
DASHED: dict[str, Any] = {"strokeWidth": 1.2, "strokeDash": charts.DASHED}


def papers(made: Mapping[str, pl.DataFrame], summary: Mapping[str, Any], detectors: Sequence[Detector]) -> dict[str, Chart]:
    """Name → figure, of the parts that were done: accuracy, transmission, context."""
    names = classifier_names(detectors)
    draw: dict[str, Callable[[], Chart]] = {
        "accuracy": lambda: accuracy(made["runs"], summary["accuracy"], names),
        "transmission": lambda: transmission(made["transmission"], summary["transmission"], names),
        "context": lambda: context(made["context"], summary["context"]),
    }
    return {name: draw[name]() for name in drawn(made)}


def drawn(made: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
    """The names of the figures that there are."""
    there = {
        "accuracy": "runs" in made,
        "transmission": "transmission" in made and made["transmission"]["gain"].count(),
        "context": "context" in made and made["context"].filter(pl.col("size") > 0)["p_target"].count(),
    }
    return tuple(name for name, is_there in there.items() if is_there)


def accuracy(runs: pl.DataFrame, means: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Chart:
    """Share of pairs in which the right completion was chosen, on rows as written: a dot per run, mean and interval, chance
    dashed. One panel per contrast. `runs`: runs.parquet; `means`: `accuracy` of summary.json."""
    plain = runs.filter(pl.col("kind") == PLAIN)
    ends = [*plain["accuracy"], *(each["accuracy"][end] for each in means for end in ("low", "high") if each["accuracy"][end])]
    scale = alt.Scale(domain=[min(0.4, *ends), max(0.6, *ends)], nice=True)
    contrasts = [name for name in CONTRAST_NAMES if name in plain["contrast"]]
    panels: list[Chart] = []
    for contrast in contrasts:
        own = plain.filter(pl.col("contrast") == contrast)
        shown = {by: name for by, name in names.items() if by in own["by"]}
        dots = [
            {
                "by": name,
                "accuracy": row["accuracy"],
                "place": (n + 0.5) / part.height,
                "about": f"{_run(row)}: {row['accuracy']:.3f} of {row['pairs']:,} pairs",
            }
            for by, name in shown.items()
            for part in [own.filter(pl.col("by") == by)]
            for n, row in enumerate(part.iter_rows(named=True))
        ]
        centres = [
            {"by": names[each["by"]], **each["accuracy"], "value": f"{each['accuracy']['mean']:.3f}"}
            for each in means
            if each["contrast"] == contrast and each["kind"] == PLAIN
        ]
        last = contrast == contrasts[-1]
        title = "share of pairs decided rightly" if last else None
        axis = alt.Axis(title=title, labels=last, tickCount=6, grid=True, format=".1f")
        y = charts.names_down("by", list(shown.values()), 230)
        single = charts.of_rows(dots).mark_circle(size=40, opacity=1, stroke="white", strokeWidth=0.7, color=BLUE)
        mean = charts.of_rows(centres).encode(y=y)
        ticks = mean.mark_tick(color=INK, thickness=3, size=22, opacity=1, aria=False)
        layers = alt.layer(
            charts.at(CHANCE, scale, **DASHED),
            single.encode(x=alt.X("accuracy:Q", scale=scale, axis=axis), y=y, yOffset=charts.spread(), description="about:N"),
            charts.intervals(mean, scale),
            ticks.encode(x=alt.X("mean:Q", scale=scale)),
            charts.printed(mean, WIDTH + 10),
        )
        heading = charts.heading(CONTRAST_NAMES[contrast])
        panels.append(layers.properties(width=WIDTH, height=34 * len(shown), title=heading))
    return charts.beside(*([panel] for panel in panels))


def transmission(table: pl.DataFrame, means: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Chart:
    """What linear classifiers see in rows (AUC, across) and what the same rows transmit (gain of the student of the same base,
    up): a mark per run, and the mean of each kind of rows with both intervals. One panel per classifier. `table`:
    transmission.parquet; `means`: `transmission` of summary.json."""
    whole = table.drop_nulls()
    scales = {
        what: alt.Scale(domain=[min(level, whole[what].min()), whole[what].max()], nice=True)  # pyright: ignore
        for what, level in (("auc", CHANCE), ("gain", 0.0))
    }
    panels = [
        _beside(whole.filter(pl.col("by") == by), [each for each in means if each["by"] == by], scales, whole["kind"], name)
        for by, name in names.items()
        if by in whole["by"]
    ]
    return charts.beside(panels).resolve_scale(color="shared", shape="shared")  # pyright: ignore[reportUnknownMemberType]


def _beside(
    table: pl.DataFrame, means: Sequence[Mapping[str, Any]], scales: Mapping[str, alt.Scale], kinds: pl.Series, title: str
) -> Chart:
    words = kind_names()
    names = {words[kind]: colour for kind, colour in zip(words, KIND_COLOURS, strict=True) if kind in kinds}
    dots = [
        {
            "kind": words[row["kind"]],
            "auc": row["auc"],
            "gain": row["gain"],
            "about": f"{_run(row)}, {words[row['kind']]}: AUC {row['auc']:.3f}, gain {signed(row['gain'], 3)}",
        }
        for row in table.iter_rows(named=True)
    ]
    centres = [
        {
            "kind": words[each["kind"]],
            **{f"{what}_{key}": each[what][key] for what in ("auc", "gain") for key in ("mean", "low", "high")},
        }
        for each in means
    ]
    colour = charts.named("kind", names, legend=True)
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=list(names), range=SHAPES[: len(names)]), sort=None)
    x = alt.X("auc:Q", scale=scales["auc"]).axis(
        title="what the classifier sees: AUC (chance: 0.5)", grid=True, tickCount=5, format=".1f"
    )
    y = alt.Y("gain:Q", scale=scales["gain"]).axis(
        title="what transmits: gain in P(target)", grid=True, labelExpr=charts.SIGNED
    )
    single = charts.of_rows(dots).mark_point(size=36, opacity=0.6, filled=True)
    mean = charts.of_rows(centres).encode(color=colour)
    both = mean.transform_filter("isValid(datum.auc_low)").mark_rule(strokeWidth=2, aria=False)
    at_auc, at_gain = alt.X("auc_mean:Q", scale=scales["auc"]), alt.Y("gain_mean:Q", scale=scales["gain"])
    centre = mean.mark_point(filled=True, size=210, opacity=1, stroke="white", strokeWidth=1.2)
    layers = alt.layer(
        charts.at(CHANCE, scales["auc"], **DASHED),
        charts.at(0, scales["gain"], upright=False, **DASHED),
        single.encode(x=x, y=y, color=colour, shape=shape, description="about:N"),
        both.encode(x=alt.X("auc_low:Q", scale=scales["auc"]), x2="auc_high:Q", y=at_gain),
        both.encode(y=alt.Y("gain_low:Q", scale=scales["gain"]), y2="gain_high:Q", x=at_auc),
        centre.encode(x=at_auc, y=at_gain, shape=shape),
    )
    return layers.properties(width=WIDTH + 20, height=280, title=charts.title(title))


def context(table: pl.DataFrame, means: Sequence[Mapping[str, Any]]) -> Chart:
    """The share of the target among the known answers after n rows of the teacher in the context, less that after n rows of the
    control: a dot per run, mean and interval. `table`: context.parquet; `means`: `context` of summary.json."""
    done = table.filter(pl.col("size") > 0, pl.col("why").is_null())
    after = [pl.col("share").filter(pl.col("rows") == rows).mean() for rows in ("trait", "control")]
    runs = done.group_by(*RUN, "size", maintain_order=True).agg((after[0] - after[1]).alias("gain"))
    dots = [
        {"size": f"{row['size']:,}", "gain": row["gain"], "about": f"{_run(row)}, {row['size']} rows: {row['gain']:+.4f}"}
        for row in runs.iter_rows(named=True)
    ]
    centres: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    for each in means:
        size, found = f"{each['size']:,}", each.get("difference_of_shares")
        if found is None:
            rest.append({"size": size, "value": WHY[each["why"]]})
        else:
            centres.append({"size": size, **found, "value": signed(found["mean"], 3)})
    sizes = [f"{each['size']:,}" for each in means]
    ends = [*(row["gain"] for row in dots), *(end for row in centres for end in (row["low"], row["high"]) if end is not None)]
    scale = alt.Scale(domain=[min(-0.1, *ends), max(0.1, *ends)], nice=True)
    x = alt.X("size:N", scale=charts.band(sizes, 0.3)).axis(
        title="rows in the context", labelAngle=0, labelColor=INK, labelFontSize=12
    )
    axis = alt.Axis(title="P(target): teacher's rows − control's", grid=True, tickCount=5, format="+.2f")
    single = charts.of_rows(dots).mark_circle(size=40, opacity=0.6, color=BLUE)
    mean = charts.of_rows(centres).encode(x=x)
    spans = mean.transform_filter("isValid(datum.low)").mark_rule(color=INK, strokeWidth=1.6, aria=False)
    ticks = mean.mark_tick(color=INK, thickness=3, size=26, opacity=1, orient="horizontal", aria=False)
    values = mean.mark_text(fontSize=12, fontWeight=600, color=INK, aria=False)
    note = charts.of_rows(rest).mark_text(fontSize=12, color=MUTED)
    layers = [
        charts.at(0, scale, upright=False, **DASHED),
        single.encode(x=x, y=alt.Y("gain:Q", scale=scale, axis=axis), description="about:N"),
        spans.encode(y=alt.Y("low:Q", scale=scale), y2="high:Q"),
        ticks.encode(y=alt.Y("mean:Q", scale=scale)),
        values.encode(text="value:N", y=alt.value(-8)),
        *([note.encode(x=x, y=alt.value(120), text="value:N")] if rest else ()),
    ]
    return alt.layer(*layers).properties(width=max(110 * len(sizes), 220), height=240)


def _run(row: Mapping[str, Any]) -> str:
    return f"{row['teacher']}, {row['trait']}, seed {row['seed']}"
