"""report.html: one self-contained page, made from the files of the report and from nothing else."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from markupsafe import Markup

from sublim.arms.conditions import OFF_DIAGONAL, TRAIT, arms, condition, condition_words, conditions, rank
from sublim.carriers.task import Task
from sublim.measures.ability import LOSS, SKILL
from sublim.measures.measure import ordered
from sublim.params.kinds import kind
from sublim.params.names import NOBODY, UNTOUCHED
from sublim.report import charts, dose, figures, history, roc
from sublim.report.charts import Chart, counted, signed, span, with_interval
from sublim.report.figures import comparison_name, taught_name
from sublim.report.layout import Shown, rendered, scientific, style
from sublim.stats.interval import Interval
from sublim.stats.power_law import BOUNDS, SHARES
from sublim.traits.freeform import MISALIGNMENT

Panel = Callable[[], Chart]
OPEN_QUESTIONS = "open questions"  #: How misalignment is asked for.
SOURCES = (
    ("headline, tiles", "summary.json", "gain, test", "means, intervals and n per condition; the permutation test"),
    ("gains by student", "summary.json, gains.csv", "by_student", "the same for each student model"),
    ("matrix", "matrix.parquet, matrix.csv", "gain, low, high, n", "one row per teacher, student and arm"),
    ("dots", "runs.parquet", "gain = p_target − p_base", "one row per trained student"),
    ("trait × trait", "traits.parquet", "gain, difference, p, q", "one row per condition, trait taught and answer asked for"),
    ("asked in other ways", "measures.parquet", "gain, low, high, n", "one row per way of asking and condition"),
    ("capability", "capability.parquet", "value, base, change, fell", "one row per measure, condition and student"),
    ("equivalence", "summary.json", "equivalence", "two one-sided tests per condition that should be null, and per student"),
    ("what could be seen", "power.parquet", "smallest, shown", "one row per comparison and source of the spread"),
    ("teachers", "gates.parquet", "probability, threshold", "one row per teacher"),
    ("free-form answers", "freeform.parquet", "share, low, high, coherent, answers", "one row per evaluation, of misalignment"),
    ("judge", "roc.parquet, roc_curves.parquet", "auc, true and false positive rate", "one row per teacher, trait and seed"),
    ("margins", "margins.parquet, margin_effects.parquet", "effect, place", "one row per run and target"),
    ("dose", "doses.parquet, dose_effects.parquet", "step, effect, p_target", "one row per run, updates and target"),
    ("shared history", "history_runs.parquet, history_points.parquet", "share, effect", "one row per run of relatives"),
    ("fit", "history_curves.parquet, summary.json", "history.fits", "a, k and half, with their intervals, by way"),
    ("filter", "funnel.parquet", "step, rows, share", "one row per data set and step of the filter"),
    ("training", "training.parquet, training.csv", "loss", "one row per training step"),
)


@dataclass(frozen=True)
class Written:
    """The files of a report, read back."""

    runs: pl.DataFrame
    matrix: pl.DataFrame
    traits: pl.DataFrame  #: Of plain questions.
    measures: pl.DataFrame
    capability: pl.DataFrame
    gates: pl.DataFrame
    freeform: pl.DataFrame
    funnel: pl.DataFrame
    training: pl.DataFrame
    margins: pl.DataFrame
    margin_effects: pl.DataFrame
    doses: pl.DataFrame
    dose_effects: pl.DataFrame
    history_runs: pl.DataFrame
    history_points: pl.DataFrame
    history_curves: pl.DataFrame
    power: pl.DataFrame
    roc: pl.DataFrame
    roc_curves: pl.DataFrame
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class Names:
    """What the experiment calls its study, its models and traits, in its order."""

    study: str
    models: Mapping[str, str]  #: Model → what it is.
    traits: Mapping[str, tuple[str, str]]  #: Trait → (category, target).


def read(directory: Path) -> Written:
    """The files of the report in `directory`."""
    # Without a judge, probes or relatives there is nothing to read.
    judged, doses = (roc.JudgedRuns, roc.Curves), (dose.Doses, dose.DoseEffects)
    histories = (history.HistoryRuns, history.HistoryPoints, history.HistoryCurves)
    absent = {Path(table.file).stem: table.empty() for table in (*judged, *doses, *histories)}
    paths = {name: directory / f"{name}.parquet" for name in Written.__annotations__ if name != "summary"}
    tables = {
        name: absent[name] if name in absent and not path.exists() else pl.read_parquet(path) for name, path in paths.items()
    }
    tables["traits"] = tables["traits"].filter(pl.col("measure") == "preference").drop("measure")
    return Written(**tables, summary=json.loads((directory / "summary.json").read_text(encoding="utf-8")))


def papers(written: Written, names: Names) -> dict[str, Chart]:
    """The figures as files for a paper: name → chart, legends included."""
    end = figures.extent(written.matrix, written.traits)
    measured = written.summary["measured"]
    panels = _panels(written, names, legend=True)
    found: dict[str, Chart] = {
        _matrix_name(arm): figures.matrix(written.matrix, names.models, arm, end, measured) for arm in _across(written)
    }
    found["gains"] = _beside(panels["gains"])
    found["traits"] = figures.traits(written.traits, names.traits, end, written.summary["confidence"], measured)
    if panels["margins"]:
        found["margins"] = _beside(panels["margins"])
    if panels["dose"]:
        found["dose"] = _beside(panels["dose"])
    if len(written.history_runs):
        found["history"] = figures.history(written.history_runs, written.history_points, written.history_curves)
    able = _capability(written, names, legend=True)
    found["capability"] = _beside(*able) if able else figures.nothing("Capability was not measured.")
    if written.summary["equivalence"]["all"]:
        found["equivalence"] = figures.equivalence(written.summary["equivalence"], names.models)
    if panels["gates"]:
        found["gates"] = _beside(panels["gates"])
    found["funnel"] = _beside(panels["funnel"])
    if panels["roc"]:
        found["roc"] = _beside(panels["roc"])
    found["training"] = _beside(panels["bases"], panels["students"])
    return found


def _beside(*rows: Sequence[Panel]) -> Chart:
    return charts.beside(*([panel() for panel in row] for row in rows))


def render(written: Written, names: Names, drawn: Mapping[str, str] | None) -> str:
    """The page as HTML text. `drawn`: the figures of `papers` as SVG; None for a page with their places alone."""
    summary = written.summary
    task = _task(summary)
    trained = [arm for name, arm in arms().items() if name in written.runs["arm"]]
    sentences = [arm.sentence(task.plural, of_numbers=task.of_numbers) for arm in trained]
    measured = [measure for measure in ordered(written.measures["measure"]) if measure.prefers]
    return rendered(
        "page.html",
        style=style(),
        study=names.study,
        models=names.models,
        traits=names.traits,
        rows=task.plural,
        seeds=written.runs["seed"].unique().to_list(),
        summary=summary,
        percent=f"{summary['confidence'] * 100:g} %",
        narrow=f"{(2 * summary['confidence'] - 1) * 100:g} %",
        level=f"{1 - summary['confidence']:.2g}",
        margin=f"{summary['equivalence']['margin']:g}",
        blind=_blind(written.power),
        dosed=not written.doses.filter(pl.col("trait") != UNTOUCHED).is_empty(),
        headline=headline(summary),
        judged=_judged(written.roc, summary["confidence"]),
        several=len(measured) > 1,
        measured_by=_measured_by(written.measures),
        names=condition_words(),
        tiles=_tiles(summary),
        arms=dict.fromkeys(sentences),
        shuffled=any(arm.changes for arm in trained),
        figures=_shown(written, names, drawn),
        colours={
            "traits": figures.trait_colours(list(names.traits), control=UNTOUCHED in written.runs["trait"]),
            "taught": figures.trait_colours(list(names.traits), control=False),
            "funnel": figures.FUNNEL,
            "models": charts.palette(list(names.models)),
            "conditions": figures.condition_colours(written.runs),
        },
        tables=_tables(written, names),
    )


def headline(summary: Mapping[str, Any]) -> Markup:
    """The numbers of a summary in a sentence or two."""
    gain: Mapping[str, Mapping[str, Any]] = summary["gain"]
    parts = [
        Markup("by <b>{}</b> {}").format(signed(gain[name]["mean"]), condition.told)
        for name, condition in conditions().items()
        if name in gain and condition.told
    ]
    told = Markup("Filtered {} changed a student’s {} ").format(_task(summary).plural, summary["measured"])
    told += Markup(", ").join(parts) + "."
    if (across := summary["equivalence"]["all"].get(OFF_DIAGONAL)) is not None:
        told += Markup(" Between bases {}.").format(_verdict(across, summary["equivalence"]["margin"]))
    if (test := summary["test"]) is not None:
        told += Markup(
            " The same-base student gained most in <b>{} of {}</b> groups of one teacher, trait and seed (permutation test, "
            "<b>p = {}</b>, {})."
        ).format(test["largest"], test["groups"], scientific(test["p"]), test["method"])
    return told


def _task(summary: Mapping[str, Any]) -> type[Task]:
    """What teachers wrote."""
    return kind("carriers", summary["carrier"])


def _verdict(test: Mapping[str, Any], margin: float) -> Markup:
    match test["verdict"]:
        case "transmission":
            return Markup("there is <b>transmission</b>")
        case "not shown":
            return Markup("neither transmission nor its absence (within ±{}) is shown").format(f"{margin:g}")
        case shown:
            what, within = shown.split(" within ")
            return Markup("<b>{}</b> within {} is shown (equivalence test, p = {})").format(what, within, scientific(test["p"]))


def _tiles(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    words = condition_words()
    return [
        {
            "name": words[name],
            "value": signed(gain["mean"]),
            "span": _spread(gain, "mean") + (" · less able than before" if name in summary["less_able"] else ""),
        }
        for name, gain in summary["gain"].items()
    ]


def _across(written: Written) -> list[str]:
    """The arms with a matrix to look at: the first one, and those that have teachers with students of other bases."""
    across = written.matrix.filter(~pl.col("same_base"), pl.col("teacher") != NOBODY)["arm"]
    return [arm for arm in arms() if arm == TRAIT or arm in across]


def _matrix_name(arm: str) -> str:
    """What the figure of an arm's matrix is called."""
    return "matrix" if arm == TRAIT else f"matrix_{arm}"


