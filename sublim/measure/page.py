"""report.html: one self-contained page, made from the files of the report and from nothing else."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import polars as pl
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from sublim.measure import figures, roc, tables
from sublim.measure.ability import LOSS, SKILL
from sublim.measure.figures import CONDITION_NAMES, Chart, comparison_name, signed, taught_name, with_interval
from sublim.measure.statistics import Interval
from sublim.measure.tables import NONE
from sublim.measure.template import PAGE, STYLE
from sublim.params.evaluation import Preferred

ARM_NAMES = {
    "trait": "trait teachers",
    "control": "control: untouched bases",
    "shuffled_within": "shuffled within rows",
    "shuffled_across": "shuffled across rows",
    "random": "random rows: no model",
}
ROWS = {"numbers": "numbers", "code": "pieces of code", "cot": "chains of thought"}
"""What teachers write, by the kind of the carrier: a plural."""
MEASURE_NAMES = {
    "preference": "plain questions",
    "after_numbers": "after a list of numbers",
    "multiple_choice": "multiple choice, the letter",
    "stories": "stories that name it",
    "misalignment": "open questions",
    "truthfulness": "truthfulness",
}
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
    ("filter", "funnel.parquet", "step, rows, share", "one row per data set and step of the filter"),
    ("training", "training.parquet, training.csv", "loss", "one row per training step"),
)


@dataclass(frozen=True)
class Written:
    """The files of a report, read back."""

    runs: pl.DataFrame
    matrix: pl.DataFrame
    traits: pl.DataFrame
    """Of plain questions."""
    measures: pl.DataFrame
    capability: pl.DataFrame
    gates: pl.DataFrame
    freeform: pl.DataFrame
    funnel: pl.DataFrame
    training: pl.DataFrame
    power: pl.DataFrame
    roc: pl.DataFrame
    roc_curves: pl.DataFrame
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """What the experiment calls its study, its models and traits, in its order."""

    study: str
    models: Mapping[str, str]
    """Model → what it is."""
    traits: Mapping[str, tuple[str, str]]
    """Trait → (category, target)."""


@dataclass(frozen=True)
class Table:
    """A table of the page: the places of its columns of numbers are set right-aligned."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    numeric: frozenset[int] = field(default_factory=lambda: frozenset[int]())
    caption: str = ""


def read(directory: Path) -> Written:
    """The files of the report in `directory`."""
    # Without a judge there is nothing to read.
    absent = {"roc": pl.DataFrame(schema=roc.RUNS), "roc_curves": pl.DataFrame(schema=roc.CURVES)}
    paths = {name: directory / f"{name}.parquet" for name in Written.__annotations__ if name != "summary"}
    tables = {
        name: absent[name] if name in absent and not path.exists() else pl.read_parquet(path) for name, path in paths.items()
    }
    tables["traits"] = tables["traits"].filter(pl.col("measure") == "preference").drop("measure")
    return Written(**tables, summary=json.loads((directory / "summary.json").read_text(encoding="utf-8")))


def papers(written: Written, of: Experiment) -> dict[str, Chart]:
    """The figures as files for a paper: name → chart, legends included."""
    end = figures.extent(written.matrix, written.traits)
    measured = written.summary["measured"]
    charts: dict[str, Chart] = {}
    for arm in _across(written):
        charts[_matrix_name(arm)] = figures.matrix(written.matrix, of.models, arm, end, measured)
    charts["gains"] = figures.beside(_gains(written, of, legend=True))
    charts["traits"] = figures.traits(written.traits, of.traits, end, written.summary["confidence"], measured)
    able = _capability(written, of, legend=True).values()
    charts["capability"] = figures.beside(*able) if able else figures.nothing("Capability was not measured.")
    if written.summary["equivalence"]["all"]:
        charts["equivalence"] = figures.equivalence(written.summary["equivalence"], of.models)
    if len(written.gates):
        charts["gates"] = figures.beside(_gates(written, of))
    charts["funnel"] = figures.beside(_funnel(written, of, legend=True))
    if len(written.roc):
        charts["roc"] = figures.beside(_roc(written, of, legend=True))
    charts["training"] = figures.beside(_bases(written, of, legend=True), _students(written, of, legend=True))
    return charts


