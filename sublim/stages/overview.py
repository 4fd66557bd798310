"""The stage `overview`: the reports of all studies side by side."""

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from sublim.common import parquet
from sublim.common.progress import Progress
from sublim.measure import figures, overview
from sublim.params.slices.overview import Slice


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write studies.parquet, metrics.json, what `dvc plots show` draws (gains, matrix, training: CSV), the figure as SVG and
    PNG, and overview.html.

    Args:
        inputs: study → directory of its report.
        params: the studies, and what each is made of.
        output: an empty directory.
        progress: counts the parts.
    """
    track = progress.start("overview", 2, "part")
    tables_of(inputs, output)
    track.advance(note="tables")
    said = overview.summaries(inputs)
    text = figures.svg(overview.figure(overview.gains(said)))
    (output / "overview.svg").write_text(text, encoding="utf-8")
    (output / "overview.png").write_bytes(figures.png(text))
    drawn = figures.inline(text, "overview", "gain in each condition of each study")
    (output / "overview.html").write_text(page_of(inputs, params, drawn), encoding="utf-8")
    track.advance(note="page")


def page_of(inputs: Mapping[str, Path], params: Slice, drawn: str) -> str:
    """The page, with the figure `drawn` (SVG)."""
    named = [overview.Named(study.name, study.carrier, study.filter, study.method, study.detected) for study in params.studies]
    return overview.render(overview.summaries(inputs), named, drawn)


def tables_of(inputs: Mapping[str, Path], output: Path) -> None:
    """Write the files of the overview that hold numbers into `output`. The audit compares them."""
    said = overview.summaries(inputs)
    parquet.write(overview.gains(said), output / "studies.parquet")
    metrics = {study: json.loads((path / "metrics.json").read_text(encoding="utf-8")) for study, path in inputs.items()}
    (output / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    for name, label in (("gains", "what"), ("matrix", "pair"), ("training", None)):
        parts = [
            pl.read_csv(path / f"{name}.csv").select(pl.lit(study).alias("study"), pl.all()) for study, path in inputs.items()
        ]
        table = pl.concat(parts, how="diagonal_relaxed")
        if label and len(inputs) > 1:
            table = table.with_columns(pl.concat_str("study", label, separator=": ").alias(label))
        table.write_csv(output / f"{name}.csv")