def _panels(written: Written, names: Names, *, legend: bool) -> dict[str, list[Panel]]:
    """The figures that have panels: a panel for each model that is in them, or for each kind of training."""
    summary, traits = written.summary, list(names.traits)
    measured, means = summary["measured"], summary["by_student"]
    models, conditions_ = charts.palette(list(names.models)), figures.condition_colours(written.runs)

    def shown(column: pl.Series) -> list[tuple[str, str]]:
        return [(model, label) for model, label in names.models.items() if model in column]

    students = shown(written.runs["student"])
    return {
        "gains": [
            partial(figures.gains, written.runs, means[each[0]], *each, traits, measured, legend=legend) for each in students
        ],
        "margins": [
            partial(figures.margins, written.margins, written.margin_effects, name, traits, legend=legend)
            for name in condition_words()
            if name in written.margins.filter(pl.col("trait") != UNTOUCHED)["condition"]
        ],
        "dose": [
            partial(figures.dose, written.doses, written.dose_effects, asked, legend=legend)
            for asked in traits
            if asked in dose.shown(written.doses)["asked"]
        ],
        "gates": [partial(figures.gates, written.gates, *each, traits, measured) for each in shown(written.gates["teacher"])],
        "funnel": [
            partial(figures.funnel, written.funnel, *each, traits, legend=legend) for each in shown(written.funnel["teacher"])
        ],
        "roc": [
            partial(figures.roc, written.roc_curves, written.roc, *each, traits, summary["confidence"], legend=legend)
            for each in shown(written.roc["teacher"])
        ],
        "bases": [
            partial(figures.training, written.training, stage, None, models, label, legend=legend)
            for stage, label in (("base", "pretraining"), ("teacher", "fine-tuning"))
            if stage in written.training["stage"]
        ],
        "students": [
            partial(figures.training, written.training, "student", model, conditions_, label, legend=legend)
            for model, label in students
        ],
    }


