"""The stage `report`: all evaluations, funnels, gates and training steps as tables, figures and a page."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from sublim.arms.conditions import TRAIT
from sublim.common import parquet
from sublim.common.progress import Progress
from sublim.common.table import Table
from sublim.measures.measure import ordered
from sublim.params.report import Report
from sublim.report import charts, design, dose, history, margins, page, roc, tables
from sublim.report.reading import read
from sublim.stages.base import rows as base
from sublim.stages.eval import rows as evaluated
from sublim.stages.filtered import rows as filtered
from sublim.stages.report import rows
from sublim.stages.report.rows import Slice
from sublim.stages.student import rows as student
from sublim.stages.teacher import rows as teacher

_SLICES = {"base": base, "teacher": teacher, "filtered": filtered, "student": student, "eval": evaluated}
DIMS = {stage: each.Slice.DIMS for stage, each in _SLICES.items()}
READS: Mapping[str, tuple[type[Table], ...]] = {
    "base": (base.Steps,),
    "teacher": (teacher.Steps, teacher.Gate, teacher.Likelihoods, teacher.FreeFormAnswers),
    "filtered": (filtered.Funnel, filtered.Rows),
    "student": (student.Steps,),
    "eval": (evaluated.Answers, evaluated.Samples, evaluated.Capability, evaluated.FreeFormAnswers, evaluated.Probes),
}  #: Stage → the tables that are read.
_ASKED = ("measure", "question_id", "category", "answer", "probability")


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write the tables of `rows` (those of the judge if the filter asks one, of the dose if students are probed, of shared
    history if some are relatives of their teacher), summary.json and metrics.json, each figure as SVG and PNG, what `dvc plots
    show` draws (gains, matrix, training: CSV), and report.html. `inputs`: cell → directory, of the stages in `READS`. Raises
    ValueError: rows are not those of their cell, an untrained base was not evaluated, or an evaluation is of a model or trait
    that is not declared."""
    track = progress.start("report", 3, "part")
    tables_of(inputs, params, output)
    track.advance(note="tables")
    written = page.read(output)
    drawn = charts.save(page.papers(written, names(params)), output)
    track.advance(note="figures")
    (output / "report.html").write_text(page.render(written, names(params), drawn), encoding="utf-8")
    track.advance(note="page")


def names(params: Slice) -> page.Names:
    """What figures and page need to know of the experiment."""
    return page.Names(
        study=params.study,
        models={model.name: model.label for model in params.models},
        traits={trait.name: (trait.category, trait.target) for trait in params.traits},
    )


