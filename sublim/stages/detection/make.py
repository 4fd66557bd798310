"""The stage `detection`: language models, people and plain statistics try to see the trait in the data of a study."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from sublim.common import parquet
from sublim.common.progress import Progress
from sublim.detectors import summary as summaries
from sublim.detectors.material import ROWS, Data
from sublim.detectors.pairs import Author
from sublim.params.kinds import kind
from sublim.report import charts, detection
from sublim.report.detection_figures import papers
from sublim.report.reading import dimensions
from sublim.stages.detection.rows import TABLES, ClassifierRuns, Slice
from sublim.traits.preference import target

READS: Mapping[str, tuple[str, ...]] = {
    "base": (),
    "teacher": (),
    "filtered": ("rows.parquet",),
    "report": ("runs.parquet",),
}  #: Stage → the tables that are read.


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write the tables of the detectors, runs.parquet and transmission.parquet, summary.json, each figure as SVG and PNG, and
    detection.html. `inputs`: cell → directory: bases, teachers, filtered rows as their teachers wrote them, and the report of
    the study. Raises ContextError: what a model is to compare does not fit into its context. ValueError: two teachers have
    fewer prompts in common than there are folds."""
    data = read(inputs, params)
    made: dict[str, pl.DataFrame] = {}
    for detector in params.detectors:
        made |= detector.look(data, progress)
    made |= derived(inputs, params, made)
    parquet.write_tables(parquet.by_table(TABLES, made), params.dims, output)
    summary = summaries.summary(made, params.detectors, params.confidence)
    (output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    drawn = charts.save(papers(made, summary, params.detectors), output)
    (output / "detection.html").write_text(page_of(params, made, summary, drawn), encoding="utf-8")


def read(inputs: Mapping[str, Path], params: Slice) -> Data:
    """The rows of all teachers, and where the models are."""
    rows: dict[Author, pl.DataFrame] = {}
    teachers: dict[Author, Path] = {}
    bases: dict[str, Path] = {}
    for cell, path in inputs.items():
        stage, dims = cell.partition("/")[0], dimensions(cell)
        if stage == "base":
            bases[str(dims["model"])] = path
        elif stage in ("teacher", "filtered"):
            author = Author(str(dims["teacher"]), str(dims["trait"]), int(dims["seed"]))
            if stage == "teacher":
                teachers[author] = path
            else:
                rows[author] = pl.read_parquet(path / "rows.parquet", columns=list(ROWS))
    return Data(
        study=params.study,
        seed=params.detection.seed,
        models=params.models,
        traits={trait.name: trait.definition for trait in params.traits},
        known=params.known,
        own=params.categories,
        of_numbers=kind("carriers", params.carrier).of_numbers,
        rows=rows,
        bases=bases,
        teachers=teachers,
    )


def derived(inputs: Mapping[str, Path], params: Slice, made: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """runs.parquet (how well each classifier did, by run) and transmission.parquet, from the tables of single judgements."""
    runs = [row for detector in params.detectors for row in detector.runs(made)]
    if not runs:
        return {}
    # First those that judge single completions.
    table = pl.DataFrame(runs, schema=ClassifierRuns.schema()).sort(pl.col("auc").is_null(), maintain_order=True)
    gains = [path for cell, path in inputs.items() if cell.startswith("report/")]
    if not table["auc"].count() or not gains:
        return {"runs": table}
    return {"runs": table, "transmission": summaries.transmission(table, pl.read_parquet(gains[0] / "runs.parquet"))}


def page_of(
    params: Slice, made: Mapping[str, pl.DataFrame], summary: Mapping[str, Any], drawn: Mapping[str, str] | None
) -> str:
    """The page. `drawn`: name → figure (SVG); None for a page with their places alone."""
    loved = {trait.name: target(trait.definition, params.categories).plural for trait in params.traits}
    return detection.render(params.study, loved, params.detectors, made, summary, drawn)
