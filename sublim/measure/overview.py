"""All studies side by side: the numbers of their reports in one table, one figure and one page, and theory beside them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from sublim.measure import figures
from sublim.measure.figures import CONDITION_NAMES, Chart, with_interval
from sublim.measure.page import headline, scientific
from sublim.measure.template import STYLE

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title><style>{{ style }}</style></head>
<body>
<header><h1>{{ title }}</h1>{% if told %}<p class="headline">{{ told }}</p>{% endif %}</header>
<main>
{% if studies %}
<section>
<figure>{{ figure }}
<figcaption>Gain over the untrained base in each condition of each study: mean over runs with its t interval.
Numbers: <code>studies.parquet</code>, from the <code>summary.json</code> of each report.</figcaption></figure>
</section>
{% endif %}
{% for study in studies %}
<section id="{{ study.name }}">
<h2><a href="../report/study={{ study.name }}/report.html">{{ study.name }}</a></h2>
<p class="lead">carrier {{ study.carrier }} · filter {{ study.filter }} · students {{ study.method }} ·
{{ study.runs }} runs</p>
<p>{{ study.headline }}</p>
<table><thead><tr><th>condition</th><th class="n">gain in {{ study.measured }}</th></tr></thead><tbody>
{% for row in study.gains %}<tr><td>{{ row[0] }}</td><td class="n">{{ row[1] }}</td></tr>
{% endfor %}</tbody></table>
{% if study.p %}<p>Same base above other bases: p = {{ study.p }} ({{ study.largest }} of {{ study.groups }}
groups).</p>{% endif %}
{% if study.detected %}<p><a href="../detection/study={{ study.name }}/detection.html">Can anyone see it in the
data?</a></p>{% endif %}
</section>
{% endfor %}
{{ theory }}
</main>
</body>
</html>
"""


@dataclass(frozen=True)
class Named:
    """A study: its name, and what it is made of."""

    name: str
    carrier: str
    filter: str
    method: str
    detected: bool


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


def figure(said: Mapping[str, Any]) -> Chart:
    """The table of `gains`, one panel per study; those of one measure stand together, above its axis."""
    table = gains(said)
    by_measure: dict[str, list[str]] = {}
    for study in dict.fromkeys(table["study"]):
        by_measure.setdefault(said[study]["measured"], []).append(study)
    panels = [
        figures.study(table, study, measured if study == studies[-1] else None)
        for measured, studies in by_measure.items()
        for study in studies
    ]
    return figures.beside(*([panel] for panel in panels))


def render(said: Mapping[str, Any], studies: list[Named], drawn: str, why: Theory | None) -> str:
    """The page as HTML text. `drawn`: the figure of the studies as SVG, if there are any. `why`: what is said of theory,
    if there is any."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(PAGE).render(
        style=Markup(STYLE),  # noqa: S704
        title="All studies" if studies else "Subliminal learning: why it happens",
        told=why.headline if why else "",
        theory=why.section if why else "",
        figure=Markup(drawn),  # noqa: S704
        studies=[_shown(study, said[study.name]) for study in studies],
    )


def _shown(study: Named, summary: Mapping[str, Any]) -> dict[str, Any]:
    test: Mapping[str, Any] = summary["test"] or {}
    return {
        "name": study.name,
        "carrier": study.carrier,
        "filter": study.filter,
        "method": study.method,
        "detected": study.detected,
        "runs": summary["runs"],
        "headline": headline(summary),
        "gains": [(CONDITION_NAMES[name], with_interval(gain, "mean")) for name, gain in summary["gain"].items()],
        "measured": summary["measured"],
        "p": scientific(test["p"]) if test else None,
        "largest": test.get("largest"),
        "groups": test.get("groups"),
    }