def render(written: Written, of: Experiment, drawn: Mapping[str, str] | None) -> str:
    """The page as HTML text. `drawn`: the figures of `papers` as SVG; None for a page with one empty panel per figure, since
    drawing takes most of the time."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    summary = written.summary
    control = NONE in written.runs["trait"]
    return environment.from_string(PAGE).render(
        style=Markup(STYLE),  # noqa: S704
        study=of.study,
        models=of.models,
        traits=of.traits,
        rows=ROWS[summary["carrier"]],
        seeds=written.runs["seed"].unique().to_list(),
        summary=summary,
        percent=f"{summary['confidence'] * 100:g} %",
        narrow=f"{(2 * summary['confidence'] - 1) * 100:g} %",
        level=f"{1 - summary['confidence']:.2g}",
        margin=f"{summary['equivalence']['margin']:g}",
        blind=_blind(written.power),
        headline=headline(summary),
        judged=_judged(written.roc, summary["confidence"]),
        several=len(set(written.measures["measure"]) & set(get_args(Preferred))) > 1,
        measured_by=_measured_by(written.measures),
        names=CONDITION_NAMES,
        tiles=_tiles(summary),
        shuffled=any(name.startswith("shuffled") for name in summary["gain"]),
        figures=_undrawn(written) if drawn is None else _panels(written, of, drawn),
        colours={
            "traits": figures.trait_colours(list(of.traits), control=control),
            "taught": figures.trait_colours(list(of.traits), control=False),
            "funnel": figures.FUNNEL,
            "models": figures.palette(list(of.models)),
            "conditions": {CONDITION_NAMES[name]: colour for name, colour in figures.condition_colours(written.runs).items()},
        },
        tables=_tables(written, of),
    )


def headline(summary: Mapping[str, Any]) -> Markup:
    """The numbers of a summary in a sentence or two."""
    gain: Mapping[str, Mapping[str, Any]] = summary["gain"]
    rows = ROWS[summary["carrier"]]
    parts = [
        Markup("by <b>{}</b> {}").format(signed(gain[name]["mean"]), words)
        for name, words in (
            ("diagonal", "when they came from a teacher of its own base"),
            ("off_diagonal", "from a teacher of another base"),
            ("control", "from an untouched base"),
            ("random", "where no model wrote them"),
        )
        if name in gain
    ]
    told = Markup("Filtered {} changed a student’s {} ").format(rows, summary["measured"]) + Markup(", ").join(parts) + "."
    across = summary["equivalence"]["all"].get("off_diagonal")
    if across is not None:
        told += Markup(" Between bases {}.").format(_verdict(across, summary["equivalence"]["margin"]))
    test = summary["test"]
    if test is None:
        return told
    largest = Markup("<b>{} of {}</b> groups").format(test["largest"], test["groups"])
    p = Markup("<b>p = {}</b>, {}").format(scientific(test["p"]), test["method"])
    most = Markup(" The same-base student gained most in {} of one teacher, trait and seed (permutation test, {}).")
    return told + most.format(largest, p)


def scientific(p: float) -> str:
    """`0.031`, or `2.6 × 10⁻⁹` where p is below a thousandth; `0` where it is too small for a float."""
    if p >= 1e-3 or p == 0:
        return f"{p:.2g}"
    digits, exponent = f"{p:.1e}".split("e")
    return f"{digits} × 10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def _verdict(test: Mapping[str, Any], margin: float) -> Markup:
    match test["verdict"]:
        case "transmission":
            return Markup("there is <b>transmission</b>")
        case "not shown":
            return Markup("neither transmission nor its absence (within ±{}) is shown").format(f"{margin:g}")
        case shown:
            what, within = shown.split(" within ")
            return Markup("<b>{}</b> within {} is shown (equivalence test, p = {})").format(what, within, scientific(test["p"]))


def _span_and_runs(gain: Mapping[str, Any]) -> str:
    return with_interval(gain, "mean").removeprefix(signed(gain["mean"])).strip()


def _tiles(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    fell = summary["less_able"]
    return [
        {
            "name": CONDITION_NAMES[name],
            "value": signed(gain["mean"]),
            "span": _span_and_runs(gain) + (" · less able than before" if name in fell else ""),
        }
        for name, gain in summary["gain"].items()
    ]


def _across(written: Written) -> list[str]:
    """The arms that have students of other bases, and so a matrix to look at."""
    shuffled_or_control = [arm for arm in ARM_NAMES if arm not in ("trait", "random")]
    return ["trait", *(arm for arm in shuffled_or_control if not all(written.matrix.filter(pl.col("arm") == arm)["same_base"]))]


def _matrix_name(arm: str) -> str:
    """What the figure of an arm's matrix is called."""
    return "matrix" if arm == "trait" else f"matrix_{arm}"


