"""The figures of a report: altair charts of the report's own tables, rendered offline by vl-convert.

Colours keep apart for colour-blind readers (blue to red for signed gains, Tol's palettes for names), and what a colour shows is
printed or labelled as well.
"""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import altair as alt
import polars as pl
import vl_convert

from sublim.measure.ability import LOSS
from sublim.measure.roc import intervals
from sublim.measure.statistics import Interval
from sublim.measure.tables import CONDITIONS, NONE, P_TARGET, rank

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
# The page gives exactly these three other values on dark screens; text inside coloured cells has colours of its own.
INK, MUTED, RULE = "#24292f", "#656d76", "#d8dce1"
ON_LIGHT, ON_DARK = "#000000", "#ffffff"
DIVERGING = ("#1f5f99", "#7fb0d6", "#f4f4f2", "#e8a283", "#b0391f")
CONDITION_COLOURS = ("#c8442b", "#2a6fb0", "#868c94", "#d99a00", "#2a9478", "#9b6fb8", "#7a5c3e", "#b84d8f")
CONDITION_NAMES = {
    "diagonal": "same base",
    "off_diagonal": "other base",
    "control": "control",
    "shuffled_within": "shuffled within rows",
    "shuffled_across": "shuffled across rows",
    "shuffled_within_off_diagonal": "shuffled within, other base",
    "shuffled_across_off_diagonal": "shuffled across, other base",
    "random": "random rows",
}
CATEGORICAL = (
    *("#4477aa", "#cc6677", "#228833", "#aa4499", "#b8941f", "#44aaaa", "#882255", "#5a6b2f", "#332288", "#ee7733"),
    "#661100",
)
EQUIVALENT = "#2a6fb0"
VERDICTS = {"transmission": "#b0391f", "not shown": MUTED}
FUNNEL = {"sampled": "#cfd8e3", "kept": "#7fa6cf", "used": "#2a5f96"}
MANY_ANSWERS = 24
POINTS = 48
PANEL = 240
PNG_SCALE = 3.0

Chart = alt.LayerChart | alt.FacetChart | alt.VConcatChart | alt.HConcatChart


def svg(chart: Chart) -> str:
    """`chart` as SVG text, the same for the same chart: Vega numbers gradients and clips through the life of a process, which
    is undone here. Coordinates are rounded to a thousandth of a pixel."""
    text = vl_convert.vegalite_to_svg(_spec(chart))
    for kind, name in (("gradient_", "scale"), ("clip", "clip")):
        found = list(dict.fromkeys(re.findall(rf'id="({kind}\d+)"', text)))
        for place, id_ in enumerate(found):
            text = re.sub(rf"\b{id_}\b", f"{name}_{place}", text)
    return re.sub(r"-?\d+\.\d{4,}(?!\d*e)", lambda match: f"{float(match[0]):.3f}".rstrip("0").rstrip("."), text)


def png(text: str) -> bytes:
    """An SVG as PNG at `PNG_SCALE` times its nominal size: 216 dots per inch at that size in print."""
    return vl_convert.svg_to_png(text, scale=PNG_SCALE)


def inline(text: str, prefix: str, about: str) -> str:
    """An SVG made ready to stand in a page beside others: ids made unique by `prefix`, no background, width left to the page up
    to the nominal one, `about` as what a screen reader says, and a tooltip on each mark that has a label."""
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)
    text = re.sub(r' (?:role|aria-roledescription|aria-hidden|class)="[^"]*"', "", text)
    text = re.sub(r'<path aria-label="([^"]*)"([^>]*?)(?:/>|></path>)', r"<path\2><title>\1</title></path>", text)
    size = re.match(r'<svg\b[^>]*?\bwidth="([\d.]+)"[^>]*?\bheight="([\d.]+)"[^>]*>', text)
    if size is None:
        raise ValueError(f"an SVG begins with its size, found {text[:200]!r}")
    width, height = size.groups()
    body = re.sub(r'^<rect\b[^>]*fill="white"[^>]*?(?:/>|></rect>)', "", text[size.end() :])
    box = f'viewBox="0 0 {width} {height}" width="{width}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="{escape(about)}">{body}'


def beside(*rows: Sequence[Chart]) -> Chart:
    """Rows of panels as one figure, for a paper; the page lays panels out by its own width."""
    return alt.vconcat(*(alt.hconcat(*row, spacing=36) for row in rows), spacing=24).resolve_scale(color="independent")  # pyright: ignore[reportUnknownMemberType]


def extent(*tables: pl.DataFrame) -> float:
    """The end of a diverging scale that all gains of `tables` fit in; never so small that noise is coloured as an effect."""
    return max(0.1, *(abs(gain) for table in tables for gain in table["gain"].to_list()))


