"""What the overview says of theory: tables of the experiment with digits and of Theorem 1, figures, a section of the page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
from markupsafe import Markup

from sublim.arms.conditions import rank
from sublim.report import charts
from sublim.report.charts import INK, MUTED, Chart
from sublim.report.layout import rendered
from sublim.stats.interval import t_interval

NET_NAMES = {
    "reference": "reference: untrained net",
    "teacher": "teacher",
    "student_aux": "student, auxiliary logits",
    "student_all": "student, all logits",
    "cross_aux": "other init, auxiliary logits",
    "cross_all": "other init, all logits",
}  #: What the conditions of the experiment with digits are called.
COLOURS = dict(zip(NET_NAMES, ("#868c94", "#7a5c3e", "#c8442b", "#e0917f", "#2a6fb0", "#86b0da"), strict=True))
INITS = {True: "same init", False: "other init"}
INIT_COLOURS = {"same init": "#c8442b", "other init": "#2a6fb0"}
IMITATION = {"squared_error": "squared error", "cross_entropy": "cross-entropy"}
CHANCE = 0.1
SMALL = 1e-14  #: Changes of a loss below this are drawn as none: rounding, in float64.
_PAIR = ("subject", "imitation", "same_init")


@dataclass(frozen=True)
class Written:
    """The files of the overview that are about theory, read back; None for what the experiment does not have."""

    nets: pl.DataFrame | None
    mlp: pl.DataFrame | None
    steps: pl.DataFrame | None
    theorem: pl.DataFrame | None


def tables_of(cells: Mapping[str, Path], confidence: float) -> dict[str, pl.DataFrame]:
    """Name → table of the overview. `cells`: name of the experiment, `mlp` or `theorem-SUBJECT`, → directory of its artifact.

    `mlp_nets`: the cell's nets. `mlp`: a row per condition. `theorem_steps`: the rows of all subjects. `theorem`: a row per
    subject, imitation and kind of init.
    """
    found: dict[str, pl.DataFrame] = {}
    if "mlp" in cells:
        nets = pl.read_parquet(cells["mlp"] / "nets.parquet", hive_partitioning=False).drop("of")
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
    """Name of the experiment → the few flat numbers that are worth comparing between experiments: mean accuracies; from the
    same init, the share of sweeps whose smallest step lowers the teacher's loss, and of steps that oppose the teacher's."""
    said = {"mlp": dict(found["mlp"].select("condition", "accuracy").iter_rows())} if "mlp" in found else {}
    if "theorem" in found:
        counts = ("fell", "sweeps", "opposed", "steps")
        same = found["theorem"].filter("same_init").group_by("subject", maintain_order=True).agg(pl.col(*counts).sum())
        for row in same.iter_rows(named=True):
            shares = {"fell": row["fell"] / row["sweeps"], "opposed": row["opposed"] / row["steps"]}
            said[f"theorem-{row['subject']}"] = shares
    return said


def _conditions(nets: pl.DataFrame, confidence: float) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for (condition,), part in nets.group_by("condition", maintain_order=True):
        span = asdict(t_interval(part["accuracy"].to_list(), confidence))
        before = t_interval(part["accuracy_before"].to_list(), confidence).mean
        rows.append({"condition": condition, "accuracy": span.pop("mean"), **span, "accuracy_before": before})
    return pl.DataFrame(rows).sort(rank("condition", NET_NAMES))


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


def papers(written: Written) -> dict[str, Chart]:
    """The figures as files for a paper: name → chart."""
    found: dict[str, Chart] = {}
    if written.nets is not None and written.mlp is not None:
        found["mlp"] = digits(written.nets, written.mlp)
    if written.steps is not None:
        subjects = written.steps["subject"].unique(maintain_order=True)
        rows = ([cosines(written.steps, each), changes(written.steps, each)] for each in subjects)
        found["theorem"] = charts.beside(*rows).resolve_scale(color="independent", strokeDash="independent")  # pyright: ignore[reportUnknownMemberType]
    return found


def digits(nets: pl.DataFrame, means: pl.DataFrame) -> Chart:
    """Accuracy on held-out digits by condition, as in the paper's figure: a bar with its interval, and a dot per net."""
    shown = [name for name in NET_NAMES if name in means["condition"]]
    dots = [
        {
            "condition": NET_NAMES[name],
            "accuracy": row["accuracy"],
            "place": (place + 0.5) / len(part),
            "about": f"{NET_NAMES[name]}, net {row['seed']}: accuracy {row['accuracy']:.3f}"
            + (f", its teacher is net {row['teacher_seed']}" if row["teacher_seed"] is not None else ""),
        }
        for name in shown
        for part in [nets.filter(pl.col("condition") == name).sort("seed")]
        for place, row in enumerate(part.iter_rows(named=True))
    ]
    bars = [
        {
            **row,
            "condition": NET_NAMES[row["condition"]],
            "colour": COLOURS[row["condition"]],
            "value": f"{row['accuracy']:.3f}",
            "about": f"{NET_NAMES[row['condition']]}: accuracy {_with_interval(row)}",
        }
        for row in means.iter_rows(named=True)
    ]
    scale = alt.Scale(domain=[0, 1])
    y = charts.names_down("condition", [NET_NAMES[name] for name in shown])
    axis = alt.Axis(title="accuracy on held-out digits", tickCount=6, format=".1f", grid=True)
    base = charts.of_rows(bars).encode(y=y)
    fill = base.mark_bar(cornerRadius=1.5, opacity=0.75, size=28).encode(
        x=alt.X("accuracy:Q", scale=scale, axis=axis, stack=None),
        color=alt.Color("colour:N", scale=None),
        description="about:N",
    )
    single = charts.of_rows(dots).mark_circle(size=16, opacity=0.8, color=INK, stroke="white", strokeWidth=0.4)
    layers = alt.layer(
        fill,
        charts.at(CHANCE, scale, color=MUTED, strokeDash=charts.DASHED),
        single.encode(x=alt.X("accuracy:Q", scale=scale), y=y, yOffset=charts.spread(), description="about:N"),
        charts.intervals(base, scale, 2),
        charts.printed(base, WIDTH + 10),
    )
    title = alt.TitleParams("Digits learned from noise", subtitle="from overview/mlp.parquet, overview/mlp_nets.parquet")
    return layers.properties(width=WIDTH, height=40 * len(shown), title=title)


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
        charts.of_rows(rows)
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
    zero = charts.at(0, scale, upright=False)
    subtitle = "from overview/theorem_steps.parquet"
    name = "nets for digits" if subject == "mlp" else f"language model {subject}"
    return alt.layer(zero, line).properties(width=WIDTH, height=220, title=alt.TitleParams(name, subtitle=subtitle))


