"""The stage `report`: all evaluations, funnels, gates and training steps as tables, figures and a page."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import polars as pl

from sublim.common import parquet
from sublim.common.progress import Progress
from sublim.measure import design, figures, page, roc, tables
from sublim.params.evaluation import Preferred
from sublim.params.report import Report
from sublim.params.slices.report import Slice


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write the tables (runs, matrix, traits, measures, capability, gates, freeform, funnel, training, power; roc and
    roc_curves if the filter asks a judge: Parquet), summary.json and metrics.json, each figure as SVG and PNG, what
    `dvc plots show` draws (gains, matrix, training: CSV), and report.html.

    Args:
        inputs: cell id → directory of the artifact, of the stages base, teacher, filtered, student and eval.
        params: what the experiment calls its models and traits, and how runs are summed up.
        output: an empty directory.
        progress: counts the parts of the report.

    Raises:
        ValueError: rows are not those of their cell, an untrained base was not evaluated, or an evaluation is of a model or
            trait that is not declared.
    """
    of = experiment(params)
    track = progress.start("report", 3, "part")
    tables_of(inputs, params, output)
    track.advance(note="tables")
    written = page.read(output)
    drawn = {name: figures.svg(chart) for name, chart in page.papers(written, of).items()}
    for name, text in drawn.items():
        (output / f"{name}.svg").write_text(text, encoding="utf-8")
        (output / f"{name}.png").write_bytes(figures.png(text))
    track.advance(note="figures")
    (output / "report.html").write_text(page.render(written, of, drawn), encoding="utf-8")
    track.advance(note="page")


def experiment(params: Slice) -> page.Experiment:
    """What figures and page need to know of the experiment."""
    return page.Experiment(
        study=params.study,
        models={model.name: model.label for model in params.models},
        traits={trait.name: (trait.category, trait.target) for trait in params.traits},
    )


def tables_of(inputs: Mapping[str, Path], params: Slice, output: Path) -> None:
    """Write the files of the report that hold numbers, Parquet, JSON and CSV, into `output`. The audit compares them."""
    of = experiment(params)
    models, traits = list(of.models), list(of.traits)
    how = params.report
    answers = tables.read(inputs, "eval", "answers.parquet", ("measure", "question_id", "category", "answer", "probability"))
    abilities = tables.read_abilities(inputs)
    samples = tables.read(inputs, "eval", "samples.parquet", ("question_id", "counted"))
    funnel = tables.read(inputs, "filtered", "funnel.parquet", ("step", "rows", "position"))
    # A base or teacher may have no training of its own: a downloaded model, a system prompt.
    base = tables.read(inputs, "base", "steps.parquet", ("step", "loss"), optional=True)
    teacher = tables.read(inputs, "teacher", "steps.parquet", ("step", "loss"), optional=True)
    gate = tables.read(inputs, "teacher", "gate.parquet", ("probability", "base_probability", "threshold"), optional=True)
    open_answers = tables.read(inputs, "teacher", "freeform.parquet", ("model", "misaligned"), optional=True)
    graded = tables.read(inputs, "eval", "freeform.parquet", ("misaligned",), optional=True)
    student = tables.read(inputs, "student", "steps.parquet", ("step", "loss"))
    preferences = tables.scores(answers, samples)
    runs = tables.runs(preferences, funnel, student, models, of.traits)
    matrix = tables.matrix(runs, models, how.confidence)
    training = tables.training(base, teacher, student, models)
    summary = tables.summary(runs, models, how.confidence, how.permutations, how.seed)
    summary |= {"carrier": params.carrier, "measured": tables.measured(of.traits)}
    summary["equivalence"] = tables.equivalences(runs, models, how.equivalence_margin, how.confidence)
    summary["evaluation"] = tables.asked(answers, samples)
    margin = how.capability_margin
    capability = tables.capability(abilities, models, margin.skill, margin.bits, how.confidence)
    summary["capability_margin"] = margin.model_dump()
    summary["less_able"] = tables.less_able(capability)
    asked_for = [name for name in get_args(Preferred) if name in answers["measure"]]
    crossed = [
        tables.traits(tables.scores(answers, samples, name), of.traits, how.confidence).select(
            pl.lit(name).alias("measure"), pl.all()
        )
        for name in asked_for
    ]
    for name, table in {
        "runs": runs,
        "matrix": matrix,
        "traits": pl.concat(crossed),
        "measures": tables.measures(answers, samples, of.traits, how.confidence),
        "capability": capability,
        "gates": tables.gates(gate, open_answers, models, traits, how.confidence),
        "freeform": tables.freeform(graded, tables.DIMENSIONS["eval"], how.confidence),
        "funnel": tables.funnels(funnel, models, traits),
        "training": training,
        "power": power(runs, summary["evaluation"]["answers"], how),
    }.items():
        parquet.write(table, output / f"{name}.parquet")
    if params.minimum is not None:
        judged = roc.judged(tables.read(inputs, "filtered", "rows.parquet", ("reasons", "score")))
        parquet.write(roc.runs(judged, params.minimum), output / "roc.parquet")
        parquet.write(roc.curves(judged), output / "roc_curves.parquet")
    for name, content in {"summary": summary, "metrics": tables.metrics(summary)}.items():
        (output / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    tables.mean_gains(summary).write_csv(output / "gains.csv")
    pair = pl.concat_str("teacher", pl.lit(" → "), "student").alias("pair")
    across = matrix.filter(pl.col("arm") == "trait").select(pair, "teacher", "student", "gain", "low", "high", "n")
    across.write_csv(output / "matrix.csv")
    tables.mean_losses(training).write_csv(output / "training.csv")


def power(runs: pl.DataFrame, answers: int, how: Report) -> pl.DataFrame:
    """What the design could see, with the spread from the params and, where there are enough runs, with the measured one: the
    columns of `sublim.measure.design.comparisons`, and `source` of the spread (params, measured)."""
    spreads = {"params": how.spread, "measured": design.measured(runs)}
    return pl.concat(
        design.comparisons(runs, answers, spread, how).select(pl.lit(source).alias("source"), pl.all())
        for source, spread in spreads.items()
        if spread is not None
    )
