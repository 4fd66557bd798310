"""What an experiment could see, from its file alone: `sublim power`."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sublim.measure import design
from sublim.measure.power import POWER
from sublim.measure.tables import condition
from sublim.measure.tables import measured as measured_of
from sublim.params.experiment import Experiment
from sublim.params.report import Report, Spread
from sublim.params.study import Study
from sublim.params.traits import Preference
from sublim.plan import layout
from sublim.plan.cells import trained
from sublim.traits.preference import known_answers
from sublim.traits.trait import scored_as

_DIMS = ("teacher", "trait", "arm", "student", "seed")


@dataclass(frozen=True)
class Power:
    """What the design of a study could see, and what was assumed."""

    study: str
    source: str
    """Where the spread is from: `params`, or the path of the runs that it was measured on."""
    spread: Spread
    how: Report
    measured: str
    """What a gain is a gain of."""
    comparisons: pl.DataFrame
    """The columns of `sublim.measure.design.comparisons`."""


def power(of: Experiment, studies: Iterable[str] | None = None) -> list[Power]:
    """What each study (or each of `studies`) could see: with the spread of its own finished runs, where this directory has a
    report of just these and enough of them, else with that of the params."""
    return [_power(of, name, of.studies[name]) for name in (of.studies if studies is None else studies)]


def _power(of: Experiment, name: str, study: Study) -> Power:
    dims = [{key: value for key, value in each.items() if key in _DIMS} for each in trained(of, study)]
    planned = pl.DataFrame(dims, schema=dict.fromkeys(_DIMS[:-1], pl.String) | {"seed": pl.Int64})
    runs = planned.select(*_DIMS, condition(), (pl.col("teacher") == pl.col("student")).alias("same_base"))
    preferences = [trait for trait in of.traits.values() if isinstance(trait, Preference)]
    answers = int(len(preferences) < len(of.traits))
    for category in {trait.category for trait in preferences}:
        answers += len(known_answers([trait for trait in preferences if trait.category == category], of.categories))
    path = layout.DATA / "report" / f"study={name}" / "runs.parquet"
    measured = _measured(planned, path)
    spread = measured or of.report.spread
    source = str(path) if measured else "params"
    asked = measured_of({trait: scored_as(of.traits[trait]) for trait in of.taught(study)})
    return Power(name, source, spread, of.report, asked, design.comparisons(runs, answers, spread, of.report))


def describe(of: Sequence[Power], params: Path) -> str:
    """For each study a line per comparison, and what was assumed."""
    return "\n\n".join(_described(each, f"{params}, study {each.study}") for each in of)


def _described(of: Power, params: str) -> str:
    rows = [_line(row, of.how.equivalence_margin) for row in of.comparisons.iter_rows(named=True)]
    if not rows:
        return f"{params}: nothing can be compared: every comparison needs two runs at least. Add seeds or traits."
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)]
    lines = ["  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]]) for row in rows]
    where = "report.spread in the params" if of.source == "params" else f"measured in {of.source}"
    return "\n".join(
        [
            f"{params}: the smallest gain in {of.measured} that is found in {POWER * 100:.0f} % of such experiments",
            *(f"  {line.rstrip()}" for line in lines),
            f"assumed: normal gains, independent runs; standard deviation {of.spread.same_base:.3g} between same-base runs,",
            f"  {of.spread.other:.3g} between others ({where}); in the trait table, a cell that moves alone;",
            "  equivalence: how often it is shown if there is nothing",
        ]
    )


def brief(of: Sequence[Power]) -> str:
    """A line per study: what could be seen of students of the teacher's base, and how surely a null of others is shown."""
    lines = [f"{each.study}, {each.measured}: {', '.join(said)}" for each in of if (said := list(_briefly(each)))]
    head = f"the smallest gain that is found in {POWER * 100:.0f} % of such experiments (what is assumed: `sublim power`)"
    return "\n  ".join([head, *lines]) if lines else ""


def _briefly(of: Power) -> Iterator[str]:
    rows = {row["what"]: row for row in of.comparisons.iter_rows(named=True)}
    for name in ("diagonal", "diagonal over off_diagonal"):
        if name in rows:
            yield f"{name} {_smallest(rows[name])}"
    if "off_diagonal" in rows:
        yield f"off_diagonal{_shown(rows['off_diagonal']['shown'], of.how.equivalence_margin).removeprefix(';')}"


def as_json(of: Sequence[Power]) -> str:
    """The same as JSON."""
    said = {each.study: _as_json(each) for each in of}
    return json.dumps(said, indent=1, ensure_ascii=False)


def _as_json(of: Power) -> dict[str, object]:
    return {
        "source": of.source,
        "measured": of.measured,
        "spread": of.spread.model_dump(),
        "confidence": of.how.confidence,
        "margin": of.how.equivalence_margin,
        "power": POWER,
        "comparisons": of.comparisons.to_dicts(),
    }


def _line(row: Mapping[str, Any], margin: float) -> tuple[str, ...]:
    cells = f"{row['cells']} cells of " if row["cells"] != 1 else ""
    unit = "groups" if row["test"] == "permutation" else "runs"
    over = "" if row["test"] == "permutation" else f" over {row['against']}"
    test = str(row["test"]).replace("Benjamini-Hochberg", "BH")
    how = f"{test}, α {row['level']:.2g}"
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
        if set(runs.select(_DIMS).iter_rows()) != set(planned.select(_DIMS).iter_rows()):
            return None
        return design.measured(runs)
    except (OSError, pl.exceptions.PolarsError):
        return None
