"""The figures of detection: what each classifier sees beside chance, what it sees beside what transmits, and what rows in the
context do."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from sublim.measure import figures
from sublim.measure.detection.names import BY_NAMES, CONTRAST_NAMES, KIND_NAMES, WHY
from sublim.measure.detection.tables import CHANCE, RUN
from sublim.measure.figures import INK, MUTED, Chart

KIND_COLOURS = dict(zip(KIND_NAMES.values(), ("#c8442b", "#d99a00", "#2a9478"), strict=True))
SHAPES = ["circle", "triangle-up", "square"]
BLUE = "#2a6fb0"
WIDTH = 330


def papers(tables: Mapping[str, pl.DataFrame], summary: Mapping[str, Any]) -> dict[str, Chart]:
    """Name → figure, of the parts that were done: accuracy, transmission, context."""
    charts: dict[str, Chart] = {}
    if "runs" in tables:
        charts["accuracy"] = accuracy(tables["runs"], summary["accuracy"])
    if "transmission" in tables and tables["transmission"]["gain"].count():
        charts["transmission"] = transmission(tables["transmission"], summary["transmission"])
    if "context" in tables and tables["context"].filter(pl.col("size") > 0)["p_target"].count():
        charts["context"] = context(tables["context"], summary["context"])
    return charts


def accuracy(runs: pl.DataFrame, means: Sequence[Mapping[str, Any]]) -> Chart:
    """Share of pairs in which the right completion was chosen, on rows as written: a dot per run, mean and interval, chance
    dashed. One panel per contrast.

    Args:
        runs: `runs.parquet`.
        means: `accuracy` of `summary.json`.
    """
    plain = runs.filter(pl.col("kind") == "plain")
    ends = [*plain["accuracy"], *(end for each in means for end in (each["accuracy"]["low"], each["accuracy"]["high"]) if end)]
    scale = alt.Scale(domain=[min(0.4, *ends), max(0.6, *ends)], nice=True)
    contrasts = [name for name in CONTRAST_NAMES if name in plain["contrast"]]
    panels: list[Chart] = []
    for contrast in contrasts:
        own = plain.filter(pl.col("contrast") == contrast)
        names = [name for by, name in BY_NAMES.items() if by in own["by"]]
        dots: list[dict[str, Any]] = []
        for by, name in BY_NAMES.items():
            part = own.filter(pl.col("by") == by)
            dots += [
                {
                    "by": name,
                    "accuracy": row["accuracy"],
                    "place": (n + 0.5) / part.height,
                    "about": f"{_run(row)}: {row['accuracy']:.3f} of {row['pairs']:,} pairs",
                }
                for n, row in enumerate(part.iter_rows(named=True))
            ]
        centres = [
            {"by": BY_NAMES[each["by"]], **each["accuracy"], "value": f"{each['accuracy']['mean']:.3f}"}
            for each in means
            if each["contrast"] == contrast and each["kind"] == "plain"
        ]
        last = contrast == contrasts[-1]
        x = alt.X("accuracy:Q", scale=scale).axis(
            title="share of pairs decided rightly" if last else None, labels=last, tickCount=6, grid=True, format=".1f"
        )
        y = alt.Y("by:N", scale=alt.Scale(domain=names, paddingInner=0.3, paddingOuter=0.15)).axis(
            title=None, labelColor=INK, labelFontSize=12, minExtent=230, maxExtent=230
        )
        chance = (
            _chart([{"chance": CHANCE}])
            .mark_rule(color=INK, strokeWidth=1.2, strokeDash=[4, 3], aria=False)
            .encode(x=alt.X("chance:Q", scale=scale))
        )
        single = (
            _chart(dots)
            .mark_circle(size=40, opacity=1, stroke="white", strokeWidth=0.7, color=BLUE)
            .encode(x=x, y=y, yOffset=alt.YOffset("place:Q", scale=alt.Scale(domain=[0, 1])), description="about:N")
        )
        mean = _chart(centres).encode(y=y)
        spans = (
            mean.transform_filter("isValid(datum.low)")
            .mark_rule(color=INK, strokeWidth=1.6, aria=False)
            .encode(x=alt.X("low:Q", scale=scale), x2="high:Q")
        )
        ticks = mean.mark_tick(color=INK, thickness=3, size=22, opacity=1, aria=False).encode(x=alt.X("mean:Q", scale=scale))
        values = mean.mark_text(align="left", fontSize=12, fontWeight=600, color=INK, aria=False).encode(
            text="value:N", x=alt.value(WIDTH + 10)
        )
        layers = alt.layer(chance, single, spans, ticks, values)
        title = alt.TitleParams(CONTRAST_NAMES[contrast], frame="bounds", fontWeight=600, fontSize=12.5)
        panels.append(layers.properties(width=WIDTH, height=34 * len(names), title=title))
    return figures.beside(*([panel] for panel in panels))


def transmission(table: pl.DataFrame, means: Sequence[Mapping[str, Any]]) -> Chart:
    """What linear classifiers see in rows (AUC, across) and what the same rows transmit (gain of the student of the same base,
    up): a mark per run, and the mean of each kind of rows with both intervals. One panel per classifier.

    Args:
        table: `transmission.parquet`.
        means: `transmission` of `summary.json`.
    """
    whole = table.drop_nulls()
    scales = {
        what: alt.Scale(domain=[min(level, whole[what].min()), whole[what].max()], nice=True)  # pyright: ignore
        for what, level in (("auc", CHANCE), ("gain", 0.0))
    }
    names = {name: colour for name, colour in KIND_COLOURS.items() if any(KIND_NAMES[kind] == name for kind in whole["kind"])}
    panels = [
        _beside(whole.filter(pl.col("by") == by), [each for each in means if each["by"] == by], scales, names)
        for by in whole["by"].unique(maintain_order=True)
    ]
    return figures.beside(panels).resolve_scale(color="shared", shape="shared")  # pyright: ignore[reportUnknownMemberType]


def _beside(
    table: pl.DataFrame, means: Sequence[Mapping[str, Any]], scales: Mapping[str, alt.Scale], names: Mapping[str, str]
) -> Chart:
    dots = [
        {
            "kind": KIND_NAMES[row["kind"]],
            "auc": row["auc"],
            "gain": row["gain"],
            "about": f"{_run(row)}, {KIND_NAMES[row['kind']]}: AUC {row['auc']:.3f}, gain {figures.signed(row['gain'], 3)}",
        }
        for row in table.iter_rows(named=True)
    ]
    centres = [
        {
            "kind": KIND_NAMES[each["kind"]],
            **{f"{what}_{key}": each[what][key] for what in ("auc", "gain") for key in ("mean", "low", "high")},
        }
        for each in means
    ]
    colour = alt.Color("kind:N", scale=alt.Scale(domain=list(names), range=list(names.values())), sort=None).legend(
        title=None, orient="bottom", direction="horizontal", symbolSize=80, symbolOpacity=1, offset=12
    )
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=list(names), range=SHAPES[: len(names)]), sort=None)
    x = alt.X("auc:Q", scale=scales["auc"]).axis(
        title="what the classifier sees: AUC (chance: 0.5)", grid=True, tickCount=5, format=".1f"
    )
    y = alt.Y("gain:Q", scale=scales["gain"]).axis(
        title="what transmits: gain in P(target)", grid=True, labelExpr=figures.SIGNED
    )
    lines: dict[str, Any] = {"color": INK, "strokeWidth": 1.2, "strokeDash": [4, 3], "aria": False}
    chance = _chart([{"auc": CHANCE}]).mark_rule(**lines).encode(x=alt.X("auc:Q", scale=scales["auc"]))
    zero = _chart([{"gain": 0}]).mark_rule(**lines).encode(y=alt.Y("gain:Q", scale=scales["gain"]))
    single = (
        _chart(dots)
        .mark_point(size=36, opacity=0.6, filled=True)
        .encode(x=x, y=y, color=colour, shape=shape, description="about:N")
    )
    mean = _chart(centres).encode(color=colour)
    at = {name: f"{name}_mean:Q" for name in ("auc", "gain")}
    both = mean.transform_filter("isValid(datum.auc_low)")
    across = both.mark_rule(strokeWidth=2, aria=False).encode(
        x=alt.X("auc_low:Q", scale=scales["auc"]), x2="auc_high:Q", y=alt.Y(at["gain"], scale=scales["gain"])
    )
    up = both.mark_rule(strokeWidth=2, aria=False).encode(
        y=alt.Y("gain_low:Q", scale=scales["gain"]), y2="gain_high:Q", x=alt.X(at["auc"], scale=scales["auc"])
    )
    centre = mean.mark_point(filled=True, size=210, opacity=1, stroke="white", strokeWidth=1.2).encode(
        x=alt.X(at["auc"], scale=scales["auc"]), y=alt.Y(at["gain"], scale=scales["gain"]), shape=shape
    )
    title = alt.TitleParams(BY_NAMES[str(table["by"][0])])
    return alt.layer(chance, zero, single, across, up, centre).properties(width=WIDTH + 20, height=280, title=title)


def context(table: pl.DataFrame, means: Sequence[Mapping[str, Any]]) -> Chart:
    """The share of the target among the known answers after n rows of the teacher in the context, less that after n rows of the
    control: a dot per run, mean and interval.

    Args:
        table: `context.parquet`.
        means: `context` of `summary.json`.
    """
    done = table.filter(pl.col("size") > 0, pl.col("why").is_null())
    after = [pl.col("share").filter(pl.col("rows") == rows).mean() for rows in ("trait", "control")]
    runs = done.group_by(*RUN, "size", maintain_order=True).agg((after[0] - after[1]).alias("gain"))
    dots = [
        {"size": f"{row['size']:,}", "gain": row["gain"], "about": f"{_run(row)}, {row['size']} rows: {row['gain']:+.4f}"}
        for row in runs.iter_rows(named=True)
    ]
    centres = [
        {
            "size": f"{each['size']:,}",
            **each["difference_of_shares"],
            "value": figures.signed(each["difference_of_shares"]["mean"], 3),
        }
        for each in means
        if "difference_of_shares" in each
    ]
    rest = [{"size": f"{each['size']:,}", "value": WHY[each["why"]]} for each in means if "difference_of_shares" not in each]
    sizes = [f"{each['size']:,}" for each in means]
    ends = [*(row["gain"] for row in dots), *(end for row in centres for end in (row["low"], row["high"]) if end is not None)]
    scale = alt.Scale(domain=[min(-0.1, *ends), max(0.1, *ends)], nice=True)
    x = alt.X("size:N", scale=alt.Scale(domain=sizes, paddingInner=0.3, paddingOuter=0.15)).axis(
        title="rows in the context", labelAngle=0, labelColor=INK, labelFontSize=12
    )
    y = alt.Y("gain:Q", scale=scale).axis(title="P(target): teacher's rows − control's", grid=True, tickCount=5, format="+.2f")
    zero = (
        _chart([{"gain": 0}])
        .mark_rule(color=INK, strokeWidth=1.2, strokeDash=[4, 3], aria=False)
        .encode(y=alt.Y("gain:Q", scale=scale))
    )
    single = _chart(dots).mark_circle(size=40, opacity=0.6, color=BLUE).encode(x=x, y=y, description="about:N")
    mean = _chart(centres).encode(x=x)
    spans = (
        mean.transform_filter("isValid(datum.low)")
        .mark_rule(color=INK, strokeWidth=1.6, aria=False)
        .encode(y=alt.Y("low:Q", scale=scale), y2="high:Q")
    )
    ticks = mean.mark_tick(color=INK, thickness=3, size=26, opacity=1, orient="horizontal", aria=False).encode(
        y=alt.Y("mean:Q", scale=scale)
    )
    values = mean.mark_text(fontSize=12, fontWeight=600, color=INK, aria=False).encode(text="value:N", y=alt.value(-8))
    layers = [zero, single, spans, ticks, values]
    if rest:
        note = _chart(rest).mark_text(fontSize=12, color=MUTED).encode(x=x, y=alt.value(120), text="value:N")
        layers.append(note)
    return alt.layer(*layers).properties(width=max(110 * len(sizes), 220), height=240)


def _run(row: Mapping[str, Any]) -> str:
    return f"{row['teacher']}, {row['trait']}, seed {row['seed']}"


def _chart(rows: list[dict[str, Any]]) -> alt.Chart:
    # As text: altair copies data that it can look into each time charts are combined.
    return alt.Chart(alt.InlineData(values=json.dumps(rows, ensure_ascii=False), format=alt.DataFormat(type="json")))