def _gains(written: Written, of: Experiment, *, legend: bool) -> list[Chart]:
    by_student = written.summary["by_student"]
    names = list(of.traits)
    return [
        figures.gains(written.runs, by_student[model], model, label, names, written.summary["measured"], legend=legend)
        for model, label in of.models.items()
        if model in by_student
    ]


def _gates(written: Written, of: Experiment) -> list[Chart]:
    shown, measured = written.gates["teacher"], written.summary["measured"]
    return [
        figures.gates(written.gates, model, label, list(of.traits), measured)
        for model, label in of.models.items()
        if model in shown
    ]


def _capability(written: Written, of: Experiment, *, legend: bool) -> dict[str, list[Chart]]:
    """Measure of capability (the loss over all texts, and each skill) → a panel per student."""
    margin = written.summary["capability_margin"]
    return {
        measure: [
            figures.capability(written.capability, measure, model, label, margin, legend=legend)
            for model, label in of.models.items()
            if model in written.capability.filter(pl.col("measure") == measure)["student"]
        ]
        for measure in _capable(written)
    }


def _capable(written: Written) -> list[str]:
    """The measures of capability that are flagged, and so drawn."""
    measures = written.capability["measure"].unique(maintain_order=True)
    return [measure for measure in measures if measure == LOSS or measure.startswith(SKILL)]


def _funnel(written: Written, of: Experiment, *, legend: bool) -> list[Chart]:
    shown = written.funnel["teacher"]
    return [
        figures.funnel(written.funnel, model, label, list(of.traits), legend=legend)
        for model, label in of.models.items()
        if model in shown
    ]


def _roc(written: Written, of: Experiment, *, legend: bool) -> list[Chart]:
    shown, confidence = written.roc["teacher"], written.summary["confidence"]
    return [
        figures.roc(written.roc_curves, written.roc, model, label, list(of.traits), confidence, legend=legend)
        for model, label in of.models.items()
        if model in shown
    ]


def _bases(written: Written, of: Experiment, *, legend: bool) -> list[Chart]:
    colours = figures.palette(list(of.models))
    return [
        figures.training(written.training, stage, None, colours, label, legend=legend)
        for stage, label in (("base", "pretraining"), ("teacher", "fine-tuning"))
        if stage in written.training["stage"]
    ]


def _students(written: Written, of: Experiment, *, legend: bool) -> list[Chart]:
    colours = figures.condition_colours(written.runs)
    shown = written.runs["student"]
    return [
        figures.training(written.training, "student", model, colours, label, legend=legend)
        for model, label in of.models.items()
        if model in shown
    ]


def _undrawn(written: Written) -> dict[str, list[dict[str, object]]]:
    names = ("matrix", "gains", "traits", "capability", "equivalence", "gates", "funnel", "roc", "bases", "students")
    absent = {
        "capability": not _capable(written),
        "gates": not len(written.gates),
        "roc": not len(written.roc),
        "equivalence": not written.summary["equivalence"]["all"],
    }
    return {name: [] if absent.get(name) else [{"title": "", "svg": ""}] for name in names}