def tables_of(inputs: Mapping[str, Path], params: Slice, output: Path) -> None:
    """Write the files of the report that hold numbers, Parquet, JSON and CSV, into `output`. The audit compares them."""

    def found(stage: str, table: type[Table], *columns: str, optional: bool = False) -> pl.DataFrame:
        if table not in READS[stage]:  # or the audit of a bundle, which lays out these files alone, would not find it
            raise LookupError(f"{table.file} of {stage}: expected it in READS, found a report that reads it")
        return read(inputs, stage, DIMS[stage], table, columns, optional=optional)

    of, how = names(params), params.report
    models, traits = list(of.models), list(of.traits)
    answers = found("eval", evaluated.Answers, *_ASKED)
    abilities = found("eval", evaluated.Capability, "measure", "value", optional=True)
    samples = found("eval", evaluated.Samples, "question_id", "counted")
    probes = found("eval", evaluated.Probes, *_ASKED, "step", optional=True)
    graded = found("eval", evaluated.FreeFormAnswers, "misaligned", optional=True)
    funnel = found("filtered", filtered.Funnel, "step", "rows", "position")
    # A base or teacher may have no training of its own: a downloaded model, a system prompt.
    pretrained = found("base", base.Steps, "step", "loss", optional=True)
    taught = found("teacher", teacher.Steps, "step", "loss", optional=True)
    gate = found("teacher", teacher.Gate, "probability", "base_probability", "threshold", *tables.OF_MARGIN, optional=True)
    unwritten = found("teacher", teacher.Likelihoods, *tables.OF_LIKELIHOOD, optional=True)
    open_answers = found("teacher", teacher.FreeFormAnswers, "model", "misaligned", optional=True)
    trained = found("student", student.Steps, "step", "loss")
    runs = tables.runs(tables.scores(answers, samples), funnel, trained, models, of.traits, "eval")
    matrix = tables.matrix(runs, models, how.confidence)
    training = tables.training(pretrained, taught, trained, models)
    told = margins.margins(answers, of.traits)
    margin = how.capability_margin
    capability = tables.capability(abilities, models, margin.skill, margin.bits, how.confidence)
    summary: dict[str, Any] = {
        **tables.summary(runs, models, how.confidence, how.permutations, how.seed),
        "carrier": params.carrier,
        "measured": tables.measured(of.traits),
        "equivalence": tables.equivalences(runs, models, how.equivalence_margin, how.confidence),
        "evaluation": tables.asked(answers, samples),
        "capability_margin": margin.model_dump(),
        "less_able": tables.less_able(capability),
        "margins": margins.summed(told, how.confidence),
    }
    written: dict[type[Table], pl.DataFrame] = {
        rows.Runs: runs,
        rows.Matrix: matrix,
        rows.Traits: _crossed(answers, samples, of.traits, how.confidence),
        rows.Measures: tables.measures(answers, samples, of.traits, how.confidence),
        rows.Capability: capability,
        rows.Gates: tables.gates(gate, unwritten, open_answers, models, traits, how.confidence),
        rows.FreeForm: tables.freeform(graded, evaluated.Slice.DIMS, how.confidence),
        rows.Funnel: tables.funnels(funnel, models, traits),
        rows.Training: training,
        margins.Margins: told,
        margins.MarginEffects: margins.effects(told, of.traits, how.confidence),
        rows.Power: _power(runs, summary["evaluation"]["answers"], how),
    }
    for said, found_of_it in (_dose(answers, probes, of, how), _history(told, runs, params)):
        summary |= said
        written |= found_of_it
    if params.minimum is not None:
        judged = roc.judged(found("filtered", filtered.Rows, "reasons", "score"))
        written |= {roc.JudgedRuns: roc.runs(judged, params.minimum), roc.Curves: roc.curves(judged)}
    parquet.write_tables(written, params.dims, output)
    for name, content in {"summary": summary, "metrics": tables.metrics(summary)}.items():
        (output / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    tables.mean_gains(summary).write_csv(output / "gains.csv")
    pair = pl.concat_str("teacher", pl.lit(" → "), "student").alias("pair")
    across = matrix.filter(pl.col("arm") == TRAIT).select(pair, "teacher", "student", "gain", "low", "high", "n")
    across.write_csv(output / "matrix.csv")
    tables.mean_losses(training).write_csv(output / "training.csv")


_Part = tuple[dict[str, Any], dict[type[Table], pl.DataFrame]]


def _dose(answers: pl.DataFrame, probes: pl.DataFrame, of: page.Names, how: Report) -> _Part:
    """What is summed up of the dose, and its tables; nothing if no student is probed for a trait that has margins."""
    told = dose.doses(answers, probes, of.traits)
    if told.is_empty():
        return {}, {}
    effects = dose.effects(told, of.traits, how.confidence)
    return {"dose": dose.summary(told, how.confidence)}, {dose.Doses: told, dose.DoseEffects: effects}


def _history(told: pl.DataFrame, runs: pl.DataFrame, params: Slice) -> _Part:
    """What is summed up of transmission by shared history, and its tables; nothing if no student is a relative of its teacher
    that learned a trait that has margins."""
    found, how = history.runs(params.relatives, told, runs), params.report
    if found.is_empty():
        return {}, {}
    laws = history.fits(found, how.confidence, how.seed)
    return {"history": history.summary(found, laws)}, {
        history.HistoryRuns: found,
        history.HistoryPoints: history.points(found, how.confidence),
        history.HistoryCurves: history.curves(laws),
    }


def _crossed(
    answers: pl.DataFrame, samples: pl.DataFrame, targets: Mapping[str, tuple[str, str]], confidence: float
) -> pl.DataFrame:
    """Trait × trait by each way of asking for a preference."""
    return pl.concat(
        tables.traits(tables.scores(answers, samples, measure.name), targets, confidence).with_columns(
            measure=pl.lit(measure.name)
        )
        for measure in ordered(answers["measure"].unique())
        if measure.prefers
    )


def _power(runs: pl.DataFrame, answers: int, report: Report) -> pl.DataFrame:
    """What the design could see, with the spread from the params and, where there are enough runs, with the measured one."""
    spreads = {"params": report.spread, "measured": design.measured(runs)}
    return pl.concat(
        design.comparisons(runs, answers, spread, report).with_columns(source=pl.lit(source))
        for source, spread in spreads.items()
        if spread is not None
    )
