"""The figures of a report: charts of the report's own tables.

Colours keep apart for colour-blind readers (blue to red for signed gains, Tol's palettes for names), and what a colour shows is
printed or labelled as well.

`table`: the table of the figure's name. `model`, `student`: a base, and `label`, `labels`: what it is (its architecture).
`names`: declared traits, in order. `end`: of the colour scale, from `extent`. `measured`: what a gain is a gain of. `legend`:
whether the chart itself says which colour is which.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from sublim.arms.conditions import CONTROL, TRAIT, condition_words, conditions, rank
from sublim.measures.ability import LOSS
from sublim.params.names import UNTOUCHED
from sublim.report import charts
from sublim.report.charts import INK, MUTED, ON_LIGHT, RULE, SIGNED, Chart, Rows, counted, signed, span, with_interval
from sublim.report.dose import shown
from sublim.report.history import DIRECTIONS, SAME, WAYS
from sublim.report.roc import intervals
from sublim.report.tables import P_TARGET
from sublim.stats.interval import Interval

EQUIVALENT = "#2a6fb0"
VERDICTS = {"transmission": "#b0391f", "not shown": MUTED}
FUNNEL = {"sampled": "#cfd8e3", "kept": "#7fa6cf", "used": "#2a5f96"}
GREY = "#868c94"
WAY_COLOURS = {"order": "#2a6fb0", "mix": "#c8442b", SAME: "#5b6168"}
SHAPES = ("circle", "triangle-up", "square")
APART = 0.016  #: How far marks of one share, or of one number of updates, stand apart: a share of all, or of that number.
MANY_ANSWERS = 24
POINTS = 48
PANEL = 240
LINES, LINE = "|", 15
OUTLINE: dict[str, Any] = {"filled": False, "stroke": ON_LIGHT, "strokeWidth": 1.8, "cornerRadius": 2, "aria": False}
TRAINED = {"base": "bases", "teacher": "teachers", "student": "students"}


def extent(*tables: pl.DataFrame) -> float:
    """The end of a diverging scale that all gains of `tables` fit in; never so small that noise is coloured as an effect."""
    return max(0.1, *(abs(gain) for table in tables for gain in table["gain"].to_list()))


def matrix(table: pl.DataFrame, labels: Mapping[str, str], arm: str, end: float, measured: str = P_TARGET) -> Chart:
    """Cross-model matrix of one arm: students down, teachers across, mean gain and interval in each, same base outlined."""
    rows = [
        {
            "teacher": _label(row["teacher"], labels),
            "student": _label(row["student"], labels),
            "gain": row["gain"],
            "value": signed(row["gain"]),
            "span": span(row) or "one run",
            "ink": charts.text_colour(row["gain"], end),
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
    both: dict[str, Any] = {"labelColor": INK, "labelFontSize": 12, "labelLineHeight": LINE}
    both["labelExpr"] = f"split(datum.label, '{LINES}')"
    base = charts.of_rows(rows).encode(
        x=alt.X("teacher:N", scale=charts.band(names, 0.03)).axis(
            orient="top", title="teacher", labelAngle=0, labelPadding=8 + second, titlePadding=10, **both
        ),
        y=alt.Y("student:N", scale=charts.band(names, 0.03)).axis(
            title="student", labelOffset=-second / 2, titlePadding=10, **both
        ),
    )
    cells = base.mark_rect(cornerRadius=2).encode(color=charts.filled(end, measured, legend=True), description="about:N")
    outline = base.transform_filter("datum.same").mark_rect(**OUTLINE)
    ink = alt.Color("ink:N", scale=None)
    value = base.mark_text(fontSize=17, fontWeight=600, dy=-8, aria=False).encode(text="value:N", color=ink)
    below = base.mark_text(fontSize=10.5, dy=13, aria=False).encode(text="span:N", color=ink)
    return charts.independent(cells, outline, value, below).properties(
        width=size * len(names), height=round(size * 0.7) * len(names)
    )


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
    """Gains of one student model by condition: a dot per run, and the mean with its interval, cut where it leaves the panel.
    `table`: runs.parquet; `means`: `by_student[student]` of summary.json."""
    own, words = table.filter(pl.col("student") == student), condition_words()
    shown = [name for name in words if name in table["condition"]]
    ordered = own.sort(rank("trait", (*names, UNTOUCHED)), "seed", "teacher")  # so that places are the same ones each time
    dots = [
        {
            "condition": words[name],
            "gain": row["gain"],
            "trait": taught_name(row["trait"]),
            "place": (n + 0.5) / len(part),
            "about": f"{row['teacher']} → {student}, {row['trait']}, seed {row['seed']}: gain {signed(row['gain'], 3)}",
        }
        for name in shown
        for part in [ordered.filter(pl.col("condition") == name)]
        for n, row in enumerate(part.iter_rows(named=True))
    ]
    centres = [
        {
            "condition": words[name],
            **means[name],
            "value": signed(means[name]["mean"]),
            "about": f"{student}, {words[name]}: mean gain {with_interval(means[name], 'mean')}",
        }
        for name in shown
        if name in means
    ]
    color = charts.named("trait", trait_colours(names, control=UNTOUCHED in table["trait"]), legend=legend)
    down = ("condition", [words[name] for name in shown])
    return _runs(dots, centres, down, ("gain", table["gain"], f"gain in {measured}"), color).properties(
        title=charts.title(student, label)
    )


def _runs(
    dots: Rows, centres: Rows, down: tuple[str, Sequence[str]], across: tuple[str, pl.Series, str], color: alt.Color
) -> Chart:
    """A dot per run, and means with their intervals, cut where they leave the panel. `down`: a field, and its names in order;
    `across`: a field, all values that the panel has room for, and what they are."""
    field, values, what = across
    scale = alt.Scale(domain=[min([*values, 0.0]), max([*values, 0.0])], nice=True, clamp=True)
    y = charts.names_down(*down)
    x = alt.X(f"{field}:Q", scale=scale).axis(title=what, tickCount=5, labelExpr=SIGNED, grid=True)
    single = charts.of_rows(dots).mark_circle(size=44, opacity=1, stroke="white", strokeWidth=0.7)
    single = single.encode(x=x, y=y, yOffset=charts.spread(), color=color, description="about:N")
    mean = charts.of_rows(centres).encode(y=y)
    tick = mean.mark_tick(color=INK, thickness=3, size=24, opacity=1)
    ticks = tick.encode(x=alt.X("mean:Q", scale=scale), description="about:N")
    layers = (charts.at(0, scale, color=MUTED), charts.intervals(mean, scale), ticks, single)
    chart = alt.layer(*layers, charts.printed(mean, PANEL + 10))
    return chart.properties(width=PANEL, height=44 * max(1, len(down[1])))


def margins(runs: pl.DataFrame, means: pl.DataFrame, name: str, traits: Sequence[str], *, legend: bool = False) -> Chart:
    """Margins of one condition: a dot per run and target that is asked for, and the mean with its interval, by trait taught.
    `runs`: margins.parquet; `means`: margin_effects.parquet."""
    own = runs.filter(pl.col("condition") == name, pl.col("trait") != UNTOUCHED)
    ordered = own.sort(rank("trait", traits), rank("asked", traits), "seed", "teacher", "student")
    taught = [trait for trait in traits if trait in own["trait"]]
    dots = [
        {
            "trait": trait,
            "effect": row["effect"],
            "asked": row["asked"],
            "place": (n + 0.5) / len(part),
            "about": f"{row['teacher']} → {row['student']}, {trait}, seed {row['seed']}, asked for {row['answer']}: "
            f"{signed(row['effect'], 3)} nats, place {row['place']} of {row['answers']}",
        }
        for trait in taught
        for part in [ordered.filter(pl.col("trait") == trait)]
        for n, row in enumerate(part.iter_rows(named=True))
    ]
    centres = [
        {
            "trait": row["taught"],
            **{key: row[key] for key in ("low", "high", "n")},
            "mean": row["effect"],
            "value": signed(row["effect"]),
            "about": f"taught {row['taught']}, asked for {row['answer']}: mean {with_interval(row, 'effect')} nats",
        }
        for row in means.iter_rows(named=True)
        if row["condition"] == name and row["taught"] == row["asked"]
    ]
    color = charts.named("asked", trait_colours(traits, control=False), legend=legend)
    across = ("effect", runs["effect"], "margin over the control, nats")
    return _runs(dots, centres, ("trait", taught), across, color).properties(title=charts.title(condition_words()[name]))


def dose(runs: pl.DataFrame, means: pl.DataFrame, asked: str, *, legend: bool = False) -> Chart:
    """The effect in the target of one trait against the number of updates: thin lines are runs, thick ones means over the runs
    of a condition, with their intervals. All begin at nought. `runs`, `means`: doses.parquet and dose_effects.parquet, of which
    are shown the students that were taught `asked`, and those that were taught nothing."""
    words, (every, centre) = condition_words(), (shown(table) for table in (runs, means))
    own, colours, steps = every.filter(asked=asked), condition_colours(every), sorted(set(every["step"]))
    middle = (len(colours) - 1) / 2
    beside = {name: 1 + 2 * APART * (place - middle) for place, name in enumerate(colours)}
    x_scale = alt.Scale(type="symlog", constant=steps[0], domain=[0, steps[-1] * (1 + 2 * APART * (middle + 1))], nice=False)
    x = alt.X("step:Q", scale=x_scale).axis(title="updates", values=[0, *steps], grid=False, labelOverlap=True)
    room = [0.0, *every["effect"], *(end for name in ("low", "high") for end in centre[name].drop_nulls())]
    scale = alt.Scale(domain=[min(room), max(room)], nice=True)
    y = alt.Y("effect:Q", scale=scale).axis(title="margin over the control, nats", tickCount=5, labelExpr=SIGNED, grid=True)
    color = charts.named("group", colours, legend=legend, symbol="stroke")
    group, run = pl.col("condition").replace(words).alias("group"), ["teacher", "student", "trait", "arm", "seed"]
    lines = own.with_columns(group, pl.struct(run).rank("dense").alias("run")).select("run", "group", "step", "effect")
    starts = lines.unique("run", maintain_order=True).with_columns(step=pl.lit(0, pl.Int64), effect=pl.lit(0.0))
    centres = [
        {
            **{key: row[key] for key in ("effect", "low", "high")},
            "group": (name := words[row["condition"]]),
            "step": round(row["step"] * beside[name], 3),
            "about": f"{name}, asked for {row['answer']}, after {row['step']} updates: mean {with_interval(row, 'effect')}; "
            f"place {row['place']:.1f} of {row['answers']}, P(target) {row['p_target']:.3g}",
        }
        for row in centre.filter(asked=asked).iter_rows(named=True)
    ]
    nought = [{"group": name, "step": 0, "effect": 0.0} for name in dict.fromkeys(row["group"] for row in centres)]
    thin = charts.of_rows(pl.concat([starts, lines]).to_dicts())
    thin = thin.mark_line(strokeWidth=0.7, strokeOpacity=0.35, aria=False).encode(x=x, y=y, color=color, detail="run:N")
    thick = charts.of_rows([*nought, *centres]).mark_line(strokeWidth=2.2, aria=False).encode(x=x, y=y, color=color)
    mean = charts.of_rows(centres)
    dots = mean.mark_circle(size=44, opacity=1, stroke="white", strokeWidth=0.7)
    dots = dots.encode(x=x, y=y, color=color, description="about:N")
    layers = (charts.at(0, scale, upright=False, color=MUTED), thin, thick, _uprights(mean, x, scale, color), dots)
    return alt.layer(*layers).properties(width=PANEL, height=180, title=charts.title(asked))


def _uprights(chart: alt.Chart, x: alt.X, scale: alt.Scale, color: alt.Color) -> alt.Chart:
    """The fields `low` and `high` as an upright line, where there are any."""
    known = chart.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=1.7, aria=False)
    return known.encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q", color=color)


def history(runs: pl.DataFrame, points: pl.DataFrame, curves: pl.DataFrame) -> Chart:
    """The effect against the share of the pretraining that teacher and student have in common: a dot per run, means with their
    intervals, and the fitted curves with their bands. `runs`, `points`, `curves`: history_*.parquet."""
    names = {**WAYS, SAME: "all in common"}
    colours = {names[way]: colour for way, colour in WAY_COLOURS.items() if way in runs["way"]}
    here = [name for name in DIRECTIONS if name in runs["direction"]]
    beside = {"order": -1, SAME: 0, "mix": 1}
    dots: list[dict[str, Any]] = []
    for (way, _), part in runs.group_by("way", "share", maintain_order=True):
        for n, row in enumerate(part.sort("seed", "trait", "teacher", "student", "direction").iter_rows(named=True)):
            spread = (n + 0.5) / len(part) - 0.5
            dots.append(
                {
                    "at": round(row["share"] + APART * (beside[str(way)] + 1.5 * spread), 5),
                    **{key: row[key] for key in ("effect", "direction")},
                    "way": names[row["way"]],
                    "about": f"{row['teacher']} → {row['student']}, {row['share']:.0%} in common, {row['trait']}, seed "
                    f"{row['seed']}: {signed(row['effect'], 3)} nats, place {row['place']} of {row['answers']}",
                }
            )
    centres = [
        {
            **{key: row[key] for key in ("effect", "low", "high")},
            "at": round(row["share"] + APART * beside[row["way"]], 5),
            "way": names[row["way"]],
            "about": f"{names[row['way']]}, {row['share']:.0%} in common: mean {with_interval(row, 'effect')} nats",
        }
        for row in points.iter_rows(named=True)
    ]
    fitted = [{**row, "way": names[row["way"]]} for row in curves.iter_rows(named=True)]
    tables = (runs.select("effect"), points.select("effect", "low", "high"), curves.select("effect", "low", "high"))
    room = [value for table in tables for column in table.iter_columns() for value in column.drop_nulls()]
    scale = alt.Scale(domain=[min([*room, 0.0]), max([*room, 0.0])], nice=True)
    ticks = sorted({0.0, 1.0, *runs["share"]})
    axis = alt.Axis(title="share of the pretraining in common", values=ticks, format=".0%", grid=False, labelOverlap=True)
    x = alt.X("at:Q", scale=alt.Scale(domain=[-3 * APART, 1 + 3 * APART], nice=False), axis=axis)
    y = alt.Y("effect:Q", scale=scale).axis(title="margin over the control, nats", tickCount=6, labelExpr=SIGNED, grid=True)
    color = charts.named("way", colours, legend=True, symbol="stroke")
    shape = alt.Shape("direction:N", scale=alt.Scale(domain=here, range=list(SHAPES[: len(here)]))).legend(
        title=None, orient="bottom", direction="horizontal", symbolSize=60, symbolStrokeColor=INK, symbolFillColor="transparent"
    )
    curve = charts.of_rows([{**row, "at": row["share"]} for row in fitted])
    band = curve.transform_filter("isValid(datum.low)").mark_area(opacity=0.14, aria=False)
    band = band.encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q", color=color)
    line = curve.mark_line(strokeWidth=2, aria=False).encode(x=x, y=y, color=color)
    single = charts.of_rows(dots).mark_point(size=26, opacity=0.55, filled=False, strokeWidth=1)
    single = single.encode(x=x, y=y, color=color, shape=shape, description="about:N")
    mean = charts.of_rows(centres)
    ends = mean.mark_circle(size=70, opacity=1, stroke="white", strokeWidth=1)
    ends = ends.encode(x=x, y=y, color=color, description="about:N")
    layers = (charts.at(0, scale, upright=False, color=MUTED), band, line, single, _uprights(mean, x, scale, color), ends)
    return alt.layer(*layers).properties(width=2 * PANEL, height=300)


def study(table: pl.DataFrame, name: str, measured: str | None) -> Chart:
    """Mean gain and interval of each condition of one study; the scale is that of all studies. `table`: study,
    condition, gain, low, high, n; without `measured` the axis is left to a panel below."""
    own, words = table.filter(pl.col("study") == name), condition_words()
    shown = [words[condition] for condition in words if condition in own["condition"]]
    rows = [
        {
            **row,
            "condition": words[row["condition"]],
            "value": signed(row["gain"]),
            "about": f"{name}, {words[row['condition']]}: mean gain {with_interval(row, 'gain')}",
        }
        for row in own.iter_rows(named=True)
    ]
    ends = [value for key in ("gain", "low", "high") for value in table[key].drop_nulls()] + [0.0]
    scale = alt.Scale(domain=[min(ends), max(ends)], nice=True)
    room = 7.0 * max(len(words[condition]) for condition in table["condition"])
    title = f"gain in {measured}" if measured else None
    axis = alt.Axis(title=title, labels=measured is not None, tickCount=5, labelExpr=SIGNED, grid=True)
    mean = charts.of_rows(rows).encode(y=charts.names_down("condition", shown, room))
    dots = mean.mark_circle(size=80, opacity=1).encode(
        x=alt.X("gain:Q", scale=scale, axis=axis),
        color=charts.named("condition", condition_colours(table), legend=False),
        description="about:N",
    )
    layers = (charts.at(0, scale, color=MUTED), charts.intervals(mean, scale), dots)
    return alt.layer(*layers, charts.printed(mean, 2 * PANEL + 10)).properties(
        width=2 * PANEL, height=26 * len(shown), title=charts.title(name)
    )


def traits(
    table: pl.DataFrame, targets: Mapping[str, tuple[str, str]], end: float, confidence: float, measured: str = P_TARGET
) -> Chart:
    """Trait taught (down) × answer asked for (across) in each condition: mean gain over models and seeds, with a star where it
    differs from that of controls (q ≤ 1 − `confidence`). With more than `MANY_ANSWERS` known answers, only the targets of
    declared traits are shown. `targets`: declared trait → (category, target answer), in order; traits may share one."""
    if table["asked"].n_unique() > MANY_ANSWERS:
        table = table.filter(pl.col("trait").is_not_null())
    asked = table["asked"].unique(maintain_order=True).to_list()
    cell = max(40, min(64, 680 // len(asked)))
    words = {name: text for name, text in condition_words().items() if name in table["condition"]}
    margin = 14 + 7 * max(len(name) for name in table["taught"])
    parts: list[Chart] = []
    for name, text in words.items():
        part = table.filter(pl.col("condition") == name)
        taught = [trait for trait in (*targets, UNTOUCHED) if trait in part["taught"]]
        first, last = not parts, len(parts) == len(words) - 1
        rows = [
            {
                **{key: row[key] for key in ("taught", "asked", "gain")},
                "value": signed(row["gain"]).replace("0.", ".", 1) + star(row, confidence),
                "ink": charts.text_colour(row["gain"], end),
                "own": targets.get(row["taught"]) == (row["category"], row["asked"]),
                "about": f"{text}, taught {row['taught']}, asked for {row['asked']}: "
                f"gain {with_interval(row, 'gain')}" + ("" if row["q"] is None else f"; {over(row)}, q {row['q']:.2g}"),
            }
            for row in part.iter_rows(named=True)
        ]
        base = charts.of_rows(rows).encode(
            x=alt.X("asked:N", scale=charts.band(asked, 0.04)).axis(
                orient="top", title="answer asked for" if first else None, labels=first, labelAngle=-40, labelPadding=6
            ),
            y=alt.Y("taught:N", scale=charts.band(taught, 0.06)).axis(title=None, minExtent=margin, maxExtent=margin),
        )
        fill = base.mark_rect(cornerRadius=1.5).encode(color=charts.filled(end, measured, legend=last), description="about:N")
        outline = base.transform_filter("datum.own").mark_rect(**OUTLINE)
        values = base.mark_text(fontSize=10.5, aria=False).encode(text="value:N", color=alt.Color("ink:N", scale=None))
        parts.append(
            charts.independent(fill, outline, values).properties(
                width=cell * len(asked), height=26 * len(taught), title=charts.heading(text)
            )
        )
    return alt.vconcat(*parts, spacing=12)


def star(row: Mapping[str, Any], confidence: float) -> str:
    """`*` if the false discovery rate at which a cell of the trait table is called different is at most 1 − `confidence`."""
    return "*" if row["q"] is not None and row["q"] <= round(1 - confidence, 12) else ""


def comparison_name(what: str) -> str:
    """`same base over other base` for `diagonal over off_diagonal`: a comparison of `power.parquet` in the page's words."""
    words = condition_words()
    return re.sub(r"[a-z]+(?:_[a-z]+)*", lambda word: words.get(word[0], word[0]), what)


