"""What an experiment could see, from its file alone: `sublim power`."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sublim.arms.conditions import condition
from sublim.engine import layout
from sublim.engine.stage import Dims
from sublim.params.experiment import Experiment
from sublim.params.report import Report, Spread
from sublim.params.study import Study
from sublim.report import design
from sublim.report.tables import measured as measured_of
from sublim.stages.report.rows import Runs
from sublim.stats.power import POWER
from sublim.traits.freeform import free_form

_DIMS = ("teacher", "trait", "arm", "student", "seed")


@dataclass(frozen=True)
class Power:
    """What the design of a study could see, and what was assumed."""

    study: str
    source: str  #: Where the spread is from: `params`, or the path of the runs that it was measured on.
    spread: Spread
    how: Report
    measured: str  #: What a gain is a gain of.
    comparisons: pl.DataFrame  #: The table `sublim.report.design.Comparisons`.


def power(experiment: Experiment, dims: Iterable[Dims] | None = None) -> list[Power]:
    """What each study (or each whose report has one of `dims`) could see: with the spread of its own finished runs, where this
    directory has a report of just these and enough of them, else with that of the params."""
    names = experiment.studies if dims is None else [str(each["study"]) for each in dims]
    return [_power(experiment, name, experiment.studies[name]) for name in names]


def _power(experiment: Experiment, name: str, study: Study) -> Power:
    dims = [{key: value for key, value in each.items() if key in _DIMS} for each in experiment.trained(study)]
    planned = pl.DataFrame(dims, schema=dict.fromkeys(_DIMS[:-1], pl.String) | {"seed": pl.Int64})
    runs = planned.select(*_DIMS, condition(), (pl.col("teacher") == pl.col("student")).alias("same_base"))
    answers = int(free_form(experiment.traits.values()) is not None) + sum(map(len, experiment.known_answers().values()))
    path = layout.artifact(f"report/study={name}") / Runs.file
    measured = _measured(planned, path)
    spread, source = (measured, str(path)) if measured else (experiment.report.spread, "params")
    asked = measured_of({trait: experiment.traits[trait].scored_as for trait in experiment.taught(study)})
    return Power(name, source, spread, experiment.report, asked, design.comparisons(runs, answers, spread, experiment.report))


def describe(designs: Sequence[Power], params: Path) -> str:
    """For each study a line per comparison, and what was assumed."""
    return "\n\n".join(_described(each, f"{params}, study {each.study}") for each in designs)


def _described(study: Power, params: str) -> str:
    rows = [_line(row, study.how.equivalence_margin) for row in study.comparisons.iter_rows(named=True)]
    if not rows:
        return f"{params}: nothing can be compared: every comparison needs two runs at least. Add seeds or traits."
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)]
    lines = ["  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]]) for row in rows]
    where = "report.spread in the params" if study.source == "params" else f"measured in {study.source}"
    return "\n".join(
        [
            f"{params}: the smallest gain in {study.measured} that is found in {POWER * 100:.0f} % of such experiments",
            *(f"  {line.rstrip()}" for line in lines),
            f"assumed: normal gains, independent runs; standard deviation {study.spread.same_base:.3g} between same-base runs,",
            f"  {study.spread.other:.3g} between others ({where}); in the trait table, a cell that moves alone;",
            "  equivalence: how often it is shown if there is nothing",
        ]
    )


def brief(designs: Sequence[Power]) -> str:
    """A line per study: what could be seen of students of the teacher's base, and how surely a null of others is shown."""
    lines = [f"{each.study}, {each.measured}: {', '.join(said)}" for each in designs if (said := list(_briefly(each)))]
    head = f"the smallest gain that is found in {POWER * 100:.0f} % of such experiments (what is assumed: `sublim power`)"
    return "\n  ".join([head, *lines]) if lines else ""


def _briefly(study: Power) -> Iterator[str]:
    rows = {row["what"]: row for row in study.comparisons.iter_rows(named=True)}
    for name in ("diagonal", "diagonal over off_diagonal"):
        if name in rows:
            yield f"{name} {_smallest(rows[name])}"
    if "off_diagonal" in rows:
        yield f"off_diagonal{_shown(rows['off_diagonal']['shown'], study.how.equivalence_margin).removeprefix(';')}"


def as_json(designs: Sequence[Power]) -> str:
    """The same as JSON."""
    said = {
        each.study: {
            "source": each.source,
            "measured": each.measured,
            "spread": each.spread.model_dump(),
            "confidence": each.how.confidence,
            "margin": each.how.equivalence_margin,
            "power": POWER,
            "comparisons": each.comparisons.to_dicts(),
        }
        for each in designs
    }
    return json.dumps(said, indent=1, ensure_ascii=False)


def _line(row: Mapping[str, Any], margin: float) -> tuple[str, ...]:
    cells = f"{row['cells']} cells of " if row["cells"] != 1 else ""
    unit, over = ("groups", "") if row["test"] == "permutation" else ("runs", f" over {row['against']}")
    how = f"{row['test'].replace('Benjamini-Hochberg', 'BH')}, α {row['level']:.2g}"
    return f"{row['what']}{over}", f"{cells}{row['n']} {unit}", how, f"{_smallest(row)}{_shown(row['shown'], margin)}"


def _smallest(row: Mapping[str, Any]) -> str:
    return "none: no possible gain" if row["smallest"] is None else f"{row['smallest']:.3f}"


def _shown(chance: float | None, margin: float) -> str:
    if chance is None:
        return ""
    share = "over 99" if chance > 0.99 else f"{chance * 100:.0f}"
    return f"; equivalence within ±{margin:g}: {share} %"


def _measured(planned: pl.DataFrame, path: Path) -> Spread | None:
    """The spread of the finished runs in `path`, if they are the planned ones. A damaged file says nothing: it is about to be
    mended."""
    try:
        runs = pl.read_parquet(path, hive_partitioning=False)
        same = set(runs.select(_DIMS).iter_rows()) == set(planned.select(_DIMS).iter_rows())
        return design.measured(runs) if same else None
    except (OSError, pl.exceptions.PolarsError):
        return None