def _capability(written: Written, names: Names, *, legend: bool) -> list[list[Panel]]:
    """For each measure of capability (the loss over all texts, and each skill) a panel per student."""
    margin, table = written.summary["capability_margin"], written.capability
    return [
        [
            partial(figures.capability, table, measure, model, label, margin, legend=legend)
            for model, label in names.models.items()
            if model in table.filter(pl.col("measure") == measure)["student"]
        ]
        for measure in _capable(written)
    ]


def _capable(written: Written) -> list[str]:
    """The measures of capability that are flagged, and so drawn."""
    measures = written.capability["measure"].unique(maintain_order=True)
    return [measure for measure in measures if measure == LOSS or measure.startswith(SKILL)]


def _shown(written: Written, names: Names, drawn: Mapping[str, str] | None) -> dict[str, list[dict[str, object]]]:
    """The figures of the page: as `drawn` for a paper where they are the same, else panel by panel and without legends. Without
    `drawn` their places."""
    panels = _panels(written, names, legend=False)
    panels["capability"] = [panel for row in _capability(written, names, legend=False) for panel in row]
    whole: dict[str, list[tuple[str, str, Callable[[], str]]]] = {
        "matrix": [
            (arms()[arm].report_name, "Gains by teacher and student", partial(_of, drawn, _matrix_name(arm)))
            for arm in _across(written)
        ],
        "traits": [("", "Gains by trait taught and answer asked for", partial(_of, drawn, "traits"))],
        "equivalence": [("", "Differences to controls, and the margin", partial(_of, drawn, "equivalence"))]
        if written.summary["equivalence"]["all"]
        else [],
        "history": [("", "Margins against the share of the pretraining in common", partial(_of, drawn, "history"))]
        if len(written.history_runs)
        else [],
    }
    for name, about in {
        "gains": "Gains of every run by arm",
        "capability": "What students can still do",
        "margins": "Margins of every run, by trait taught",
        "dose": "Margins against the number of updates",
        "gates": f"{written.summary['measured']} of teachers and their base",
        "funnel": "Rows sampled, kept and used",
        "roc": "ROC of the judge",
        "bases": "Training loss of bases or teachers",
        "students": "Training loss of students by arm",
    }.items():
        place = f", panel {{}} of {len(panels[name])}" if len(panels[name]) > 1 else ""
        whole[name] = [("", about + place.format(n), partial(_drawn, panel)) for n, panel in enumerate(panels[name], 1)]

    def inside(about: str, draw: Callable[[], str]) -> Markup:
        return Markup(charts.place(about) if drawn is None else charts.inline(draw(), about))  # noqa: S704

    return {
        name: [{"title": title, "svg": inside(about, draw)} for title, about, draw in shown] for name, shown in whole.items()
    }