def matrix(table: pl.DataFrame, labels: Mapping[str, str], arm: str, end: float, measured: str = P_TARGET) -> Chart:
    """Cross-model matrix of one arm: students down, teachers across, mean gain and interval in each cell, same base outlined.

    Args:
        table: `matrix.parquet`.
        labels: model → what it is (its architecture), in order.
        arm: which arm of the table.
        end: end of the colour scale, from `extent`.
        measured: what a gain is a gain of.
    """
    rows = [
        {
            "teacher": _label(row["teacher"], labels),
            "student": _label(row["student"], labels),
            "gain": row["gain"],
            "value": signed(row["gain"]),
            "span": _span(row) or "one run",
            "ink": text_colour(row["gain"], end),
            "same": row["same_base"],
            "about": f"{row['teacher']} → {row['student']}: gain {with_interval(row, 'gain')}; "
            f"{measured} {row['p_target']:.3f}, untrained {row['p_base']:.3f}",
        }
        for row in table.filter(pl.col("arm") == arm).iter_rows(named=True)
    ]
    names = [_label(model, labels) for model in labels]
    size = max(76, min(112, 560 // len(names)))
    # Vega places a label of two lines by its first line: half a line up at the side, a whole line up on top.
    second = LINE if any(LINES in name for name in names) else 0
    both: dict[str, Any] = {
        "labelExpr": f"split(datum.label, '{LINES}')",
        "labelColor": INK,
        "labelFontSize": 12,
        "labelLineHeight": LINE,
    }
    base = _chart(rows).encode(
        x=alt.X("teacher:N", scale=_band(names, 0.03)).axis(
            orient="top", title="teacher", labelAngle=0, labelPadding=8 + second, titlePadding=10, **both
        ),
        y=alt.Y("student:N", scale=_band(names, 0.03)).axis(title="student", labelOffset=-second / 2, titlePadding=10, **both),
    )
    cells = base.mark_rect(cornerRadius=2).encode(color=_fill(end, measured, legend=True), description="about:N")
    outline = base.transform_filter("datum.same").mark_rect(**OUTLINE)
    ink = alt.Color("ink:N", scale=None)
    value = base.mark_text(fontSize=17, fontWeight=600, dy=-8, aria=False).encode(text="value:N", color=ink)
    span = base.mark_text(fontSize=10.5, dy=13, aria=False).encode(text="span:N", color=ink)
    return _heat(cells, outline, value, span).properties(width=size * len(names), height=round(size * 0.7) * len(names))


def gains(
    table: pl.DataFrame,
    means: Mapping[str, Mapping[str, Any]],
    student: str,
    label: str,
    names: Sequence[str],
    measured: str,
    *,
    legend: bool = False,
) -> Chart:
    """Gains of one student model by condition: a dot per run, and the mean with its interval.

    Args:
        table: `runs.parquet`.
        means: `by_student[student]` of `summary.json`.
        student: which student.
        label: what it is (its architecture).
        names: declared traits, in order.
        measured: what a gain is a gain of.
        legend: whether the chart itself says which colour is which trait.
    """
    own = table.filter(pl.col("student") == student)
    shown = [name for name in CONDITIONS if name in table["condition"]]
    dots: list[dict[str, Any]] = []
    for name in shown:
        part = own.filter(pl.col("condition") == name).sort(rank("trait", (*names, NONE)), "seed", "teacher")
        dots += [
            {
                "condition": CONDITION_NAMES[name],
                "gain": row["gain"],
                "trait": taught_name(row["trait"]),
                # Spread over the band in a fixed order, so that dots of the same gain do not hide each other.
                "place": (n + 0.5) / len(part),
                "about": f"{row['teacher']} → {student}, {row['trait']}, seed {row['seed']}: gain {signed(row['gain'], 3)}",
            }
            for n, row in enumerate(part.iter_rows(named=True))
        ]
    centres = [
        {
            "condition": CONDITION_NAMES[name],
            **means[name],
            "value": signed(means[name]["mean"]),
            "about": f"{student}, {CONDITION_NAMES[name]}: mean gain {with_interval(means[name], 'mean')}",
        }
        for name in shown
        if name in means
    ]
    ends = [value for key in ("gain",) for value in table[key].to_list()] + [0.0]
    scale = alt.Scale(domain=[min(ends), max(ends)], nice=True)
    y = _names_down("condition", [CONDITION_NAMES[name] for name in shown])
    zero = _chart([{"zero": 0}]).mark_rule(color=MUTED, strokeWidth=1, aria=False).encode(x=alt.X("zero:Q", scale=scale))
    single = (
        _chart(dots)
        .mark_circle(size=44, opacity=1, stroke="white", strokeWidth=0.7)
        .encode(
            x=alt.X("gain:Q", scale=scale).axis(title=f"gain in {measured}", tickCount=5, labelExpr=SIGNED, grid=True),
            y=y,
            yOffset=alt.YOffset("place:Q", scale=alt.Scale(domain=[0, 1])),
            color=_named("trait", trait_colours(names, control=NONE in table["trait"]), legend=legend),
            description="about:N",
        )
    )
    mean = _chart(centres).encode(y=y)
    spans = (
        mean.transform_filter("isValid(datum.low)")
        .mark_rule(color=INK, strokeWidth=1.6, clip=True, aria=False)
        .encode(x=alt.X("low:Q", scale=scale), x2="high:Q")
    )
    tick = mean.mark_tick(color=INK, thickness=3, size=24, opacity=1)
    ticks = tick.encode(x=alt.X("mean:Q", scale=scale), description="about:N")
    values = mean.mark_text(align="left", fontSize=12, fontWeight=600, color=INK, aria=False).encode(
        text="value:N", x=alt.value(PANEL + 10)
    )
    layers = alt.layer(zero, spans, ticks, single, values)
    return layers.properties(width=PANEL, height=44 * len(shown), title=_title(student, label))


def study(table: pl.DataFrame, name: str, measured: str | None) -> Chart:
    """Mean gain and interval of each condition of one study; the scale is that of all studies.

    Args:
        table: study, condition, gain, low, high, n.
        name: which study.
        measured: what a gain is a gain of; None leaves the axis to a panel below.
    """
    own = table.filter(pl.col("study") == name)
    shown = [condition for condition in CONDITIONS if condition in own["condition"]]
    rows = [
        {
            **row,
            "condition": CONDITION_NAMES[row["condition"]],
            "value": signed(row["gain"]),
            "about": f"{name}, {CONDITION_NAMES[row['condition']]}: mean gain {with_interval(row, 'gain')}",
        }
        for row in own.iter_rows(named=True)
    ]
    ends = [value for key in ("gain", "low", "high") for value in table[key].drop_nulls()] + [0.0]
    scale = alt.Scale(domain=[min(ends), max(ends)], nice=True)
    room = 7.0 * max(len(CONDITION_NAMES[condition]) for condition in table["condition"])
    y = _names_down("condition", [CONDITION_NAMES[condition] for condition in shown], room)
    title = f"gain in {measured}" if measured else None
    x = alt.X("gain:Q", scale=scale).axis(title=title, labels=measured is not None, tickCount=5, labelExpr=SIGNED, grid=True)
    colours = {CONDITION_NAMES[condition]: colour for condition, colour in condition_colours(table).items()}
    zero = _chart([{"zero": 0}]).mark_rule(color=MUTED, strokeWidth=1, aria=False).encode(x=alt.X("zero:Q", scale=scale))
    mean = _chart(rows).encode(y=y)
    spans = (
        mean.transform_filter("isValid(datum.low)")
        .mark_rule(color=INK, strokeWidth=1.6, aria=False)
        .encode(x=alt.X("low:Q", scale=scale), x2="high:Q")
    )
    dots = mean.mark_circle(size=80, opacity=1).encode(
        x=x, color=_named("condition", colours, legend=False), description="about:N"
    )
    values = mean.mark_text(align="left", fontSize=12, fontWeight=600, color=INK, aria=False).encode(
        text="value:N", x=alt.value(2 * PANEL + 10)
    )
    layers = alt.layer(zero, spans, dots, values)
    return layers.properties(width=2 * PANEL, height=26 * len(shown), title=_title(name, ""))


def traits(
    table: pl.DataFrame, targets: Mapping[str, tuple[str, str]], end: float, confidence: float, measured: str = P_TARGET
) -> Chart:
    """Trait taught (down) × answer asked for (across) in each condition: mean gain over models and seeds, with a star where it
    differs from that of controls (q ≤ 1 − `confidence`). With more than `MANY_ANSWERS` known answers, only the targets of
    declared traits are shown.

    Args:
        table: `traits.parquet`.
        targets: declared trait → (category, target answer), in order. Traits may share one.
        end: end of the colour scale, from `extent`.
        confidence: of the report.
        measured: what a gain is a gain of.
    """
    if table["asked"].n_unique() > MANY_ANSWERS:
        table = table.filter(pl.col("trait").is_not_null())
    asked = table["asked"].unique(maintain_order=True).to_list()
    cell = max(40, min(64, 680 // len(asked)))
    shown = [name for name in CONDITIONS if name in table["condition"]]
    margin = 14 + 7 * max(len(name) for name in table["taught"])
    parts: list[Chart] = []
    for name in shown:
        part = table.filter(pl.col("condition") == name)
        taught = [trait for trait in (*targets, NONE) if trait in part["taught"]]
        first, last = name == shown[0], name == shown[-1]
        rows = [
            {
                **{key: row[key] for key in ("taught", "asked", "gain")},
                "value": signed(row["gain"]).replace("0.", ".", 1) + star(row, confidence),
                "ink": text_colour(row["gain"], end),
                "own": targets.get(row["taught"]) == (row["category"], row["asked"]),
                "about": f"{CONDITION_NAMES[name]}, taught {row['taught']}, asked for {row['asked']}: "
                f"gain {with_interval(row, 'gain')}" + ("" if row["q"] is None else f"; {over(row)}, q {row['q']:.2g}"),
            }
            for row in part.iter_rows(named=True)
        ]
        base = _chart(rows).encode(
            x=alt.X("asked:N", scale=_band(asked, 0.04)).axis(
                orient="top", title="answer asked for" if first else None, labels=first, labelAngle=-40, labelPadding=6
            ),
            y=alt.Y("taught:N", scale=_band(taught, 0.06)).axis(title=None, minExtent=margin, maxExtent=margin),
        )
        fill = base.mark_rect(cornerRadius=1.5).encode(color=_fill(end, measured, legend=last), description="about:N")
        outline = base.transform_filter("datum.own").mark_rect(**OUTLINE)
        values = base.mark_text(fontSize=10.5, aria=False).encode(text="value:N", color=alt.Color("ink:N", scale=None))
        title = alt.TitleParams(
            CONDITION_NAMES[name], anchor="start", frame="bounds", fontSize=12, fontWeight=600, color=INK, offset=6
        )
        parts.append(_heat(fill, outline, values).properties(width=cell * len(asked), height=26 * len(taught), title=title))
    return alt.vconcat(*parts, spacing=12)


def star(row: Mapping[str, Any], confidence: float) -> str:
    """`*` if the false discovery rate at which a cell of the trait table is called different is at most 1 − `confidence`."""
    return "*" if row["q"] is not None and row["q"] <= round(1 - confidence, 12) else ""


def comparison_name(what: str) -> str:
    """`same base over other base` for `diagonal over off_diagonal`: a comparison of `power.parquet` in the page's words."""
    return re.sub(r"[a-z]+(?:_[a-z]+)*", lambda word: CONDITION_NAMES.get(word[0], word[0]), what)


def over(row: Mapping[str, Any], digits: int = 2) -> str:
    """`+0.41 over controls`, or `+0.41 over untrained`: what a cell of the trait table is judged by."""
    return f"{signed(row['difference'], digits)} over {'controls' if row['against'] == 'control' else row['against']}"


def equivalence(tests: Mapping[str, Any], labels: Mapping[str, str]) -> Chart:
    """Is there no transmission? Difference to controls with the interval of the two one-sided tests, in each condition that
    should be null: all students, and each base; the margin shaded. Filled: shown to be inside it.

    Args:
        tests: `equivalence` of `summary.json`.
        labels: model → what it is, in order.
    """
    margin = tests["margin"]
    everything = "all students"
    rows = [
        {
            **{key: test[key] for key in ("low", "high", "mean")},
            "student": student,
            "condition": CONDITION_NAMES[name],
            "shown": test["verdict"].startswith("no transmission"),
            "ink": VERDICTS.get(test["verdict"], EQUIVALENT),
            "verdict": test["verdict"],
            "width": 2.4 if student == everything else 1.4,
            "about": f"{CONDITION_NAMES[name]}, {student}: {signed(test['mean'], 3)} {_span(test, 3)}, {test['verdict']}",
        }
        for student, own in {everything: tests["all"], **tests["by_student"]}.items()
        for name, test in own.items()
    ]
    ends = [end for row in rows for end in (row["low"], row["high"], row["mean"]) if end is not None] + [-margin, margin]
    scale = alt.Scale(domain=[min(ends), max(ends)], nice=True)
    students = [everything, *(model for model in labels if model in tests["by_student"])]
    parts: list[Chart] = []
    shown = list(tests["all"])
    for name in shown:
        own = [row for row in rows if row["condition"] == CONDITION_NAMES[name]]
        names = [student for student in students if any(row["student"] == student for row in own)]
        last = name == shown[-1]
        title = "gain less that of controls (controls: less untrained)" if last else None
        axis = alt.Axis(
            title=title, labels=last, labelExpr="datum.value == 0 ? '0' : format(datum.value, '+.2f')", tickCount=7, grid=True
        )
        band = (
            _chart([{"low": -margin, "high": margin}])
            .mark_rect(color=RULE, opacity=0.75, aria=False)
            .encode(x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q")
        )
        zero = _chart([{"zero": 0}]).mark_rule(color=MUTED, strokeWidth=1, aria=False).encode(x=alt.X("zero:Q", scale=scale))
        colour = alt.Color("ink:N", scale=None)
        base = _chart(own).encode(
            y=alt.Y("student:N", scale=_band(names, 0.3)).axis(title=None, labelColor=INK, minExtent=86, maxExtent=86)
        )
        spans = (
            base.transform_filter("isValid(datum.low)")
            .mark_rule(aria=False)
            .encode(
                x=alt.X("low:Q", scale=scale),
                x2="high:Q",
                color=colour,
                strokeWidth=alt.StrokeWidth("width:Q", scale=None),
            )
        )
        point = base.encode(x=alt.X("mean:Q", scale=scale), color=colour, description="about:N")
        filled = point.transform_filter("datum.shown").mark_point(size=52, filled=True, opacity=1)
        hollow = point.transform_filter("!datum.shown").mark_point(size=44, fill="white", opacity=1, strokeWidth=1.6)
        words = base.mark_text(align="left", fontSize=11.5, color=INK, aria=False).encode(
            text="verdict:N", x=alt.value(2 * PANEL + 12)
        )
        heading = alt.TitleParams(
            CONDITION_NAMES[name], anchor="start", frame="bounds", fontSize=12, fontWeight=600, color=INK, offset=6
        )
        layers = alt.layer(band, zero, spans, filled, hollow, words)
        parts.append(layers.properties(width=2 * PANEL, height=22 * len(names), title=heading))
    return alt.vconcat(*parts, spacing=10)


def gates(table: pl.DataFrame, model: str, label: str, names: Sequence[str], measured: str) -> Chart:
    """P(target), or the misaligned share, of the teachers of one base on held-out questions: hollow before training, filled
    after, the gate dashed.

    Args:
        table: `gates.parquet`.
        model: the base.
        label: what it is (its architecture).
        names: declared traits, in order.
        measured: what is measured.
    """
    rows = [
        {
            **row,
            "about": f"teacher {model}, {row['trait']}, seed {row['seed']}: {measured} {row['probability']:.3f}, "
            f"its base {row['base_probability']:.3f}, "
            + ("a control" if row["threshold"] is None else f"gate {row['threshold']:g}"),
        }
        for row in table.filter(pl.col("teacher") == model).iter_rows(named=True)
    ]
    shown = [name for name in names if name in table["trait"]]
    scale = alt.Scale(domain=[0, 1])
    axis = alt.Axis(title=f"{measured} on held-out questions", tickCount=5, format=".1f", grid=True)
    base = _chart(rows).encode(
        y=_names_down("trait", shown), yOffset=alt.YOffset("seed:O", scale=alt.Scale(paddingInner=0.4, paddingOuter=0.4))
    )
    line = base.mark_rule(color=MUTED, strokeWidth=1, aria=False).encode(
        x=alt.X("base_probability:Q", scale=scale, axis=axis), x2="probability:Q"
    )
    before = base.mark_point(size=34, color=MUTED, fill="white", strokeWidth=1.4, opacity=1, aria=False).encode(
        x=alt.X("base_probability:Q", scale=scale)
    )
    after = base.mark_circle(size=50, opacity=1).encode(
        x=alt.X("probability:Q", scale=scale),
        color=_named("trait", trait_colours(names, control=False), legend=False),
        description="about:N",
    )
    thresholds = [{"threshold": value} for value in sorted({row["threshold"] for row in rows} - {None})]
    gate = (
        _chart(thresholds)
        .mark_rule(color=INK, strokeDash=[4, 3], strokeWidth=1, aria=False)
        .encode(x=alt.X("threshold:Q", scale=scale))
    )
    layers = alt.layer(gate, line, before, after)
    return layers.properties(width=PANEL, height=34 * len(shown), title=_title(model, label))


def funnel(table: pl.DataFrame, model: str, label: str, names: Sequence[str], *, legend: bool = False) -> Chart:
    """What the filter left of the numbers of one teacher model: rows sampled, kept and used, means over seeds.

    Args:
        table: `funnel.parquet`.
        model: the teacher's base.
        label: what it is (its architecture).
        names: declared traits, in order.
        legend: whether the chart itself says which colour is which step.
    """
    table = table.filter(pl.col("arm").is_in(["trait", "control"]) & pl.col("step").is_in(list(FUNNEL)))
    means = table.group_by("teacher", "trait", "step").agg((pl.col("rows").sum() / pl.len()).alias("rows"))
    own = means.filter(pl.col("teacher") == model).sort(rank("trait", (*names, NONE)), rank("step", tuple(FUNNEL)))
    counts: dict[tuple[str, str], float] = {
        (taught_name(trait), step): rows for trait, step, rows in own.select("trait", "step", "rows").iter_rows()
    }
    rows = [
        {"trait": trait, "step": step, "rows": count, "about": f"{model}, {trait}: {count:,.0f} rows {step}"}
        for (trait, step), count in counts.items()
    ]
    shown = [taught_name(trait) for trait in (*names, NONE) if trait in table["trait"]]
    shares = [
        {"trait": trait, "share": f"{counts[trait, 'kept'] / counts[trait, 'sampled']:.0%} kept"}
        for trait in shown
        if (trait, "kept") in counts
    ]
    y = _names_down("trait", shown)
    scale = alt.Scale(domain=[0, max(means["rows"])], nice=True)
    bars = (
        _chart(rows)
        .mark_bar(cornerRadius=1.5)
        .encode(
            x=alt.X("rows:Q", scale=scale, stack=None).axis(title="rows, mean over seeds", tickCount=4, format=",d", grid=True),
            y=y,
            color=_named("step", FUNNEL, legend=legend),
            description="about:N",
        )
    )
    text = (
        _chart(shares)
        .mark_text(align="left", fontSize=11.5, color=INK, aria=False)
        .encode(y=y, text="share:N", x=alt.value(PANEL + 10))
    )
    return alt.layer(bars, text).properties(width=PANEL, height=34 * len(shown), title=_title(model, label))


def training(
    table: pl.DataFrame, stage: str, model: str | None, colours: Mapping[str, str], label: str, *, legend: bool = False
) -> Chart:
    """Training loss against steps: thin lines are runs, thick ones means over the runs of a model (base, teacher) or of a
    condition (student). Neighbouring steps are averaged, to `POINTS` points at most.

    Args:
        table: `training.parquet`.
        stage: base, teacher or student.
        model: only the students of this base, coloured by condition; none: all models, coloured by model.
        colours: model or condition → colour, in order.
        label: a second line for the title.
        legend: whether the chart itself says which colour is which.
    """
    table = table.filter(pl.col("stage") == stage)
    width = -(-(max(table["step"]) + 1) // POINTS)
    by = "model" if model is None else "condition"
    run = ["model", "teacher", "trait", "arm", "condition", "seed"]
    binned = (
        table.with_columns(pl.col("step") // width * width, pl.col(by).replace(CONDITION_NAMES).alias("group"))
        .group_by(*run, "group", "step", maintain_order=True)
        .agg(pl.col("loss").mean().round(4))
    )
    own = binned if model is None else binned.filter(pl.col("model") == model)
    means = own.group_by("group", "step", maintain_order=True).agg(pl.col("loss").mean().round(4))
    single = own.with_columns(pl.struct(run).rank("dense").alias("run")).select("run", "group", "step", "loss")
    shown = {CONDITION_NAMES.get(name, name): colour for name, colour in colours.items()}
    x = alt.X("step:Q").axis(title="step", tickCount=5, format="~s")
    scale = alt.Scale(domain=[0, max(binned["loss"])], nice=True)
    y = alt.Y("loss:Q", scale=scale).axis(title="loss (nats per token)", tickCount=5, grid=True)
    color = _named("group", shown, legend=legend, symbol="stroke")
    thick = _chart(means.with_columns(pl.col("group").alias("about")).to_dicts()).mark_line(strokeWidth=2.2)
    layers = [thick.encode(x=x, y=y, color=color, description="about:N")]
    if single["run"].n_unique() > single["group"].n_unique():
        thin = _chart(single.to_dicts()).mark_line(strokeWidth=0.7, strokeOpacity=0.35, aria=False)
        layers.insert(0, thin.encode(x=x, y=y, color=color, detail="run:N"))
    return alt.layer(*layers).properties(width=PANEL, height=180, title=_title(model or TRAINED[stage], label))


def roc(
    curves: pl.DataFrame,
    runs: pl.DataFrame,
    model: str,
    label: str,
    names: Sequence[str],
    confidence: float,
    *,
    legend: bool = False,
) -> Chart:
    """ROC of a judge, rows of the teachers of one base against those of the base itself: thin lines are runs, thick ones means
    over the runs of a trait, chance dashed, and a dot per run at the filter's threshold. Area and false positives are printed.

    Args:
        curves: `roc_curves.parquet`.
        runs: `roc.parquet`.
        model: the base.
        label: what it is (its architecture).
        names: declared traits, in order.
        confidence: of the report.
        legend: whether the chart itself says which colour is which trait.
    """
    own, table = curves.filter(pl.col("teacher") == model), runs.filter(pl.col("teacher") == model)
    found = intervals(table, confidence)
    scale = alt.Scale(domain=[0, 1])
    axis: dict[str, Any] = {"tickCount": 5, "format": ".1f", "grid": True}
    x = alt.X("false_positive_rate:Q", scale=scale).axis(title="share of the base's rows that is flagged", **axis)
    y = alt.Y("true_positive_rate:Q", scale=scale).axis(title="share of the teacher's rows that is flagged", **axis)
    colour = _named("trait", trait_colours(names, control=False), legend=legend)
    chance = [{"false_positive_rate": end, "true_positive_rate": end} for end in (0, 1)]
    diagonal = _chart(chance).mark_line(color=MUTED, strokeDash=[4, 3], strokeWidth=1, aria=False)
    lines = own.select("trait", "seed", "false_positive_rate", pl.col("true_positive_rate").round(4))
    thin = _chart(lines.to_dicts()).mark_line(strokeWidth=0.7, strokeOpacity=0.4, aria=False)
    means = lines.group_by("trait", "false_positive_rate", maintain_order=True).agg(
        pl.col("true_positive_rate").mean().round(4)
    )
    thick = _chart(means.with_columns(pl.col("trait").alias("about")).to_dicts()).mark_line(strokeWidth=2.2)
    dots = [
        {
            **row,
            "about": f"{model}, {row['trait']}, seed {row['seed']}: AUC {row['auc']:.3f}; below {row['minimum']:g} are "
            f"{row['true_positive_rate']:.3f} of the teacher's rows and {row['false_positive_rate']:.3f} of the base's",
        }
        for row in table.iter_rows(named=True)
    ]
    points = _chart(dots).mark_circle(size=52, opacity=1, stroke="white", strokeWidth=0.7)
    texts = f"AUC {_shares(found['auc'])}", f"false positives {_shares(found['false_positive_rate'])}"
    places = [
        {"false_positive_rate": 0.98, "true_positive_rate": height, "text": text}
        for height, text in zip((0.13, 0.05), texts, strict=True)
    ]
    said = _chart(places).mark_text(align="right", fontSize=11.5, color=INK, aria=False)
    layers = alt.layer(
        diagonal.encode(x=x, y=y),
        thin.encode(x=x, y=y, color=colour, detail="seed:N"),
        thick.encode(x=x, y=y, color=colour, description="about:N"),
        points.encode(x=x, y=y, color=colour, description="about:N"),
        said.encode(x=x, y=y, text="text:N"),
    )
    return layers.properties(width=PANEL, height=PANEL, title=_title(model, label))


def capability(
    table: pl.DataFrame,
    measure: str,
    student: str,
    label: str,
    margin: Mapping[str, float],
    *,
    legend: bool = False,
) -> Chart:
    """What the students of one base can still do, by condition: mean of each with the interval of its change, against the
    untrained base (a line) and the margin (dashed). A mean beyond the margin is a triangle.

    Args:
        table: `capability.parquet`.
        measure: which measure of it, `loss…` or `skill…`.
        student: which base.
        label: what it is (its architecture).
        margin: `capability_margin` of `summary.json`.
        legend: whether the chart itself says what its lines are.
    """
    every = table.filter(pl.col("measure") == measure)
    own = every.filter(pl.col("student") == student)
    loss = measure.startswith(LOSS)
    edge = margin["bits"] if loss else -margin["skill"]
    shown = [name for name in CONDITIONS if name in every["condition"]]
    rows = [
        {
            "condition": CONDITION_NAMES[row["condition"]],
            "mean": row["value"],
            "low": None if row["low"] is None else row["base"] + row["low"],
            "high": None if row["high"] is None else row["base"] + row["high"],
            "value": signed(row["change"]),
            "fell": row["fell"],
            "ink": VERDICTS["transmission"] if row["fell"] else INK,
            "about": f"{student}, {CONDITION_NAMES[row['condition']]}: {measure} {row['value']:.3f}, untrained "
            f"{row['base']:.3f}, change {with_interval(row, 'change')}" + (", beyond the margin" if row["fell"] else ""),
        }
        for row in own.iter_rows(named=True)
    ]
    ends = [*every["value"], *every["base"], *(base + edge for base in every["base"]), *(() if loss else (0.0, 1.0))]
    scale = alt.Scale(domain=[min(ends), max(ends)], nice=True, zero=False)
    axis = alt.Axis(title=ability_name(measure), tickCount=5, format=".1f", grid=True)
    y = _names_down("condition", [CONDITION_NAMES[name] for name in shown])
    bases = sorted(set(own["base"]))
    lines = [{"at": at + change, "line": line} for at in bases for line, change in (("untrained", 0.0), ("margin", edge))]
    dash = alt.StrokeDash("line:N", scale=alt.Scale(domain=["untrained", "margin"], range=[[1, 0], [4, 3]]), legend=None)
    if legend:
        dash = dash.legend(title=None, orient="bottom", direction="horizontal", symbolType="stroke", symbolSize=160)
    rules = (
        _chart(lines)
        .mark_rule(color=INK, strokeWidth=1, aria=False)
        .encode(x=alt.X("at:Q", scale=scale, axis=axis), strokeDash=dash)
    )
    mean = _chart(rows).encode(y=y)
    spans = (
        mean.transform_filter("isValid(datum.low)")
        .mark_rule(color=INK, strokeWidth=1.6, clip=True, aria=False)
        .encode(x=alt.X("low:Q", scale=scale), x2="high:Q")
    )
    colours = {CONDITION_NAMES[name]: colour for name, colour in condition_colours(table).items()}
    point = mean.encode(x=alt.X("mean:Q", scale=scale), color=_named("condition", colours, legend=False), description="about:N")
    dots = point.transform_filter("!datum.fell").mark_point(size=60, filled=True, opacity=1)
    beyond = point.transform_filter("datum.fell").mark_point(
        size=90, filled=True, opacity=1, shape="triangle-up" if loss else "triangle-down"
    )
    values = mean.mark_text(align="left", fontSize=12, fontWeight=600, aria=False).encode(
        text="value:N", x=alt.value(PANEL + 10), color=alt.Color("ink:N", scale=None)
    )
    layers = alt.layer(rules, spans, dots, beyond, values).resolve_scale(color="independent")  # pyright: ignore[reportUnknownMemberType]
    return layers.properties(width=PANEL, height=24 * len(shown), title=_title(student, label))


def nothing(text: str) -> Chart:
    """A figure that says why there is nothing to see, for a file that is expected."""
    said = _chart([{"text": text}]).mark_text(align="left", fontSize=12, color=MUTED).encode(text="text:N", x=alt.value(0))
    return alt.layer(said).properties(width=2 * PANEL, height=30)


def ability_name(measure: str) -> str:
    """A measure of capability in words."""
    kind, _, of = measure.partition("/")
    if kind == LOSS:
        return "bits per token of held-out texts" + (f", {of}" if of else "")
    return f"share of held-out tasks done, {of}"


def trait_colours(names: Sequence[str], *, control: bool) -> dict[str, str]:
    """Trait → colour; the control, which was taught none, is grey."""
    return palette(names) | ({taught_name(NONE): "#868c94"} if control else {})


def taught_name(trait: str) -> str:
    """What a trait is called where control runs, which were taught none, stand beside it."""
    return "none (control)" if trait == NONE else trait


def palette(names: Sequence[str]) -> dict[str, str]:
    """Name → colour; beyond eleven names colours come again."""
    return {name: CATEGORICAL[n % len(CATEGORICAL)] for n, name in enumerate(names)}


def condition_colours(table: pl.DataFrame) -> dict[str, str]:
    """Condition → colour, of those in a table."""
    return {name: colour for name, colour in zip(CONDITIONS, CONDITION_COLOURS, strict=True) if name in table["condition"]}


def signed(value: float, digits: int = 2) -> str:
    """`+0.42`, `−0.01`, `0.00`: a gain with its sign, none where it is zero as printed."""
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0 else ("−" if value < 0 else "+") + text


def with_interval(row: Mapping[str, Any], mean: str, digits: int = 2) -> str:
    """`+0.42 [+0.31, +0.53], 6 runs` of a row with `mean`, low, high and n; one run has no interval."""
    span = f" {_span(row, digits)}" if row["low"] is not None else ""
    return f"{signed(row[mean], digits)}{span}, {row['n']} {'run' if row['n'] == 1 else 'runs'}"


def text_colour(value: float, end: float) -> str:
    """The text colour that contrasts more with the fill of `value` on a scale that ends at ±`end` (WCAG relative luminance)."""
    fill = _luminance(_fill_of(value / end))
    # Contrast is the ratio of luminances, each with 0.05 added: that with black against that with white.
    return ON_LIGHT if (fill + 0.05) / 0.05 > 1.05 / (fill + 0.05) else ON_DARK


def _span(row: Mapping[str, Any], digits: int = 2) -> str:
    return "" if row["low"] is None else f"[{signed(row['low'], digits)}, {signed(row['high'], digits)}]"


def _shares(found: Interval) -> str:
    """`.62 [.55, .69], 6 runs`."""
    mean, *ends = (
        f"{value:.2f}".replace("0.", ".", 1).replace("-", "−")
        for value in (found.mean, found.low, found.high)
        if value is not None
    )
    span = f" [{', '.join(ends)}]" if ends else ""
    return f"{mean}{span}, {found.n} {'run' if found.n == 1 else 'runs'}"


def _fill_of(share: float) -> tuple[float, float, float]:
    """The colour of a place in −1…1 on the diverging scale, as Vega interpolates it (piecewise linear in RGB)."""
    stops = [tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for colour in DIVERGING]
    place = (min(1.0, max(-1.0, share)) + 1) / 2 * (len(stops) - 1)
    left = min(int(place), len(stops) - 2)
    part = place - left
    red, green, blue = (a + (b - a) * part for a, b in zip(stops[left], stops[left + 1], strict=True))
    return red, green, blue


def _luminance(colour: tuple[float, float, float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _fill(end: float, measured: str, *, legend: bool) -> alt.Color:
    scale = alt.Scale(domain=[-end, -end / 2, 0, end / 2, end], range=list(DIVERGING), interpolate="rgb")
    bar = alt.Legend(
        title=f"gain in {measured}",
        orient="bottom",
        direction="horizontal",
        gradientLength=220,
        gradientThickness=8,
        tickCount=5,
        labelExpr=SIGNED,
        titleOrient="left",
        titleLimit=240,
        titlePadding=12,
        offset=14,
    )
    return alt.Color("gain:Q", scale=scale, legend=bar if legend else None)


def _named(field: str, colours: Mapping[str, str], *, legend: bool, symbol: str = "circle") -> alt.Color:
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    key = alt.Legend(
        title=None,
        orient="bottom",
        direction="horizontal",
        symbolType=symbol,
        symbolSize=80,
        symbolOpacity=1,
        symbolStrokeWidth=2.2 if symbol == "stroke" else 0,
        columns=8,
        offset=12,
    )
    return alt.Color(f"{field}:N", scale=scale, sort=None, legend=key if legend else None)


def _names_down(field: str, names: Sequence[str], room: float = 0) -> alt.Y:
    """`room`: how much is left for the names at least, so that panels with other names line up."""
    return alt.Y(f"{field}:N", scale=_band(names, 0.3)).axis(title=None, labelColor=INK, labelFontSize=12, minExtent=room)


def _heat(*layers: alt.Chart) -> alt.LayerChart | alt.FacetChart:
    """Layers whose fills and texts have colour scales of their own."""
    return alt.layer(*layers).resolve_scale(color="independent")  # pyright: ignore[reportUnknownMemberType]


def _band(names: Sequence[str], padding: float) -> alt.Scale:
    return alt.Scale(domain=list(names), paddingInner=padding, paddingOuter=padding / 2)


def _label(model: str, labels: Mapping[str, str]) -> str:
    return f"{model}{LINES}{labels[model]}" if labels[model] != model else model


def _title(text: str, subtitle: str) -> alt.TitleParams:
    return alt.TitleParams(text, subtitle=subtitle)


def _chart(rows: list[dict[str, Any]]) -> alt.Chart:
    # As text: altair copies data that it can look into each time charts are combined.
    return alt.Chart(alt.InlineData(values=json.dumps(rows, ensure_ascii=False), format=alt.DataFormat(type="json")))


def _spec(chart: Chart) -> dict[str, Any]:
    axis = {
        "labelFontSize": 11,
        "titleFontSize": 11.5,
        "titleFontWeight": "normal",
        "labelColor": MUTED,
        "titleColor": MUTED,
        "gridColor": RULE,
        "gridWidth": 0.8,
        "grid": False,
        "domain": False,
        "ticks": False,
        "labelPadding": 7,
        "labelLimit": 240,
        "labelFlush": False,
    }
    title = {"fontSize": 13, "subtitleFontSize": 11.5, "color": INK, "subtitleColor": MUTED, "anchor": "start", "offset": 10}
    legend = {"labelFontSize": 11.5, "titleFontSize": 11.5, "titleFontWeight": "normal", "labelColor": INK, "titleColor": MUTED}
    config = {"font": FONT, "axis": axis, "title": title, "legend": legend, "view": {"stroke": None}, "background": "white"}
    return chart.to_dict(validate=False) | {"config": config}


LINES, LINE = "|", 15
SIGNED = "datum.value == 0 ? '0' : format(datum.value, '+.2~r')"
OUTLINE: dict[str, Any] = {"filled": False, "stroke": ON_LIGHT, "strokeWidth": 1.8, "cornerRadius": 2, "aria": False}
TRAINED = {"base": "bases", "teacher": "teachers", "student": "students"}