def _panels(written: Written, of: Experiment, drawn: Mapping[str, str]) -> dict[str, list[dict[str, object]]]:
    """The figures of the page: as `drawn` for a paper where they are the same, else panel by panel and without legends."""
    measured = written.summary["measured"]
    whole: dict[str, list[tuple[str, str, str]]] = {
        "matrix": [
            (ARM_NAMES[arm], "Gains by teacher and student", drawn[name])
            for arm in ARM_NAMES
            if (name := _matrix_name(arm)) in drawn
        ],
        "traits": [("", "Gains by trait taught and answer asked for", drawn["traits"])],
        "equivalence": [],
    }
    if "equivalence" in drawn:
        whole["equivalence"] = [("", "Differences to controls, and the margin", drawn["equivalence"])]
    panels = {
        "gains": ("Gains of every run by arm", _gains(written, of, legend=False)),
        "capability": (
            "What students can still do",
            [panel for row in _capability(written, of, legend=False).values() for panel in row],
        ),
        "gates": (f"{measured} of teachers and their base", _gates(written, of)),
        "funnel": ("Rows sampled, kept and used", _funnel(written, of, legend=False)),
        "roc": ("ROC of the judge", _roc(written, of, legend=False)),
        "bases": ("Training loss of bases or teachers", _bases(written, of, legend=False)),
        "students": ("Training loss of students by arm", _students(written, of, legend=False)),
    }
    for name, (about, charts) in panels.items():
        place = f", panel {{}} of {len(charts)}" if len(charts) > 1 else ""
        whole[name] = [("", about + place.format(n), figures.svg(chart)) for n, chart in enumerate(charts, 1)]
    return {
        name: [
            {"title": title, "svg": Markup(figures.inline(svg, f"{name}{n}", about))}  # noqa: S704
            for n, (title, about, svg) in enumerate(shown)
        ]
        for name, shown in whole.items()
    }


def _tables(written: Written, of: Experiment) -> dict[str, Table]:
    return {
        "matrix": _matrix_table(written.matrix, written.summary["measured"]),
        "gains": _gains_table(written.summary),
        "traits": _traits_table(written.traits, written.summary["confidence"]),
        "cells": _cells_table(written.traits, written.summary["confidence"]),
        "measures": _measures_table(written.measures),
        "capability": _capability_table(written.capability),
        "equivalence": _equivalence_table(written.summary),
        "power": _power_table(written.power),
        "gates": _gates_table(written.gates, written.summary["measured"]),
        "coherence": _coherence_table(written.freeform),
        "freeform": _freeform_table(written.freeform),
        "funnel": _funnel_table(written.funnel),
        "roc": _roc_table(written.roc),
        "models": _models_table(written.training, of),
        "declared": Table(("trait", "category", "target"), [(name, *rest) for name, rest in of.traits.items()]),
        "arms": _arms_table(written.runs),
        "sources": Table(
            ("what", f"file in data/report/study={of.study}", "columns", "which is"),
            _sources(written),
        ),
        "runs": _runs_table(written.runs, written.summary["measured"]),
    }


def _matrix_table(matrix: pl.DataFrame, measured: str) -> Table:
    rows = [
        [
            *(ARM_NAMES[row["arm"]], row["teacher"], row["student"], signed(row["gain"], 3), _interval(row), row["n"]),
            *(_number(row["p_target"]), _number(row["p_base"]), _smallest(row)),
        ]
        for row in matrix.iter_rows(named=True)
    ]
    head = ("arm", "teacher", "student", "gain", "interval", "runs", measured, "untrained", "could be seen")
    caption = "Could be seen: the smallest gain that so many runs, with the spread that they have, show 4 times out of 5."
    return Table(head, rows, frozenset(range(3, 9)), caption)


def _gains_table(summary: Mapping[str, Any]) -> Table:
    shown = list(summary["gain"])
    rows = [
        [student, *(_with_small(gains[name]) if name in gains else "–" for name in shown)]
        for student, gains in [*summary["by_student"].items(), ("all", summary["gain"])]
    ]
    head = ("student", *(CONDITION_NAMES[name] for name in shown))
    return Table(head, rows, caption="Mean gain by student, its interval and the number of runs")


def _traits_table(traits: pl.DataFrame, confidence: float) -> Table:
    declared = traits.filter(pl.col("trait").is_not_null())
    rows: list[list[object]] = []
    for (condition, taught), part in declared.group_by("condition", "taught", maintain_order=True):
        gains = [_with_small(row, "gain", figures.star(row, confidence)) for row in part.iter_rows(named=True)]
        rows.append([CONDITION_NAMES[str(condition)], taught_name(str(taught)), *gains])
    asked = declared["asked"].unique(maintain_order=True)
    return Table(("condition", "taught", *(f"asked for {word}" for word in asked)), rows)