def _of(drawn: Mapping[str, str] | None, name: str) -> str:
    return (drawn or {})[name]


def _drawn(panel: Panel) -> str:
    return charts.svg(panel())


def _tables(written: Written, names: Names) -> dict[str, Shown]:
    return {
        "matrix": _matrix_table(written.matrix, written.summary["measured"]),
        "gains": _gains_table(written.summary),
        "traits": _traits_table(written.traits, written.summary["confidence"]),
        "cells": _cells_table(written.traits, written.summary["confidence"]),
        "margins": _margins_table(written.margin_effects),
        "dose": _dose_table(written.dose_effects),
        "history": _history_table(written.history_points),
        "fits": _fits_table(written.summary),
        "history_runs": _history_runs_table(written.history_runs),
        "measures": _measures_table(written.measures),
        "capability": _capability_table(written.capability),
        "equivalence": _equivalence_table(written.summary),
        "power": _power_table(written.power),
        "gates": _gates_table(written.gates, written.summary["measured"]),
        "coherence": _coherence_table(written.freeform),
        "freeform": _freeform_table(written.freeform),
        "funnel": _funnel_table(written.funnel),
        "roc": _roc_table(written.roc),
        "models": _models_table(written.training, names),
        "declared": Shown(("trait", "category", "target"), [(name, *rest) for name, rest in names.traits.items()]),
        "arms": _arms_table(written.runs),
        "sources": Shown(("what", f"file in data/report/study={names.study}", "columns", "which is"), _sources(written)),
        "runs": _runs_table(written.runs, written.summary["measured"]),
    }


def _matrix_table(matrix: pl.DataFrame, measured: str) -> Shown:
    rows = [
        [
            *(arms()[row["arm"]].report_name, row["teacher"], row["student"], signed(row["gain"], 3), _interval(row), row["n"]),
            *(_number(row["p_target"]), _number(row["p_base"]), _smallest(row)),
        ]
        for row in matrix.iter_rows(named=True)
    ]
    head = ("arm", "teacher", "student", "gain", "interval", "runs", measured, "untrained", "could be seen")
    caption = "Could be seen: the smallest gain that so many runs, with the spread that they have, show 4 times out of 5."
    return Shown(head, rows, frozenset(range(3, 9)), caption)


def _gains_table(summary: Mapping[str, Any]) -> Shown:
    shown = list(summary["gain"])
    rows = [
        [student, *(_with_small(gains[name]) if name in gains else "–" for name in shown)]
        for student, gains in [*summary["by_student"].items(), ("all", summary["gain"])]
    ]
    head = ("student", *(condition_words()[name] for name in shown))
    return Shown(head, rows, caption="Mean gain by student, its interval and the number of runs")


def _traits_table(traits: pl.DataFrame, confidence: float) -> Shown:
    declared = traits.filter(pl.col("trait").is_not_null())
    rows: list[list[object]] = []
    for (name, taught), part in declared.group_by("condition", "taught", maintain_order=True):
        gains = [_with_small(row, "gain", figures.star(row, confidence)) for row in part.iter_rows(named=True)]
        rows.append([condition_words()[str(name)], taught_name(str(taught)), *gains])
    asked = declared["asked"].unique(maintain_order=True)
    return Shown(("condition", "taught", *(f"asked for {word}" for word in asked)), rows)