def section(written: Written, confidence: float, *, drawn: bool) -> Markup:
    """This part of the page; its figures, or their places alone."""
    panels: dict[str, list[Chart]] = {"mlp": [], "theorem": []}
    if written.nets is not None and written.mlp is not None:
        panels["mlp"] = [digits(written.nets, written.mlp)]
    if (steps := written.steps) is not None:
        subjects = steps["subject"].unique(maintain_order=True)
        panels["theorem"] = [draw(steps, subject) for subject in subjects for draw in (cosines, changes)]
    return rendered(
        "theory.html",
        percent=f"{confidence * 100:g} %",
        nets=0 if written.nets is None else written.nets["seed"].n_unique(),
        figures={name: [_shown(chart, ABOUT[name], drawn=drawn) for chart in found] for name, found in panels.items()},
        tables={
            "mlp": [] if written.mlp is None else _mlp_rows(written.mlp),
            "theorem": [] if written.theorem is None else _theorem_rows(written.theorem),
        },
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
            *(NET_NAMES[row["condition"]], f"{row['accuracy_before']:.3f}", f"{row['accuracy']:.3f}"),
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


def _shown(chart: Chart, about: str, *, drawn: bool) -> Markup:
    return Markup(charts.inline(charts.svg(chart), about) if drawn else charts.place(about))  # noqa: S704