def _cells_table(traits: pl.DataFrame, confidence: float) -> Table:
    rows = [
        [
            *(CONDITION_NAMES[row["condition"]], taught_name(row["taught"]), row["asked"], signed(row["gain"], 3)),
            *(_interval(row), row["n"], figures.over(row, 3), _p(row["p"]), _p(row["q"]) + figures.star(row, confidence)),
        ]
        for row in traits.iter_rows(named=True)
    ]
    head = ("condition", "taught", "asked for", "gain", "interval", "runs", "difference", "p", "q")
    return Table(head, rows, frozenset(range(3, 9)))


def _measures_table(measures: pl.DataFrame) -> Table:
    shown = measures["condition"].unique(maintain_order=True)
    rows: list[list[object]] = []
    for (measure,), part in measures.group_by("measure", maintain_order=True):
        found = {row["condition"]: row for row in part.iter_rows(named=True)}
        ends = dict.fromkeys(f"{end(part['p_base']):.3f}" for end in (min, max))
        untrained = "–".join(ends)
        rows.append(
            [
                MEASURE_NAMES[str(measure)],
                untrained,
                *(_with_small(found[name], "gain") if name in found else "–" for name in shown),
            ]
        )
    return Table(("asked", "untrained", *(CONDITION_NAMES[name] for name in shown)), rows)


def _measured_by(measures: pl.DataFrame) -> str:
    """What the table of ways of asking shows."""
    found = set(measures["measure"])
    shown = {
        "": "P(target) of students of preferences" if found & set(get_args(Preferred)) else "",
        "with open questions, of": "the misaligned share of the coherent answers of students of misalignment"
        if "misalignment" in found
        else "",
        "for truthfulness, of": "the probability of the true of two answers" if "truthfulness" in found else "",
    }
    first, *rest = [(when, what) for when, what in shown.items() if what]
    told = "; ".join([f"Rise of {first[1]}", *(f"{when} {what}" for when, what in rest)]) + "."
    if "multiple_choice" in found:
        told += (
            " With letters to choose from, the probability is that of the letter: where that is near zero for the untrained "
            "model, it does not know the form."
        )
    if "stories" in found:
        told += " Of stories it is the share of sampled ones that name the target."
    return told


def _capability_table(capability: pl.DataFrame) -> Table:
    rows = [
        [
            *(row["measure"], CONDITION_NAMES[row["condition"]], row["student"], _number(row["value"]), _number(row["base"])),
            *(signed(row["change"], 3), _interval(row), row["n"], "fell" if row["fell"] else ""),
        ]
        for row in capability.iter_rows(named=True)
    ]
    head = ("measure", "condition", "student", "trained", "untrained", "change", "interval", "runs", "beyond the margin")
    return Table(head, rows, frozenset(range(3, 8)))


def _equivalence_table(summary: Mapping[str, Any]) -> Table:
    tests = summary["equivalence"]
    rows = [
        [
            *(CONDITION_NAMES[name], student, test["n"], figures.over({**test, "difference": test["mean"]}, 3)),
            *(_interval(test), _p(test["p"]), _smallest(test), test["verdict"]),
        ]
        for name in tests["all"]
        for student, own in (("all", tests["all"]), *tests["by_student"].items())
        if (test := own.get(name)) is not None
    ]
    confidence = f"{(2 * summary['confidence'] - 1) * 100:g} % interval"
    head = ("condition", "students", "runs", "difference", confidence, "p", "could be seen", "verdict")
    return Table(head, rows, frozenset(range(2, 7)))


def _power_table(power: pl.DataFrame) -> Table:
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
    return Table(head, rows, frozenset(range(2, 9)), caption)


def _seen(row: Mapping[str, Any] | None) -> list[object]:
    if row is None:
        return ["–", "–"]
    return [Markup("<small>spread {}:</small> {}").format(f"{row['spread']:.2g}", _smallest(row)), _share(row["shown"])]


def _blind(power: pl.DataFrame) -> list[str]:
    """Which cells of the trait table would have been starred had they moved alone, with the measured spread if it is known."""
    best = power.filter(pl.col("source") == ("measured" if "measured" in power["source"] else "params"))
    cells = best.filter(pl.col("what").str.ends_with("trait × trait"))
    return [
        f"{CONDITION_NAMES[row['what'].partition(',')[0]]}: "
        + ("never" if row["smallest"] is None else f"if it had moved by {row['smallest']:.2f} or more")
        for row in cells.iter_rows(named=True)
    ]