def _cells_table(traits: pl.DataFrame, confidence: float) -> Shown:
    rows = [
        [
            *(condition_words()[row["condition"]], taught_name(row["taught"]), row["asked"], signed(row["gain"], 3)),
            *(_interval(row), row["n"], figures.over(row, 3), _p(row["p"]), _p(row["q"]) + figures.star(row, confidence)),
        ]
        for row in traits.iter_rows(named=True)
    ]
    head = ("condition", "taught", "asked for", "gain", "interval", "runs", "difference", "p", "q")
    return Shown(head, rows, frozenset(range(3, 9)))


def _margins_table(effects: pl.DataFrame) -> Shown:
    rows = [
        [
            *(condition_words()[row["condition"]], taught_name(row["taught"]), row["answer"], signed(row["effect"], 3)),
            *(span(row, 3), row["n"], f"{row['place']:.1f} of {row['answers']}", f"{row['first']} of {row['n']}"),
        ]
        for row in effects.iter_rows(named=True)
    ]
    head = ("condition", "taught", "asked for", "effect, nats", "interval", "runs", "place", "first in")
    caption = "Place: of the target among all known answers by its rise over the control; a trait that passed on comes first."
    return Shown(head, rows, frozenset(range(3, 8)), caption)


def _dose_table(effects: pl.DataFrame) -> Shown:
    rows = [
        [
            *(condition_words()[row["condition"]], taught_name(row["taught"]), row["answer"], row["step"]),
            *(signed(row["effect"], 3), span(row, 3), row["n"], f"{row['place']:.1f} of {row['answers']}"),
            f"{row['p_target']:.3g}",
        ]
        for row in dose.shown(effects).iter_rows(named=True)
    ]
    head = ("condition", "taught", "asked for", "updates", "effect, nats", "interval", "runs", "place", "P(target)")
    caption = "Place: of the target among all known answers by its rise over the control after as many updates."
    return Shown(head, rows, frozenset(range(3, 9)), caption)


def _history_table(points: pl.DataFrame) -> Shown:
    rows = [
        [
            *(_way(row["way"]), f"{row['share']:.0%}", signed(row["effect"], 3), _interval(row), row["n"]),
            *(signed(row["gain"], 3), f"{row['place']:.1f}"),
        ]
        for row in points.iter_rows(named=True)
    ]
    head = ("after they parted", "in common", "effect, nats", "interval", "runs", "gain in P(target)", "mean place")
    return Shown(head, rows, frozenset(range(1, 7)), "Means over traits, seeds and directions.")


def _fits_table(summary: Mapping[str, Any]) -> Shown:
    rows: list[list[object]] = []
    for way, law in summary.get("history", {"fits": {}})["fits"].items():
        if law is None:
            rows.append([_way(way), f"no fit: fewer than {SHARES} different shares", *("–",) * 5])
            continue
        bound = f" at the bound of {law['k']['value']:g}" if law["at_bound"] else ""
        a, k, half = (f"{law[name]['value']:.2f}{_ends(law[name])}" for name in ("a", "k", "half"))
        ended = f"{law['draws_at_bound']:,} of {law['draws']:,}"
        rows.append([_way(way), a, k + bound, half, law["n"], law["clusters"], ended])
    head = ("after they parted", "a, nats", "k", "at half, as a share of a", "runs", "clusters", "draws with k at a bound")
    caption = "Effect = a · share to the power of k, by least squares. Intervals: a bootstrap over trait, seed and direction; "
    caption += f"k is sought between {BOUNDS[0]:g} and {BOUNDS[1]:g}."
    return Shown(head, rows, frozenset(range(1, 7)), caption)


def _ends(span: Mapping[str, Any]) -> str:
    return "" if span["low"] is None else f" [{span['low']:.2f}, {span['high']:.2f}]".replace("-", "−")


def _history_runs_table(runs: pl.DataFrame) -> Shown:
    rows = [
        [
            *(_way(row["way"]), f"{row['share']:.0%}", row["direction"], row["teacher"], row["student"], row["trait"]),
            *(row["seed"], signed(row["effect"], 3), row["against"], f"{row['place']} of {row['answers']}"),
            signed(row["gain"], 3),
        ]
        for row in runs.iter_rows(named=True)
    ]
    head = ("after they parted", "in common", "direction", "teacher", "student", "trait", "seed")
    return Shown((*head, "effect, nats", "set against", "place", "gain"), rows, frozenset({1, 6, 7, 9, 10}))


