"""The stage `overview`: the reports of all studies side by side, and theory."""

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from sublim.common import parquet
from sublim.common.progress import Progress
from sublim.report import charts, overview, theory
from sublim.stages.overview.rows import TABLES, Slice

READS: Mapping[str, tuple[str, ...]] = {
    "report": ("summary.json", "metrics.json", "gains.csv", "matrix.csv", "training.csv"),
    "theory": ("nets.parquet", "theorem.parquet"),
}  #: Stage → the files that are read.
_THEORY = "theory/of="


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write metrics.json, each figure as SVG and PNG, and overview.html. Of studies there are studies.parquet, what `dvc plots
    show` draws (gains, matrix, training: CSV) and the figure overview; of theory the tables mlp, mlp_nets, theorem and
    theorem_steps and the figures mlp and theorem.

    `inputs`: study → directory of its report; cell → directory, of the stage theory."""
    track = progress.start("overview", 3, "part")
    tables_of(inputs, params, output)
    track.advance(note="tables")
    why = theory.read(output)
    studied = overview.summaries(_reports(inputs, params))
    found = {"overview": overview.figure(studied)} if studied else {}
    found |= theory.papers(why) if why else {}
    drawn = charts.save(found, output)
    track.advance(note="figures")
    (output / "overview.html").write_text(page_of(inputs, params, output, drawn), encoding="utf-8")
    track.advance(note="page")


def page_of(inputs: Mapping[str, Path], params: Slice, output: Path, drawn: Mapping[str, str] | None) -> str:
    """The page of the overview whose tables are in `output`. `drawn`: its figures as SVG; None for their places alone."""
    studied, why = overview.summaries(_reports(inputs, params)), theory.read(output)
    about, said = "gain in each condition of each study", None
    figure = charts.inline(drawn["overview"], about) if studied and drawn is not None else charts.place(about)
    if why is not None:
        said = overview.Theory(theory.headline(why), theory.section(why, params.confidence, drawn=drawn is not None))
    return overview.render(studied, [study.model_dump() for study in params.studies], figure, said)


def tables_of(inputs: Mapping[str, Path], params: Slice, output: Path) -> None:
    """Write the files of the overview that hold numbers into `output`. The audit compares them."""
    reports = _reports(inputs, params)
    cells = {cell.removeprefix(_THEORY): path for cell, path in sorted(inputs.items()) if cell.startswith(_THEORY)}
    found = theory.tables_of(cells, params.confidence)
    if reports:
        found["studies"] = overview.gains(overview.summaries(reports))
    parquet.write_tables(parquet.by_table(TABLES, found), params.dims, output)
    metrics = {study: json.loads((path / "metrics.json").read_text(encoding="utf-8")) for study, path in reports.items()}
    metrics |= {f"{_THEORY}{name}": numbers for name, numbers in theory.metrics(found).items()}
    (output / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    for name, label in (("gains", "what"), ("matrix", "pair"), ("training", None)) if reports else ():
        parts = {study: pl.read_csv(path / f"{name}.csv") for study, path in reports.items()}
        labelled = [part.select(pl.lit(study).alias("study"), pl.all()) for study, part in parts.items()]
        table = pl.concat(labelled, how="diagonal_relaxed")
        if label and len(reports) > 1:
            table = table.with_columns(pl.concat_str("study", label, separator=": ").alias(label))
        table.write_csv(output / f"{name}.csv")


def _reports(inputs: Mapping[str, Path], params: Slice) -> dict[str, Path]:
    """Study → directory of its report, in the order of the inputs."""
    studies = {study.name for study in params.studies}
    return {name: path for name, path in inputs.items() if name in studies}
