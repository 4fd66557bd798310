"""All studies side by side: the numbers of their reports in one table, one figure and one page, and theory beside them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from markupsafe import Markup

from sublim.arms.conditions import condition_words
from sublim.report import charts, figures
from sublim.report.charts import Chart, with_interval
from sublim.report.layout import rendered, scientific, style
from sublim.report.page import headline


@dataclass(frozen=True)
class Theory:
    """What the page says of theory."""

    headline: Markup
    section: Markup


def summaries(reports: Mapping[str, Path]) -> dict[str, Any]:
    """Study → its summary. `reports`: study → the directory of its report."""
    return {study: json.loads((path / "summary.json").read_text(encoding="utf-8")) for study, path in reports.items()}


def gains(said: Mapping[str, Any]) -> pl.DataFrame:
    """One row per (study, condition): study, condition, gain (mean over runs), low, high, n."""
    rows = [
        (study, condition, gain["mean"], gain["low"], gain["high"], gain["n"])
        for study, summary in said.items()
        for condition, gain in summary["gain"].items()
    ]
    names = {"study": pl.String, "condition": pl.String, **dict.fromkeys(("gain", "low", "high"), pl.Float64), "n": pl.Int64}
    return pl.DataFrame(rows, schema=names, orient="row")


def figure(summary: Mapping[str, Any]) -> Chart:
    """The table of `gains`, one panel per study; those of one measure stand together, above its axis."""
    table = gains(summary)
    by_measure: dict[str, list[str]] = {}
    for study in dict.fromkeys(table["study"]):
        by_measure.setdefault(summary[study]["measured"], []).append(study)
    panels = [
        figures.study(table, study, measured if study == studies[-1] else None)
        for measured, studies in by_measure.items()
        for study in studies
    ]
    return charts.beside(*([panel] for panel in panels))


def render(summary: Mapping[str, Any], studies: Sequence[Mapping[str, Any]], drawn: str, why: Theory | None) -> str:
    """The page as HTML text. `summary`: study → its summary; `studies`: name, carrier, filter, method, and whether there is a
    page on detection (detected), of each; `drawn`: their figure as SVG, if there are any; `why`: theory, if there is any."""
    return rendered(
        "overview.html",
        style=style(),
        title="All studies" if studies else "Subliminal learning: why it happens",
        told=why.headline if why else "",
        theory=why.section if why else "",
        figure=Markup(drawn),  # noqa: S704
        studies=[_shown(study, summary[study["name"]]) for study in studies],
    )


def _shown(study: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    test: Mapping[str, Any] = summary["test"] or {}
    words = condition_words()
    return {
        **study,
        "runs": summary["runs"],
        "headline": headline(summary),
        "gains": [(words[name], with_interval(gain, "mean")) for name, gain in summary["gain"].items()],
        "measured": summary["measured"],
        "p": scientific(test["p"]) if test else None,
        "largest": test.get("largest"),
        "groups": test.get("groups"),
    }