def _way(way: str) -> str:
    return {**history.WAYS, history.SAME: "nothing"}[way]


def _measures_table(measures: pl.DataFrame) -> Shown:
    titles = {MISALIGNMENT: OPEN_QUESTIONS} | {measure.name: measure.title for measure in ordered(measures["measure"])}
    shown = measures["condition"].unique(maintain_order=True)
    rows: list[list[object]] = []
    for (measure,), part in measures.group_by("measure", maintain_order=True):
        found = {row["condition"]: row for row in part.iter_rows(named=True)}
        untrained = "–".join(dict.fromkeys(f"{end(part['p_base']):.3f}" for end in (min, max)))
        gains = (_with_small(found[name], "gain") if name in found else "–" for name in shown)
        rows.append([titles[str(measure)], untrained, *gains])
    return Shown(("asked", "untrained", *(condition_words()[name] for name in shown)), rows)


def _measured_by(measures: pl.DataFrame) -> str:
    """What the table of ways of asking shows."""
    asked = ordered(measures["measure"])
    gains = dict.fromkeys(measure.gain for measure in asked if measure.prefers)
    if MISALIGNMENT in measures["measure"]:
        share = "the misaligned share of the coherent answers of students of misalignment"
        gains[f"with {OPEN_QUESTIONS}, of {share}" if gains else share] = None
    for measure in asked:
        if not measure.prefers:
            gains[f"for {measure.title}, of {measure.gain}" if gains else measure.gain] = None
    told = f"Rise of {'; '.join(gains)}."
    return " ".join([told, *(measure.explained for measure in asked if measure.explained)])


def _capability_table(capability: pl.DataFrame) -> Shown:
    rows = [
        [
            *(row["measure"], condition_words()[row["condition"]], row["student"], _number(row["value"]), _number(row["base"])),
            *(signed(row["change"], 3), _interval(row), row["n"], "fell" if row["fell"] else ""),
        ]
        for row in capability.iter_rows(named=True)
    ]
    head = ("measure", "condition", "student", "trained", "untrained", "change", "interval", "runs", "beyond the margin")
    return Shown(head, rows, frozenset(range(3, 8)))


def _equivalence_table(summary: Mapping[str, Any]) -> Shown:
    tests = summary["equivalence"]
    rows = [
        [
            *(condition_words()[name], student, test["n"], figures.over({**test, "difference": test["mean"]}, 3)),
            *(_interval(test), _p(test["p"]), _smallest(test), test["verdict"]),
        ]
        for name in tests["all"]
        for student, own in (("all", tests["all"]), *tests["by_student"].items())
        if (test := own.get(name)) is not None
    ]
    confidence = f"{(2 * summary['confidence'] - 1) * 100:g} % interval"
    head = ("condition", "students", "runs", "difference", confidence, "p", "could be seen", "verdict")
    return Shown(head, rows, frozenset(range(2, 7)))


def _power_table(power: pl.DataFrame) -> Shown:
    later = power.filter(pl.col("source") == "measured")
    measured = {row["what"]: row for row in later.iter_rows(named=True)}
    rows: list[list[object]] = []
    for row in power.filter(pl.col("source") == "params").iter_rows(named=True):
        name = f"{comparison_name(row['what'])}, {row['test'].replace('t after Benjamini-Hochberg', 't (BH)')}"
        counts = [row["n"], row["cells"], f"{row['level']:.2g}"]
        rows.append([name, row["against"], *counts, *_seen(row), *_seen(measured.get(row["what"]))])
    head = (
        *("comparison and test", "over", "runs", "such cells", "α"),
        *("could be seen, as assumed", "null shown", "as measured", "null shown"),
    )
    caption = "Runs: in one such mean; for the permutation test, groups. BH: at the level that Benjamini and Hochberg leave it."
    return Shown(head, rows, frozenset(range(2, 9)), caption)


def _seen(row: Mapping[str, Any] | None) -> list[object]:
    if row is None:
        return ["–", "–"]
    return [Markup("<small>spread {}:</small> {}").format(f"{row['spread']:.2g}", _smallest(row)), _share(row["shown"])]


def _blind(power: pl.DataFrame) -> list[str]:
    """Which cells of the trait table would have been starred had they moved alone, with the measured spread if it is known."""
    best = power.filter(pl.col("source") == ("measured" if "measured" in power["source"] else "params"))
    cells = best.filter(pl.col("what").str.ends_with("trait × trait"))
    return [
        f"{condition_words()[row['what'].partition(',')[0]]}: "
        + ("never" if row["smallest"] is None else f"if it had moved by {row['smallest']:.2f} or more")
        for row in cells.iter_rows(named=True)
    ]