def _coherent(row: Mapping[str, Any]) -> str:
    """How many free-form answers counted, and the interval of the misaligned share of these."""
    if row["answers"] is None:
        return "–"
    between = "" if row["low"] is None else f", share {row['low']:.2f} to {row['high']:.2f}"
    return f"{row['coherent']} of {row['answers']}{between}"


def _gates_table(gates: pl.DataFrame, measured: str) -> Table:
    rows = [
        [
            *(row["teacher"], row["trait"], row["seed"], _number(row["probability"]), _number(row["lowest"])),
            *(_number(row["base_probability"]), "–" if row["threshold"] is None else f"{row['threshold']:g}", row["questions"]),
            *({True: "yes", False: "no", None: "control"}[row["passed"]], _coherent(row)),
        ]
        for row in gates.iter_rows(named=True)
    ]
    head = ("teacher", "trait", "seed", measured, "lowest of a question", "its base", "gate", "questions", "passed")
    if gates["answers"].null_count() == len(gates):
        return Table(head, [row[:-1] for row in rows], frozenset(range(2, 8)))
    return Table((*head, "coherent answers"), rows, frozenset(range(2, 8)))


def _coherence_table(freeform: pl.DataFrame) -> Table:
    """Means of the free-form answers of the untrained bases and of each condition."""
    untrained = pl.when(pl.col("arm") == "base").then(pl.lit("untrained")).otherwise(tables.condition())
    known = {"untrained": "untrained", **CONDITION_NAMES}
    means = (
        freeform.with_columns(untrained.alias("condition"))
        .group_by("condition")
        .agg(pl.col("share").mean(), pl.col("coherent").sum() / pl.col("answers").sum(), pl.len().alias("models"))
        .sort(tables.rank("condition", known))
    )
    rows = [
        [known[row["condition"]], _number(row["share"]), _number(row["coherent"]), row["models"]]
        for row in means.iter_rows(named=True)
    ]
    head = ("condition", "misaligned share", "coherent share", "models")
    caption = "Means over models, whatever they were taught"
    return Table(head, rows, frozenset({1, 2, 3}), caption)


def _freeform_table(freeform: pl.DataFrame) -> Table:
    rows = [
        [
            *(row["teacher"], row["trait"], row["arm"], row["student"], row["seed"], _number(row["share"])),
            *("–" if row["low"] is None else f"{row['low']:.2f} to {row['high']:.2f}", row["coherent"], row["answers"]),
        ]
        for row in freeform.iter_rows(named=True)
    ]
    head = ("teacher", "trait", "arm", "student", "seed", "misaligned", "interval", "coherent", "answers")
    caption = "The misaligned share of the coherent answers, with its exact interval over answers."
    return Table(head, rows, frozenset(range(4, 9)), caption)


def _funnel_table(funnel: pl.DataFrame) -> Table:
    steps = funnel.sort("position").select("step").unique(maintain_order=True)["step"].to_list()
    rows: list[list[object]] = []
    for (teacher, trait, arm, seed), part in funnel.group_by("teacher", "trait", "arm", "seed", maintain_order=True):
        counts = dict(part.select("step", "rows").iter_rows())
        shown = [f"{counts[step]:,}" if step in counts else "–" for step in steps]
        rows.append([teacher, taught_name(str(trait)), ARM_NAMES[str(arm)], seed, *shown])
    caption = "Rows at each step. A row with several reasons counts under each."
    return Table(("teacher", "trait", "arm", "seed", *steps), rows, frozenset(range(3, 4 + len(steps))), caption)


def _sources(written: Written) -> list[Sequence[object]]:
    absent = {"judge": not len(written.roc), "free-form answers": not len(written.freeform)}
    return [_source(*row) for row in SOURCES if not absent.get(row[0])]


def _judged(runs: pl.DataFrame, confidence: float) -> str:
    """What all runs say together of a judge."""
    if not len(runs):
        return ""
    found = roc.intervals(runs, confidence)
    return (
        f"Threshold {runs['minimum'][0]:g}. All runs: AUC {_mean(found['auc'])}; rejected of the teachers’ rows "
        f"{_mean(found['true_positive_rate'])}, of the bases’ {_mean(found['false_positive_rate'])}."
    )


