"""What the overview says of theory: tables of the experiment with digits and of Theorem 1, figures, a section of the page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from sublim.measure import figures
from sublim.measure.figures import INK, MUTED, Chart
from sublim.measure.statistics import t_interval
from sublim.measure.tables import rank

CONDITION_NAMES = {
    "reference": "reference: untrained net",
    "teacher": "teacher",
    "student_aux": "student, auxiliary logits",
    "student_all": "student, all logits",
    "cross_aux": "other init, auxiliary logits",
    "cross_all": "other init, all logits",
}
"""What the conditions of the experiment with digits are called."""
COLOURS = dict(zip(CONDITION_NAMES, ("#868c94", "#7a5c3e", "#c8442b", "#e0917f", "#2a6fb0", "#86b0da"), strict=True))
INITS = {True: "same init", False: "other init"}
INIT_COLOURS = {"same init": "#c8442b", "other init": "#2a6fb0"}
IMITATION = {"squared_error": "squared error", "cross_entropy": "cross-entropy"}
CHANCE = 0.1
SMALL = 1e-14
"""Changes of a loss below this are drawn as none: rounding, in float64."""
_NET = ("row_id", "condition", "seed", "teacher_seed", "accuracy_before", "accuracy", "loss_before", "loss")
_PAIR = ("subject", "imitation", "same_init")


@dataclass(frozen=True)
class Written:
    """The files of the overview that are about theory, read back; None for what the experiment does not have."""

    nets: pl.DataFrame | None
    mlp: pl.DataFrame | None
    steps: pl.DataFrame | None
    theorem: pl.DataFrame | None


def tables_of(inputs: Mapping[str, Path], confidence: float) -> dict[str, pl.DataFrame]:
    """Name → table of the overview, of the cells of the stage `theory` among `inputs`.

    `mlp_nets`: the cell's nets. `mlp`: a row per condition: accuracy (mean over nets, with its interval: low, high, n),
    accuracy_before. `theorem_steps`: the rows of all subjects. `theorem`: a row per subject, imitation and kind of init:
    sweeps, steps, opposed (how many steps of students go against the teacher's), least_cosine and largest_cosine (of the
    smallest step), fell (sweeps in which the smallest step lowers the teacher's loss), falls_up_to (up to which size all do).
    """
    cells = {cell.removeprefix("theory/of="): path for cell, path in sorted(inputs.items()) if cell.startswith("theory/")}
    found: dict[str, pl.DataFrame] = {}
    if "mlp" in cells:
        nets = pl.read_parquet(cells["mlp"] / "nets.parquet", columns=list(_NET), hive_partitioning=False)
        found |= {"mlp_nets": nets, "mlp": _conditions(nets, confidence)}
    checked = [
        pl.read_parquet(path / "theorem.parquet", hive_partitioning=False)
        .drop("of")
        .select("row_id", pl.lit(name.removeprefix("theorem-")).alias("subject"), pl.exclude("row_id"))
        for name, path in cells.items()
        if name != "mlp"
    ]
    if checked:
        steps = pl.concat(checked)
        found |= {"theorem_steps": steps, "theorem": _sweeps(steps)}
    return found


def read(directory: Path) -> Written | None:
    """The files of the overview in `directory` that are about theory; None if there are none."""
    names = {"nets": "mlp_nets", "mlp": "mlp", "steps": "theorem_steps", "theorem": "theorem"}
    paths = {field: directory / f"{name}.parquet" for field, name in names.items()}
    tables = {field: pl.read_parquet(path) if path.is_file() else None for field, path in paths.items()}
    return None if all(table is None for table in tables.values()) else Written(**tables)


def metrics(found: Mapping[str, pl.DataFrame]) -> dict[str, dict[str, float]]:
    """Cell → the few flat numbers that are worth comparing between experiments: mean accuracies; from the same init, the share
    of sweeps whose smallest step lowers the teacher's loss, and of steps that oppose the teacher's."""
    said = {"theory/of=mlp": dict(found["mlp"].select("condition", "accuracy").iter_rows())} if "mlp" in found else {}
    if "theorem" in found:
        counts = ("fell", "sweeps", "opposed", "steps")
        same = found["theorem"].filter("same_init").group_by("subject", maintain_order=True).agg(pl.col(*counts).sum())
        for row in same.iter_rows(named=True):
            shares = {"fell": row["fell"] / row["sweeps"], "opposed": row["opposed"] / row["steps"]}
            said[f"theory/of=theorem-{row['subject']}"] = shares
    return said


def _conditions(nets: pl.DataFrame, confidence: float) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for (condition,), part in nets.group_by("condition", maintain_order=True):
        span = asdict(t_interval(part["accuracy"].to_list(), confidence))
        before = t_interval(part["accuracy_before"].to_list(), confidence).mean
        rows.append({"condition": condition, "accuracy": span.pop("mean"), **span, "accuracy_before": before})
    return pl.DataFrame(rows).sort(rank("condition", CONDITION_NAMES))


def _sweeps(steps: pl.DataFrame) -> pl.DataFrame:
    change = (pl.col("loss_after") - pl.col("loss_untrained")).alias("change")
    rows: list[dict[str, Any]] = []
    for key, part in steps.with_columns(change).group_by(*_PAIR, maintain_order=True):
        smallest = part.filter(pl.col("step_size") == pl.col("step_size").min())
        worst = part.group_by("step_size").agg(pl.col("change").max()).sort("step_size")
        fell = worst.filter((pl.col("change") < 0).cast(pl.Int8).cum_min() == 1)
        rows.append(
            {
                **dict(zip(_PAIR, key, strict=True)),
                "sweeps": len(smallest),
                "steps": len(part),
                "opposed": int((part["inner_due"] < 0).sum()),
                "smallest_step": smallest["step_size"][0],
                "least_cosine": smallest["cosine_due"].min(),
                "largest_cosine": smallest["cosine_due"].max(),
                "fell": int((smallest["change"] < 0).sum()),
                "falls_up_to": fell["step_size"].max(),
            }
        )
    return pl.DataFrame(rows, schema_overrides={"falls_up_to": pl.Float64})


# --- figures


def papers(written: Written) -> dict[str, Chart]:
    """The figures as files for a paper: name → chart."""
    charts: dict[str, Chart] = {}
    if written.nets is not None and written.mlp is not None:
        charts["mlp"] = digits(written.nets, written.mlp)
    if written.steps is not None:
        subjects = written.steps["subject"].unique(maintain_order=True)
        rows = ([cosines(written.steps, each), changes(written.steps, each)] for each in subjects)
        charts["theorem"] = figures.beside(*rows).resolve_scale(color="independent", strokeDash="independent")  # pyright: ignore[reportUnknownMemberType]
    return charts


def digits(nets: pl.DataFrame, means: pl.DataFrame) -> Chart:
    """Accuracy on held-out digits by condition, as in the paper's figure: a bar with its interval, and a dot per net."""
    shown = [name for name in CONDITION_NAMES if name in means["condition"]]
    dots: list[dict[str, Any]] = []
    for name in shown:
        part = nets.filter(pl.col("condition") == name).sort("seed")
        dots += [
            {
                "condition": CONDITION_NAMES[name],
                "accuracy": row["accuracy"],
                "place": (place + 0.5) / len(part),
                "about": f"{CONDITION_NAMES[name]}, net {row['seed']}: accuracy {row['accuracy']:.3f}"
                + (f", its teacher is net {row['teacher_seed']}" if row["teacher_seed"] is not None else ""),
            }
            for place, row in enumerate(part.iter_rows(named=True))
        ]
    bars = [
        {
            **row,
            "condition": CONDITION_NAMES[row["condition"]],
            "colour": COLOURS[row["condition"]],
            "value": f"{row['accuracy']:.3f}",
            "about": f"{CONDITION_NAMES[row['condition']]}: accuracy {_with_interval(row)}",
        }
        for row in means.iter_rows(named=True)
    ]
    scale = alt.Scale(domain=[0, 1])
    y = alt.Y(
        "condition:N", scale=alt.Scale(domain=[CONDITION_NAMES[name] for name in shown], paddingInner=0.3, paddingOuter=0.15)
    ).axis(title=None, labelColor=INK, labelFontSize=12)
    x = alt.X("accuracy:Q", scale=scale).axis(title="accuracy on held-out digits", tickCount=6, format=".1f", grid=True)
    base = _chart(bars).encode(y=y)
    fill = base.mark_bar(cornerRadius=1.5, opacity=0.75, size=28).encode(
        x=x, color=alt.Color("colour:N", scale=None), description="about:N"
    )
    single = (
        _chart(dots)
        .mark_circle(size=16, opacity=0.8, color=INK, stroke="white", strokeWidth=0.4)
        .encode(
            x=alt.X("accuracy:Q", scale=scale),
            y=y,
            yOffset=alt.YOffset("place:Q", scale=alt.Scale(domain=[0, 1])),
            description="about:N",
        )
    )
    spans = base.mark_rule(color=INK, strokeWidth=2).encode(x=alt.X("low:Q", scale=scale), x2="high:Q")
    values = base.mark_text(align="left", fontSize=12, fontWeight=600, color=INK, aria=False).encode(
        text="value:N", x=alt.value(WIDTH + 10)
    )
    chance = (
        _chart([{"chance": CHANCE}])
        .mark_rule(color=MUTED, strokeDash=[4, 3], strokeWidth=1, aria=False)
        .encode(x=alt.X("chance:Q", scale=scale))
    )
    title = alt.TitleParams("Digits learned from noise", subtitle="from overview/mlp.parquet, overview/mlp_nets.parquet")
    return alt.layer(fill, chance, single, spans, values).properties(width=WIDTH, height=40 * len(shown), title=title)


def cosines(steps: pl.DataFrame, subject: str) -> Chart:
    """Cosine of the student's step, as far as the teacher's is its cause, with the teacher's step: a line per sweep."""
    return _lines(steps, subject, "cosine_due", "cosine of the two steps", alt.Scale(nice=True), ".2f")


def changes(steps: pl.DataFrame, subject: str) -> Chart:
    """Change of the teacher's loss through the student's step, as far as the teacher's step is its cause, on a scale that is
    logarithmic in both directions."""
    change = steps.with_columns((pl.col("loss_after") - pl.col("loss_untrained")).alias("change"))
    own = change.filter(pl.col("subject") == subject)["change"]
    least = max(SMALL, float(own.abs().filter(own != 0).min() or SMALL))  # pyright: ignore[reportArgumentType]
    decades = range(-14, 7, 4)
    ends = float(own.abs().max() or 1)  # pyright: ignore[reportArgumentType]
    marks = [10.0**decade for decade in decades if 30 * least < 10.0**decade < 10 * ends]
    values = [*(-mark for mark in reversed(marks)), 0.0, *marks]
    scale = alt.Scale(type="symlog", constant=least)
    return _lines(change, subject, "change", "change of the teacher’s loss (nats)", scale, ".0e", values)


def _lines(
    steps: pl.DataFrame, subject: str, column: str, title: str, scale: alt.Scale, format_: str, values: Sequence[float] = ()
) -> Chart:
    own = steps.filter((pl.col("subject") == subject) & pl.col(column).is_not_null())
    kinds = [name for name in IMITATION if name in own["imitation"]]
    rows = [
        {
            "step": row["step_size"],
            "y": row[column],
            "init": INITS[row["same_init"]],
            "loss": IMITATION[row["imitation"]],
            "sweep": f"{row['teacher_init']} {row['student_init']} {row['draw']} {row['imitation']}",
            "about": f"{row['teacher_init']} → {row['student_init']}, {IMITATION[row['imitation']]}: {row[column]:.2g}",
        }
        # Those of the same init last, on top.
        for row in own.sort("same_init", maintain_order=True).iter_rows(named=True)
    ]
    axis: dict[str, Any] = (
        {"values": list(values), "labelExpr": _POWERS, "labelOverlap": False} if values else {"format": format_, "tickCount": 6}
    )
    line = (
        _chart(rows)
        .mark_line(strokeWidth=1, strokeOpacity=0.6)
        .encode(
            x=alt.X("step:Q", scale=alt.Scale(type="log")).axis(title="step size", values=_TENS, labelExpr=_POWERS),
            y=alt.Y("y:Q", scale=scale).axis(title=title, grid=True, **axis),
            color=alt.Color("init:N", scale=alt.Scale(domain=list(INIT_COLOURS), range=list(INIT_COLOURS.values()))).legend(
                _LEGEND
            ),
            strokeDash=alt.StrokeDash(
                "loss:N", scale=alt.Scale(domain=list(IMITATION.values()), range=[[1, 0], [4, 3]])
            ).legend(_LEGEND if len(kinds) > 1 else None),
            detail="sweep:N",
            description="about:N",
        )
    )
    zero = _chart([{"zero": 0}]).mark_rule(color=INK, strokeWidth=1, aria=False).encode(y=alt.Y("zero:Q", scale=scale))
    subtitle = "from overview/theorem_steps.parquet"
    name = "nets for digits" if subject == "mlp" else f"language model {subject}"
    return alt.layer(zero, line).properties(width=WIDTH, height=220, title=alt.TitleParams(name, subtitle=subtitle))


def _chart(rows: list[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=json.dumps(rows, ensure_ascii=False), format=alt.DataFormat(type="json")))


# --- the page


def section(written: Written, confidence: float, *, drawn: bool) -> Markup:
    """This part of the page, or the same with empty panels."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    charts = {
        "mlp": [digits(written.nets, written.mlp)] if written.nets is not None and written.mlp is not None else [],
        "theorem": [
            draw(written.steps, subject)
            for subject in (written.steps["subject"].unique(maintain_order=True) if written.steps is not None else ())
            for draw in (cosines, changes)
            if written.steps is not None
        ],
    }
    return Markup(  # noqa: S704
        environment.from_string(SECTION).render(
            percent=f"{confidence * 100:g} %",
            nets=0 if written.nets is None else written.nets["seed"].n_unique(),
            figures={
                name: [
                    Markup(figures.inline(figures.svg(chart), f"{name}{n}", ABOUT[name]) if drawn else "")  # noqa: S704
                    for n, chart in enumerate(panels)
                ]
                for name, panels in charts.items()
            },
            tables={
                "mlp": [] if written.mlp is None else _mlp_rows(written.mlp),
                "theorem": [] if written.theorem is None else _theorem_rows(written.theorem),
            },
        )
    )


def headline(written: Written) -> Markup:
    """The numbers of theory in a sentence or two."""
    told = Markup()
    if written.mlp is not None:
        means = dict(written.mlp.select("condition", "accuracy").iter_rows())
        told += Markup(
            "Students that saw only noise and imitated auxiliary logits read <b>{:.0%}</b> of held-out digits if they "
            "began where their teacher began, <b>{:.0%}</b> if not; the untrained nets read {:.0%}. "
        ).format(means["student_aux"], means["cross_aux"], means["reference"])
    if written.theorem is not None:
        same = written.theorem.filter("same_init")
        told += Markup("Of {} small steps of students from their teacher’s init <b>{}</b> lowered the teacher’s loss.").format(
            same["sweeps"].sum(), same["fell"].sum()
        )
    return told


def _with_interval(row: Mapping[str, Any]) -> str:
    span = "" if row["low"] is None else f" [{row['low']:.3f}, {row['high']:.3f}]"
    return f"{row['accuracy']:.3f}{span}, {row['n']} nets"


def _mlp_rows(table: pl.DataFrame) -> list[list[str]]:
    return [
        [
            *(CONDITION_NAMES[row["condition"]], f"{row['accuracy_before']:.3f}", f"{row['accuracy']:.3f}"),
            *(f"[{row['low']:.3f}, {row['high']:.3f}]", str(row["n"])),
        ]
        for row in table.iter_rows(named=True)
    ]


def _theorem_rows(table: pl.DataFrame) -> list[list[str]]:
    return [
        [
            *("nets for digits" if row["subject"] == "mlp" else row["subject"], IMITATION[row["imitation"]]),
            *(INITS[row["same_init"]], str(row["sweeps"]), f"{row['opposed']} of {row['steps']}"),
            f"{row['least_cosine']:.4f} to {row['largest_cosine']:.4f}".replace("-", "−"),
            f"{row['fell']} of {row['sweeps']}",
            "–" if row["falls_up_to"] is None else f"{row['falls_up_to']:.2g}",
        ]
        for row in table.iter_rows(named=True)
    ]


WIDTH = 330
ABOUT = {"mlp": "Accuracy of nets for digits by condition", "theorem": "Steps of teachers and students by step size"}
_LEGEND = alt.Legend(title=None, orient="bottom", direction="horizontal", symbolType="stroke", symbolStrokeWidth=2.2)
_TENS = [10.0**decade for decade in range(-12, 13)]
_POWERS = "datum.value == 0 ? '0' : format(datum.value, '.0e')"
SECTION = """\
<section id="theory">
<h2>Why it happens</h2>
{% if figures.mlp %}
<h3>Digits learned from noise</h3>
<p class="lead">A teacher learns to read digits. Students see nothing but noise, and imitate the teacher’s auxiliary logits,
of which no label ever spoke, or all of its logits.</p>
<figure>
<div class="panels pair">{% for panel in figures.mlp %}<div>{{ panel }}</div>{% endfor %}</div>
<figcaption>Bars: means over {{ nets }} nets, with {{ percent }} t intervals; every dot is a net; dashed: chance. The student of
another init imitates the teacher of the next net, so that no net is its own control. Drawn from <code>mlp.parquet</code> and
<code>mlp_nets.parquet</code>, made from <code>data/theory/of=mlp/nets.parquet</code>.</figcaption>
</figure>
<div class="scroll"><table><thead><tr>
{%- for name in ("condition", "before", "accuracy", "interval", "nets") %}
<th scope="col"{% if loop.index0 %} class="n"{% endif %}>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in tables.mlp %}
<tr>{% for value in row %}<td{% if loop.index0 %} class="n"{% endif %}>{{ value }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>
{% endif %}
{% if figures.theorem %}
<h3>Theorem 1, by numbers</h3>
<p class="lead">A teacher takes one step of gradient descent on its loss, a student one of the same size towards what the
teacher now says on inputs that have nothing to do with it. From the same init the two steps cannot oppose each other while they
are small, and the student’s lowers the teacher’s loss.</p>
<figure>
<div class="panels pair">{% for panel in figures.theorem %}<div>{{ panel }}</div>{% endfor %}</div>
<figcaption>One line per pair of inits, draw of inputs and loss. Shown is what the teacher’s step is the cause of: from
another init a student that imitates the teacher as it was before its step moves, too, and that part is left out (from the same
init there is none). The scale of the loss is logarithmic in both directions. Drawn from
<code>theorem_steps.parquet</code>, made from
<code>data/theory/of=theorem-…/theorem.parquet</code>.</figcaption>
</figure>
<div class="scroll"><table><thead><tr>
{%- for name in ("subject", "imitation", "init", "sweeps", "steps opposed", "cosine, smallest step", "loss fell, smallest step",
"all fall up to") %}<th scope="col"{% if loop.index0 > 2 %} class="n"{% endif %}>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in tables.theorem %}
<tr>{% for value in row %}<td{% if loop.index0 > 2 %} class="n"{% endif %}>{{ value }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>
{% endif %}
</section>
"""