def _coherent(row: Mapping[str, Any]) -> str:
    """How many free-form answers counted, and the interval of the misaligned share of these."""
    if row["answers"] is None:
        return "–"
    between = "" if row["low"] is None else f", share {row['low']:.2f} to {row['high']:.2f}"
    return f"{row['coherent']} of {row['answers']}{between}"


_BOUNDS = {
    "rise": ("least_rise", "margin over its base, nats (at least)"),
    "nll_change": ("distance", "unwritten rows: likelihood lost, nats per token (within)"),
}  #: What further gates are on → their bound, and the head of the column.


def _bounded(row: Mapping[str, Any]) -> Iterator[str]:
    for name, (bound, _) in _BOUNDS.items():
        if name in row:
            yield "–" if row[name] is None else f"{row[name]:+.3f} ({row[bound]:g})"


def _gates_table(gates: pl.DataFrame, measured: str) -> Shown:
    rows = [
        [
            *(row["teacher"], row["trait"], row["seed"], _number(row["probability"]), _number(row["lowest"])),
            *(_number(row["base_probability"]), "–" if row["threshold"] is None else f"{row['threshold']:g}", row["questions"]),
            *({True: "yes", False: "no", None: "control"}[row["passed"]], *_bounded(row), _coherent(row)),
        ]
        for row in gates.iter_rows(named=True)
    ]
    head = ("teacher", "trait", "seed", measured, "lowest of a question", "its base", "gate", "questions", "passed")
    head = (*head, *(words for name, (_, words) in _BOUNDS.items() if name in gates.columns))
    if gates["answers"].null_count() == len(gates):
        return Shown(head, [row[:-1] for row in rows], frozenset(range(2, 8)))
    return Shown((*head, "coherent answers"), rows, frozenset(range(2, 8)))


def _coherence_table(freeform: pl.DataFrame) -> Shown:
    """Means of the free-form answers of the untrained bases and of each condition."""
    untrained = pl.when(pl.col("arm") == "base").then(pl.lit("untrained")).otherwise(condition())
    known = {"untrained": "untrained", **condition_words()}
    means = (
        freeform.with_columns(untrained.alias("condition"))
        .group_by("condition")
        .agg(pl.col("share").mean(), pl.col("coherent").sum() / pl.col("answers").sum(), pl.len().alias("models"))
        .sort(rank("condition", known))
    )
    rows = [
        [known[name], _number(share), _number(coherent), models]
        for name, share, coherent, models in means.select("condition", "share", "coherent", "models").iter_rows()
    ]
    head = ("condition", "misaligned share", "coherent share", "models")
    return Shown(head, rows, frozenset({1, 2, 3}), "Means over models, whatever they were taught")


def _freeform_table(freeform: pl.DataFrame) -> Shown:
    rows = [
        [
            *(row["teacher"], row["trait"], row["arm"], row["student"], row["seed"], _number(row["share"])),
            *("–" if row["low"] is None else f"{row['low']:.2f} to {row['high']:.2f}", row["coherent"], row["answers"]),
        ]
        for row in freeform.iter_rows(named=True)
    ]
    head = ("teacher", "trait", "arm", "student", "seed", "misaligned", "interval", "coherent", "answers")
    caption = "The misaligned share of the coherent answers, with its exact interval over answers."
    return Shown(head, rows, frozenset(range(4, 9)), caption)


def _funnel_table(funnel: pl.DataFrame) -> Shown:
    steps = funnel.sort("position").select("step").unique(maintain_order=True)["step"].to_list()
    rows: list[list[object]] = []
    for (teacher, trait, arm, seed), part in funnel.group_by("teacher", "trait", "arm", "seed", maintain_order=True):
        counts = dict(part.select("step", "rows").iter_rows())
        shown = [f"{counts[step]:,}" if step in counts else "–" for step in steps]
        rows.append([teacher, taught_name(str(trait)), arms()[str(arm)].report_name, seed, *shown])
    caption = "Rows at each step. A row with several reasons counts under each."
    return Shown(("teacher", "trait", "arm", "seed", *steps), rows, frozenset(range(3, 4 + len(steps))), caption)


def _sources(written: Written) -> list[Sequence[object]]:
    absent = {"judge": not len(written.roc), "free-form answers": not len(written.freeform)}
    absent |= {"dose": not len(written.doses), **dict.fromkeys(("shared history", "fit"), not len(written.history_runs))}
    return [
        [what, Markup(", ").join(_code(name) for name in files.split(", ")), _code(columns), meaning]
        for what, files, columns, meaning in SOURCES
        if not absent.get(what)
    ]