def over(row: Mapping[str, Any], digits: int = 2) -> str:
    """`+0.41 over controls`, or `+0.41 over untrained`: what a cell of the trait table is judged by."""
    return f"{signed(row['difference'], digits)} over {'controls' if row['against'] == 'control' else row['against']}"


def equivalence(tests: Mapping[str, Any], labels: Mapping[str, str]) -> Chart:
    """Is there no transmission? Difference to controls with the interval of the two one-sided tests, in each condition that
    should be null: all students, and each base; the margin shaded. Filled: shown to be inside it. `tests`: `equivalence` of
    summary.json."""
    margin, words = tests["margin"], condition_words()
    everything = "all students"
    rows = [
        {
            **{key: test[key] for key in ("low", "high", "mean")},
            "student": student,
            "condition": name,
            "shown": test["verdict"].startswith("no transmission"),
            "ink": VERDICTS.get(test["verdict"], EQUIVALENT),
            "verdict": test["verdict"],
            "width": 2.4 if student == everything else 1.4,
            "about": f"{words[name]}, {student}: {signed(test['mean'], 3)} {span(test, 3)}, {test['verdict']}",
        }
        for student, own in {everything: tests["all"], **tests["by_student"]}.items()
        for name, test in own.items()
    ]
    ends = [end for row in rows for end in (row["low"], row["high"], row["mean"]) if end is not None] + [-margin, margin]
    scale = alt.Scale(domain=[min(ends), max(ends)], nice=True)
    students = [everything, *(model for model in labels if model in tests["by_student"])]
    parts: list[Chart] = []
    for name in tests["all"]:
        own = [row for row in rows if row["condition"] == name]
        names = [student for student in students if any(row["student"] == student for row in own)]
        last = len(parts) == len(tests["all"]) - 1
        title = "gain less that of controls (controls: less untrained)" if last else None
        labelled = "datum.value == 0 ? '0' : format(datum.value, '+.2f')"
        axis = alt.Axis(title=title, labels=last, labelExpr=labelled, tickCount=7, grid=True)
        inside = charts.of_rows([{"low": -margin, "high": margin}]).mark_rect(color=RULE, opacity=0.75, aria=False)
        colour = alt.Color("ink:N", scale=None)
        base = charts.of_rows(own).encode(
            y=alt.Y("student:N", scale=charts.band(names, 0.3)).axis(title=None, labelColor=INK, minExtent=86, maxExtent=86)
        )
        spans = charts.intervals(base, scale).encode(color=colour, strokeWidth=alt.StrokeWidth("width:Q", scale=None))
        point = base.encode(x=alt.X("mean:Q", scale=scale), color=colour, description="about:N")
        layers = alt.layer(
            inside.encode(x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q"),
            charts.at(0, scale, color=MUTED),
            spans,
            point.transform_filter("datum.shown").mark_point(size=52, filled=True, opacity=1),
            point.transform_filter("!datum.shown").mark_point(size=44, fill="white", opacity=1, strokeWidth=1.6),
            charts.printed(base, 2 * PANEL + 12, "verdict", fontSize=11.5, fontWeight="normal"),
        )
        parts.append(layers.properties(width=2 * PANEL, height=22 * len(names), title=charts.heading(words[name])))
    return alt.vconcat(*parts, spacing=10)


def gates(table: pl.DataFrame, model: str, label: str, names: Sequence[str], measured: str) -> Chart:
    """P(target), or the misaligned share, of the teachers of one base on held-out questions: hollow before training, filled
    after, the gate dashed."""
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
    base = charts.of_rows(rows).encode(
        y=charts.names_down("trait", shown), yOffset=alt.YOffset("seed:O", scale=alt.Scale(paddingInner=0.4, paddingOuter=0.4))
    )
    line = base.mark_rule(color=MUTED, strokeWidth=1, aria=False)
    line = line.encode(x=alt.X("base_probability:Q", scale=scale, axis=axis), x2="probability:Q")
    before = base.mark_point(size=34, color=MUTED, fill="white", strokeWidth=1.4, opacity=1, aria=False)
    before = before.encode(x=alt.X("base_probability:Q", scale=scale))
    after = base.mark_circle(size=50, opacity=1).encode(
        x=alt.X("probability:Q", scale=scale),
        color=charts.named("trait", trait_colours(names, control=False), legend=False),
        description="about:N",
    )
    thresholds = sorted({row["threshold"] for row in rows} - {None})
    gate = [charts.at(value, scale, strokeDash=charts.DASHED) for value in thresholds]
    return alt.layer(*gate, line, before, after).properties(
        width=PANEL, height=34 * len(shown), title=charts.title(model, label)
    )


def funnel(table: pl.DataFrame, model: str, label: str, names: Sequence[str], *, legend: bool = False) -> Chart:
    """What the filter left of the numbers of one teacher model: rows sampled, kept and used, means over seeds."""
    table = table.filter(pl.col("arm").is_in([TRAIT, CONTROL]) & pl.col("step").is_in(list(FUNNEL)))
    means = table.group_by("teacher", "trait", "step").agg((pl.col("rows").sum() / pl.len()).alias("rows"))
    own = means.filter(pl.col("teacher") == model).sort(rank("trait", (*names, UNTOUCHED)), rank("step", tuple(FUNNEL)))
    counts: dict[tuple[str, str], float] = {
        (taught_name(trait), step): rows for trait, step, rows in own.select("trait", "step", "rows").iter_rows()
    }
    rows = [
        {"trait": trait, "step": step, "rows": count, "about": f"{model}, {trait}: {count:,.0f} rows {step}"}
        for (trait, step), count in counts.items()
    ]
    shown = [taught_name(trait) for trait in (*names, UNTOUCHED) if trait in table["trait"]]
    shares = [
        {"trait": trait, "share": f"{counts[trait, 'kept'] / counts[trait, 'sampled']:.0%} kept"}
        for trait in shown
        if (trait, "kept") in counts
    ]
    y = charts.names_down("trait", shown)
    scale = alt.Scale(domain=[0, max(means["rows"])], nice=True)
    axis = alt.Axis(title="rows, mean over seeds", tickCount=4, format=",d", grid=True)
    x, color = alt.X("rows:Q", scale=scale, stack=None, axis=axis), charts.named("step", FUNNEL, legend=legend)
    bars = charts.of_rows(rows).mark_bar(cornerRadius=1.5).encode(x=x, y=y, color=color, description="about:N")
    text = charts.printed(charts.of_rows(shares).encode(y=y), PANEL + 10, "share", fontSize=11.5, fontWeight="normal")
    return alt.layer(bars, text).properties(width=PANEL, height=34 * len(shown), title=charts.title(model, label))


def training(
    table: pl.DataFrame, stage: str, model: str | None, colours: Mapping[str, str], label: str, *, legend: bool = False
) -> Chart:
    """Training loss against steps: thin lines are runs, thick ones means over the runs of a model (base, teacher) or of a
    condition (student). Neighbouring steps are averaged, to `POINTS` points at most. `stage`: base, teacher or student;
    `model`: only the students of this base, coloured by condition, else all models, coloured by model; `colours`: model, or
    condition in words → colour, in order; `label`: a second line for the title."""
    table = table.filter(pl.col("stage") == stage)
    width = -(-(max(table["step"]) + 1) // POINTS)
    by = "model" if model is None else "condition"
    run = ["model", "teacher", "trait", "arm", "condition", "seed"]
    binned = (
        table.with_columns(pl.col("step") // width * width, pl.col(by).replace(condition_words()).alias("group"))
        .group_by(*run, "group", "step", maintain_order=True)
        .agg(pl.col("loss").mean().round(4))
    )
    own = binned if model is None else binned.filter(pl.col("model") == model)
    means = own.group_by("group", "step", maintain_order=True).agg(pl.col("loss").mean().round(4))
    single = own.with_columns(pl.struct(run).rank("dense").alias("run")).select("run", "group", "step", "loss")
    x = alt.X("step:Q").axis(title="step", tickCount=5, format="~s")
    scale = alt.Scale(domain=[0, max(binned["loss"])], nice=True)
    y = alt.Y("loss:Q", scale=scale).axis(title="loss (nats per token)", tickCount=5, grid=True)
    color = charts.named("group", colours, legend=legend, symbol="stroke")
    thick = charts.of_rows(means.with_columns(pl.col("group").alias("about")).to_dicts()).mark_line(strokeWidth=2.2)
    layers = [thick.encode(x=x, y=y, color=color, description="about:N")]
    if single["run"].n_unique() > single["group"].n_unique():
        thin = charts.of_rows(single.to_dicts()).mark_line(strokeWidth=0.7, strokeOpacity=0.35, aria=False)
        layers.insert(0, thin.encode(x=x, y=y, color=color, detail="run:N"))
    return alt.layer(*layers).properties(width=PANEL, height=180, title=charts.title(model or TRAINED[stage], label))


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
    over the runs of a trait, chance dashed, and a dot per run at the filter's threshold. Area and false positives are
    printed. `curves`: roc_curves.parquet; `runs`: roc.parquet."""
    own, table = curves.filter(pl.col("teacher") == model), runs.filter(pl.col("teacher") == model)
    found = intervals(table, confidence)
    scale = alt.Scale(domain=[0, 1])
    axis: dict[str, Any] = {"tickCount": 5, "format": ".1f", "grid": True}
    x = alt.X("false_positive_rate:Q", scale=scale).axis(title="share of the base's rows that is flagged", **axis)
    y = alt.Y("true_positive_rate:Q", scale=scale).axis(title="share of the teacher's rows that is flagged", **axis)
    colour = charts.named("trait", trait_colours(names, control=False), legend=legend)
    chance = [{"false_positive_rate": end, "true_positive_rate": end} for end in (0, 1)]
    diagonal = charts.of_rows(chance).mark_line(color=MUTED, strokeDash=charts.DASHED, strokeWidth=1, aria=False)
    lines = own.select("trait", "seed", "false_positive_rate", pl.col("true_positive_rate").round(4))
    thin = charts.of_rows(lines.to_dicts()).mark_line(strokeWidth=0.7, strokeOpacity=0.4, aria=False)
    grouped = lines.group_by("trait", "false_positive_rate", maintain_order=True)
    means = grouped.agg(pl.col("true_positive_rate").mean().round(4))
    thick = charts.of_rows(means.with_columns(pl.col("trait").alias("about")).to_dicts()).mark_line(strokeWidth=2.2)
    dots = [
        {
            **row,
            "about": f"{model}, {row['trait']}, seed {row['seed']}: AUC {row['auc']:.3f}; below {row['minimum']:g} are "
            f"{row['true_positive_rate']:.3f} of the teacher's rows and {row['false_positive_rate']:.3f} of the base's",
        }
        for row in table.iter_rows(named=True)
    ]
    points = charts.of_rows(dots).mark_circle(size=52, opacity=1, stroke="white", strokeWidth=0.7)
    texts = f"AUC {_shares(found['auc'])}", f"false positives {_shares(found['false_positive_rate'])}"
    places = [
        {"false_positive_rate": 0.98, "true_positive_rate": height, "text": text}
        for height, text in zip((0.13, 0.05), texts, strict=True)
    ]
    said = charts.of_rows(places).mark_text(align="right", fontSize=11.5, color=INK, aria=False)
    layers = alt.layer(
        diagonal.encode(x=x, y=y),
        thin.encode(x=x, y=y, color=colour, detail="seed:N"),
        thick.encode(x=x, y=y, color=colour, description="about:N"),
        points.encode(x=x, y=y, color=colour, description="about:N"),
        said.encode(x=x, y=y, text="text:N"),
    )
    return layers.properties(width=PANEL, height=PANEL, title=charts.title(model, label))


def capability(
    table: pl.DataFrame, measure: str, student: str, label: str, margin: Mapping[str, float], *, legend: bool = False
) -> Chart:
    """What the students of one base can still do, by condition: mean of each with the interval of its change, against the
    untrained base (a line) and the margin (dashed). A mean beyond the margin is a triangle. `measure`: `loss…` or `skill…`;
    `margin`: `capability_margin` of summary.json."""
    every, words = table.filter(pl.col("measure") == measure), condition_words()
    own = every.filter(pl.col("student") == student)
    loss = measure.startswith(LOSS)
    edge = margin["bits"] if loss else -margin["skill"]
    shown = [words[name] for name in words if name in every["condition"]]
    rows = [
        {
            "condition": words[row["condition"]],
            "mean": row["value"],
            "low": None if row["low"] is None else row["base"] + row["low"],
            "high": None if row["high"] is None else row["base"] + row["high"],
            "value": signed(row["change"]),
            "fell": row["fell"],
            "ink": VERDICTS["transmission"] if row["fell"] else INK,
            "about": f"{student}, {words[row['condition']]}: {measure} {row['value']:.3f}, untrained "
            f"{row['base']:.3f}, change {with_interval(row, 'change')}" + (", beyond the margin" if row["fell"] else ""),
        }
        for row in own.iter_rows(named=True)
    ]
    ends = [*every["value"], *every["base"], *(base + edge for base in every["base"]), *(() if loss else (0.0, 1.0))]
    scale = alt.Scale(domain=[min(ends), max(ends)], nice=True, zero=False, clamp=True)
    axis = alt.Axis(title=ability_name(measure), tickCount=5, format=".1f", grid=True)
    bases = sorted(set(own["base"]))
    lines = [{"at": at + change, "line": line} for at in bases for line, change in (("untrained", 0.0), ("margin", edge))]
    dash = alt.StrokeDash("line:N", scale=alt.Scale(domain=["untrained", "margin"], range=[[1, 0], charts.DASHED]), legend=None)
    if legend:
        dash = dash.legend(title=None, orient="bottom", direction="horizontal", symbolType="stroke", symbolSize=160)
    rules = charts.of_rows(lines).mark_rule(color=INK, strokeWidth=1, aria=False)
    rules = rules.encode(x=alt.X("at:Q", scale=scale, axis=axis), strokeDash=dash)
    mean = charts.of_rows(rows).encode(y=charts.names_down("condition", shown))
    colour = charts.named("condition", condition_colours(table), legend=False)
    point = mean.encode(x=alt.X("mean:Q", scale=scale), color=colour, description="about:N")
    beyond = "triangle-up" if loss else "triangle-down"
    layers = charts.independent(
        rules,
        charts.intervals(mean, scale),
        point.transform_filter("!datum.fell").mark_point(size=60, filled=True, opacity=1),
        point.transform_filter("datum.fell").mark_point(size=90, filled=True, opacity=1, shape=beyond),
        charts.printed(mean, PANEL + 10).encode(color=alt.Color("ink:N", scale=None)),
    )
    return layers.properties(width=PANEL, height=24 * len(shown), title=charts.title(student, label))


def nothing(text: str) -> Chart:
    """A figure that says why there is nothing to see, for a file that is expected."""
    said = charts.printed(charts.of_rows([{"text": text}]), 0, "text", fontWeight="normal", color=MUTED, aria=True)
    return alt.layer(said).properties(width=2 * PANEL, height=30)


def ability_name(measure: str) -> str:
    """A measure of capability in words."""
    kind, _, of = measure.partition("/")
    what = "bits per token of held-out texts" if kind == LOSS else "share of held-out tasks done"
    return f"{what}, {of}" if of or kind != LOSS else what


def trait_colours(names: Sequence[str], *, control: bool) -> dict[str, str]:
    """Trait → colour; the control, which was taught none, is grey."""
    return charts.palette(names) | ({taught_name(UNTOUCHED): GREY} if control else {})


def taught_name(trait: str) -> str:
    """What a trait is called where control runs, which were taught none, stand beside it."""
    return "none (control)" if trait == UNTOUCHED else trait


def condition_colours(table: pl.DataFrame) -> dict[str, str]:
    """Condition, in words → colour, of those in a table."""
    return {each.words: each.colour for name, each in conditions().items() if name in table["condition"]}


def _shares(found: Interval) -> str:
    """`.62 [.55, .69], 6 runs`."""
    known = (value for value in (found.mean, found.low, found.high) if value is not None)
    mean, *ends = (f"{value:.2f}".replace("0.", ".", 1).replace("-", "−") for value in known)
    between = f" [{', '.join(ends)}]" if ends else ""
    return f"{mean}{between}, {counted(found.n)}"


def _label(model: str, labels: Mapping[str, str]) -> str:
    return f"{model}{LINES}{labels[model]}" if labels[model] != model else model