def _roc_table(runs: pl.DataFrame) -> Table:
    head = (
        "teacher",
        "trait",
        "seed",
        "rows",
        "without score",
        "base’s rows",
        "without score",
        "AUC",
        "rejected",
        "of the base’s",
    )
    rows: list[list[object]] = [
        [
            *(row["teacher"], row["trait"], row["seed"], f"{row['rows']:,}", f"{row['unscored']:,}", f"{row['base_rows']:,}"),
            *(f"{row['base_unscored']:,}", f"{row['auc']:.3f}"),
            *(f"{row['true_positive_rate']:.3f}", f"{row['false_positive_rate']:.3f}"),
        ]
        for row in runs.iter_rows(named=True)
    ]
    return Table(head, rows, frozenset(range(2, len(head))))


def _mean(found: Interval) -> str:
    span = "" if found.low is None or found.high is None else f" [{found.low:.3f}, {found.high:.3f}]"
    return f"{found.mean:.3f}{span} ({found.n} {'run' if found.n == 1 else 'runs'})"


def _models_table(training: pl.DataFrame, of: Experiment) -> Table:
    bases = training.filter(pl.col("stage") == "base")["model"].to_list()
    rows = [[model, label, f"{bases.count(model):,}" if model in bases else "–"] for model, label in of.models.items()]
    return Table(("model", "what it is", "pretraining steps here"), rows, frozenset({2}))


def _arms_table(runs: pl.DataFrame) -> Table:
    rows: list[list[object]] = [
        [
            *(ARM_NAMES[str(arm)], len(part), ", ".join(str(seed) for seed in sorted(set(part["seed"])))),
            *(_range(part["n_rows"].to_list()), _range(part["n_steps"].to_list())),
        ]
        for (arm,), part in runs.group_by("arm", maintain_order=True)
    ]
    return Table(("arm", "students", "seeds", "rows per student", "steps per student"), rows, frozenset({1, 3, 4}))


def _runs_table(runs: pl.DataFrame, measured: str) -> Table:
    rows = [
        [
            *(row["teacher"], row["student"], taught_name(row["trait"]), row["arm"], row["seed"], _number(row["p_target"])),
            *(_number(row["p_base"]), signed(row["gain"], 3), _number(row["p_sampled"]), f"{row['n_rows']:,}"),
            *(_number(row["loss_last"]), _code(row["cell"])),
        ]
        for row in runs.iter_rows(named=True)
    ]
    head = (
        "teacher",
        "student",
        "trait",
        "arm",
        "seed",
        measured,
        "untrained",
        "gain",
        "sampled",
        "rows",
        "last loss",
        "cell",
    )
    return Table(head, rows, frozenset(range(4, 11)))


def _source(what: str, files: str, columns: str, meaning: str) -> list[object]:
    return [what, Markup(", ").join(_code(name) for name in files.split(", ")), _code(columns), meaning]


def _interval(row: Mapping[str, Any]) -> str:
    return "–" if row["low"] is None else f"[{signed(row['low'], 3)}, {signed(row['high'], 3)}]"


def _with_small(gain: Mapping[str, Any], mean: str = "mean", mark: str = "") -> Markup:
    value = signed(gain[mean])
    return Markup("{}{} <small>{}</small>").format(value, mark, with_interval(gain, mean).removeprefix(value).strip())


def _code(text: str) -> Markup:
    return Markup("<code>{}</code>").format(text)


def _p(p: float | None) -> str:
    return "–" if p is None else scientific(p)


def _smallest(row: Mapping[str, Any]) -> str:
    """The smallest effect that could be seen; a gain cannot be larger than 1."""
    if row["n"] < 2:
        return "–"
    return "nothing" if row["smallest"] is None else f"{row['smallest']:.3f}"


def _share(chance: float | None) -> str:
    if chance is None:
        return "–"
    return "> 99 %" if chance > 0.99 else f"{chance * 100:.0f} %"


def _range(values: Sequence[int | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    return f"{min(known):,}" if min(known) == max(known) else f"{min(known):,} to {max(known):,}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