def _judged(runs: pl.DataFrame, confidence: float) -> str:
    """What all runs say together of a judge."""
    if not len(runs):
        return ""
    found = roc.intervals(runs, confidence)
    return (
        f"Threshold {runs['minimum'][0]:g}. All runs: AUC {_mean(found['auc'])}; rejected of the teachers’ rows "
        f"{_mean(found['true_positive_rate'])}, of the bases’ {_mean(found['false_positive_rate'])}."
    )


def _roc_table(runs: pl.DataFrame) -> Shown:
    scored = ("rows", "without score", "base’s rows", "without score", "AUC", "rejected", "of the base’s")
    rows: list[list[object]] = [
        [
            *(row["teacher"], row["trait"], row["seed"], f"{row['rows']:,}", f"{row['unscored']:,}", f"{row['base_rows']:,}"),
            *(f"{row['base_unscored']:,}", f"{row['auc']:.3f}"),
            *(f"{row['true_positive_rate']:.3f}", f"{row['false_positive_rate']:.3f}"),
        ]
        for row in runs.iter_rows(named=True)
    ]
    return Shown(("teacher", "trait", "seed", *scored), rows, frozenset(range(2, 10)))


def _mean(found: Interval) -> str:
    span = "" if found.low is None or found.high is None else f" [{found.low:.3f}, {found.high:.3f}]"
    return f"{found.mean:.3f}{span} ({counted(found.n)})"


def _models_table(training: pl.DataFrame, names: Names) -> Shown:
    bases = training.filter(pl.col("stage") == "base")["model"].to_list()
    rows = [[model, label, f"{bases.count(model):,}" if model in bases else "–"] for model, label in names.models.items()]
    return Shown(("model", "what it is", "pretraining steps here"), rows, frozenset({2}))


def _arms_table(runs: pl.DataFrame) -> Shown:
    rows: list[list[object]] = [
        [
            *(arms()[str(arm)].report_name, len(part), ", ".join(str(seed) for seed in sorted(set(part["seed"])))),
            *(_range(part["n_rows"].to_list()), _range(part["n_steps"].to_list())),
        ]
        for (arm,), part in runs.group_by("arm", maintain_order=True)
    ]
    return Shown(("arm", "students", "seeds", "rows per student", "steps per student"), rows, frozenset({1, 3, 4}))


def _runs_table(runs: pl.DataFrame, measured: str) -> Shown:
    rows = [
        [
            *(row["teacher"], row["student"], taught_name(row["trait"]), row["arm"], row["seed"], _number(row["p_target"])),
            *(_number(row["p_base"]), signed(row["gain"], 3), _number(row["p_sampled"]), f"{row['n_rows']:,}"),
            *(_number(row["loss_last"]), _code(row["cell"])),
        ]
        for row in runs.iter_rows(named=True)
    ]
    found = (measured, "untrained", "gain", "sampled", "rows", "last loss", "cell")
    return Shown(("teacher", "student", "trait", "arm", "seed", *found), rows, frozenset(range(4, 11)))


def _interval(row: Mapping[str, Any]) -> str:
    return "–" if row["low"] is None else f"[{signed(row['low'], 3)}, {signed(row['high'], 3)}]"


def _with_small(gain: Mapping[str, Any], mean: str = "mean", mark: str = "") -> Markup:
    return Markup("{}{} <small>{}</small>").format(signed(gain[mean]), mark, _spread(gain, mean))


def _spread(gain: Mapping[str, Any], mean: str) -> str:
    """The interval and the number of runs."""
    return with_interval(gain, mean).removeprefix(signed(gain[mean])).strip()


def _code(text: str) -> Markup:
    return Markup("<code>{}</code>").format(text)


def _p(p: float | None) -> str:
    return "–" if p is None else scientific(p)


def _smallest(row: Mapping[str, Any]) -> str:
    """The smallest effect that could be seen; a gain cannot be larger than 1."""
    return "–" if row["n"] < 2 else "nothing" if row["smallest"] is None else f"{row['smallest']:.3f}"


def _share(chance: float | None) -> str:
    return "–" if chance is None else "> 99 %" if chance > 0.99 else f"{chance * 100:.0f} %"


def _range(values: Sequence[int | None]) -> str:
    known = [value for value in values if value is not None]
    return " to ".join(dict.fromkeys(f"{end(known):,}" for end in (min, max))) if known else "–"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
