"""The stage `overview`: the reports of all studies side by side, and theory."""

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from sublim.common import parquet
from sublim.common.progress import Progress
from sublim.measure import figures, overview, theory
from sublim.params.slices.overview import Slice


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write metrics.json, each figure as SVG and PNG, and overview.html. Of studies there are studies.parquet, what `dvc plots
    show` draws (gains, matrix, training: CSV) and the figure overview; of theory the tables mlp, mlp_nets, theorem and
    theorem_steps and the figures mlp and theorem.

    Args:
        inputs: study → directory of its report; cell → directory, of the stage theory.
        params: the studies, and what each is made of.
        output: an empty directory.
        progress: counts the parts.
    """
    track = progress.start("overview", 3, "part")
    tables_of(inputs, params, output)
    track.advance(note="tables")
    why = theory.read(output)
    studied = overview.summaries(_reports(inputs, params))
    charts = {"overview": overview.figure(studied)} if studied else {}
    charts |= theory.papers(why) if why else {}
    drawn = {name: figures.svg(chart) for name, chart in charts.items()}
    for name, text in drawn.items():
        (output / f"{name}.svg").write_text(text, encoding="utf-8")
        (output / f"{name}.png").write_bytes(figures.png(text))
    track.advance(note="figures")
    (output / "overview.html").write_text(page_of(inputs, params, output, drawn), encoding="utf-8")
    track.advance(note="page")


def page_of(inputs: Mapping[str, Path], params: Slice, output: Path, drawn: Mapping[str, str] | None) -> str:
    """The page of the overview whose tables are in `output`. `drawn`: its figures as SVG; None for a page with empty ones."""
    named = [overview.Named(study.name, study.carrier, study.filter, study.method, study.detected) for study in params.studies]
    studied, why = overview.summaries(_reports(inputs, params)), theory.read(output)
    figure = "<svg ></svg>"
    if studied and drawn:
        figure = figures.inline(drawn["overview"], "overview", "gain in each condition of each study")
    said = None
    if why is not None:
        said = overview.Theory(theory.headline(why), theory.section(why, params.confidence, drawn=drawn is not None))
    return overview.render(studied, named, figure, said)


def tables_of(inputs: Mapping[str, Path], params: Slice, output: Path) -> None:
    """Write the files of the overview that hold numbers into `output`. The audit compares them."""
    reports = _reports(inputs, params)
    found = theory.tables_of(inputs, params.confidence)
    for name, table in found.items():
        parquet.write(table, output / f"{name}.parquet")
    metrics = {study: json.loads((path / "metrics.json").read_text(encoding="utf-8")) for study, path in reports.items()}
    (output / "metrics.json").write_text(json.dumps(metrics | theory.metrics(found), indent=2) + "\n", encoding="utf-8")
    if reports:
        _tables_of_studies(reports, output)


def _tables_of_studies(reports: Mapping[str, Path], output: Path) -> None:
    parquet.write(overview.gains(overview.summaries(reports)), output / "studies.parquet")
    for name, label in (("gains", "what"), ("matrix", "pair"), ("training", None)):
        parts = [
            pl.read_csv(path / f"{name}.csv").select(pl.lit(study).alias("study"), pl.all()) for study, path in reports.items()
        ]
        table = pl.concat(parts, how="diagonal_relaxed")
        if label and len(reports) > 1:
            table = table.with_columns(pl.concat_str("study", label, separator=": ").alias(label))
        table.write_csv(output / f"{name}.csv")


def _reports(inputs: Mapping[str, Path], params: Slice) -> dict[str, Path]:
    """Study → directory of its report, in the order of the inputs."""
    studies = {study.name for study in params.studies}
    return {name: path for name, path in inputs.items() if name in studies}
