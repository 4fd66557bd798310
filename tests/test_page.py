"""The page: self-contained, well-formed, and every number from the files."""

from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from sublim.common.progress import Progress
from sublim.measure import figures, page
from sublim.params.report import Report
from sublim.params.slices.report import ReportedModel, ReportedTrait, Slice
from sublim.stages import report
from tests.synthetic_report import Experiment, make

VOID = {"meta", "link", "br", "img", "input", "hr"}
OF = page.Experiment({"a<b": "GPT-NeoX", "c": "<script>alert(1)</script>"}, {"fox": ("animals", "fox")})


class Reader(HTMLParser):
    """Open elements, ids, links and text of a page; an element closed out of turn is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        named = dict(attrs)
        self.ids += [named["id"] or ""] if "id" in named else []
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    experiment = Experiment(models=("a<b", "c"), traits={"fox": "fox"}, questions=3, samples=5, steps=20)
    output = tmp_path_factory.mktemp("report")
    models = tuple(ReportedModel(name=name, label=label) for name, label in OF.models.items())
    traits = (ReportedTrait(name="fox", category="animals", target="fox"),)
    params = Slice(study="numbers", models=models, traits=traits, minimum=None, report=Report())
    report.make(make(experiment, tmp_path_factory.mktemp("cells")), params, output, Progress())
    return output


@pytest.fixture(scope="module")
def html(directory: Path) -> str:
    return (directory / "report.html").read_text(encoding="utf-8")


def test_the_page_is_well_formed(html: str) -> None:
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    sections = {
        "matrix",
        "gains",
        "traits",
        "measures",
        "nulls",
        "gates",
        "funnel",
        "training",
        "experiment",
        "reproduce",
        "limits",
    }
    assert sections <= set(reader.ids)
    assert {link.removeprefix("#") for link in reader.links if link.startswith("#")} == sections


def test_the_page_needs_nothing_else(html: str) -> None:
    reader = Reader()
    reader.feed(html)
    assert all(link.startswith(("#", "data:")) for link in reader.links)
    assert "script" not in reader.seen
    assert "@import" not in html
    assert "http" not in html.replace("http://www.w3.org/", "")


def test_names_are_text_and_not_markup(html: str) -> None:
    assert "&lt;script&gt;alert(1)" in html
    assert "<script" not in html
    assert "a<b" not in html


def test_numbers_are_those_of_the_files(directory: Path, html: str) -> None:
    written = page.read(directory)
    reader = Reader()
    reader.feed(html)
    text = "".join(reader.text)
    for gain in written.summary["gain"].values():
        assert page.signed(gain["mean"]) in text
    for row in written.runs.iter_rows(named=True):
        assert f"{row['p_target']:.3f}" in text
        assert page.signed(row["gain"], 3) in text
        assert row["cell"] in text
    for row in written.matrix.iter_rows(named=True):
        assert page.with_interval(row, "gain") in html
    for rows in written.funnel["rows"]:
        assert f"{rows:,}" in text
    for _, files, columns, _ in page.SOURCES:
        assert all((directory / name).is_file() for name in files.split(", "))
        assert all(name in text for name in columns.split(", "))


def test_the_headline_tells_the_summary(directory: Path) -> None:
    summary = page.read(directory).summary
    told = str(page.headline(summary)).replace("<b>", "").replace("</b>", "")
    assert f"by {page.signed(summary['gain']['diagonal']['mean'])} when they came from a teacher of its own base" in told
    assert f"{summary['test']['largest']} of {summary['test']['groups']} groups" in told
    assert f"p = {page.scientific(summary['test']['p'])}, exact" in told
    assert "permutation" not in page.headline({**summary, "test": None})


def test_no_transmission_is_said_only_where_it_is_shown(directory: Path, html: str) -> None:
    written = page.read(directory)
    for verdict, words in (
        ("no transmission within ±0.03", "Between bases no transmission within ±0.03 is shown"),
        ("not shown", "Between bases neither transmission nor its absence (within ±0.03) is shown"),
        ("transmission", "Between bases there is transmission"),
    ):
        tests = written.summary["equivalence"]
        across = {**tests["all"]["off_diagonal"], "verdict": verdict}
        summary = {**written.summary, "equivalence": {**tests, "all": {**tests["all"], "off_diagonal": across}}}
        assert words in str(page.headline(summary)).replace("<b>", "").replace("</b>", "")
    for own in (written.summary["equivalence"]["all"], *written.summary["equivalence"]["by_student"].values()):
        for test in own.values():
            assert f"<td>{test['verdict']}</td>" in html
            seen = "nothing" if test["smallest"] is None else f"{test['smallest']:.3f}"
            assert f'<td class="n">{seen}</td>' in html


def test_cells_of_the_trait_table_are_starred_by_their_q(directory: Path) -> None:
    written = page.read(directory)
    chart = figures.svg(figures.traits(written.traits, ["fox"], 0.5, 0.95))
    starred = written.traits.filter(pl.col("q") <= 0.05)
    assert 0 < len(starred) < len(written.traits)
    assert chart.count("*</text>") == len(starred)


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.5, "0.5"), (0.0312, "0.031"), (0.001, "0.001"), (2.58e-9, "2.6 × 10⁻⁹"), (9.99e-4, "1.0 × 10⁻³"), (0, "0")],
)
def test_p_is_printed_as_in_a_paper(p: float, text: str) -> None:
    assert page.scientific(p) == text


def test_every_figure_is_valid_vega_lite(directory: Path) -> None:
    charts = page.papers(page.read(directory), OF)
    assert list(charts) == ["matrix", "matrix_control", "gains", "traits", "equivalence", "gates", "funnel", "training"]
    for chart in charts.values():
        chart.to_dict(validate=True)
