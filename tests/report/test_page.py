"""The page: self-contained, well-formed, and every number from the files."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from sublim.arms.conditions import condition_words
from sublim.common.progress import Progress
from sublim.evidence import again
from sublim.lineage.story import contents
from sublim.params.kinds import modules
from sublim.params.relatives import Relatives
from sublim.report import charts, figures, overview, page
from sublim.stages.report import make as report
from sublim.traits.freeform import MISALIGNED
from tests.shared.synthetic_report import Experiment, make, sliced

VOID = {"meta", "link", "br", "img", "input", "hr"}
OF = page.Names("numbers", {"a<b": "GPT-NeoX", "c": "<script>alert(1)</script>"}, {"fox": ("animals", "fox")})

EVERYTHING = Experiment(
    models=("a", "b"),
    traits={"fox": "fox", "cruel": MISALIGNED, "insecure": MISALIGNED},
    carrier="code",
    random=True,
    minimum=50.0,
    measures=tuple(modules("measures")),
    broken="b",
    probes=(1, 3),
    questions=2,
    samples=5,
    steps=3,
)
RELATIVES = [
    Relatives(teacher="a", student="a", trunk="a", share=1.0, way="both"),
    Relatives(teacher="a", student="b", trunk="a", share=0.5, way="order"),
    Relatives(teacher="b", student="a", trunk="a", share=0.25, way="order"),
    Relatives(teacher="b", student="b", trunk="a", share=0.0, way="mix"),
]


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
    params = sliced(experiment, OF.models, permutations=100_000)
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
        "margins",
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
    for what, files, columns, _ in page.SOURCES:
        if what in ("judge", "free-form answers", "dose", "shared history", "fit"):
            assert files.split(", ")[0] not in text
            continue
        assert all((directory / name).is_file() for name in files.split(", "))
        assert all(name in text for name in columns.split(", "))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> page.Written:
    """Of an experiment with all there is: code, a judge, random rows, traits of both kinds, students that broke, that are
    probed, and that are called relatives of their teachers."""
    output = tmp_path_factory.mktemp("report")
    report.tables_of(make(EVERYTHING, tmp_path_factory.mktemp("cells")), sliced(EVERYTHING, relatives=RELATIVES), output)
    return page.read(output)


def test_a_page_with_everything(everything: page.Written) -> None:
    of = report.names(sliced(EVERYTHING))
    html = page.render(everything, of, None)
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    links = {link.removeprefix("#") for link in reader.links if link.startswith("#")}
    assert "freeform" in links
    assert links == set(reader.ids)
    text = " ".join("".join(reader.text).split())
    assert "Filtered pieces of code changed a student’s P(target) or misaligned share by +" in text
    assert "where no model wrote them" in text
    assert "Whose pieces of code change whom" in text
    assert "writes numbers" not in text
    assert "data/report/study=code/matrix.svg" in text
    assert "same base (b: loss, b: skill/code)" in text
    for _, files, columns, _ in page.SOURCES:
        assert all(name in text for name in (*files.split(", "), *columns.split(", ")))
    for row in everything.capability.iter_rows(named=True):
        assert page.signed(row["change"], 3) in text
    for row in everything.roc.iter_rows(named=True):
        assert f"{row['auc']:.3f}" in text


def test_figures_that_stand_in_files_are_not_drawn_again(everything: page.Written) -> None:
    of = report.names(sliced(EVERYTHING))
    names = page.papers(everything, of)
    drawn = {
        name: f'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="5" viewBox="0 0 10 5"><title>{name}!</title></svg>'
        for name in names
    }
    html = page.render(everything, of, drawn)
    shared = [name for name in names if name.startswith("matrix") or name in ("traits", "equivalence", "history")]
    assert len(shared) > 2
    assert [name for name in names if f"<title>{name}!</title>" in html] == shared


def test_a_page_without_drawings_has_a_place_for_each_of_them(everything: page.Written) -> None:
    """So that the audit need not draw to know how many there are, and where."""
    of = report.names(sliced(EVERYTHING))
    drawn = dict.fromkeys(page.papers(everything, of), '<svg xmlns="http://www.w3.org/2000/svg"><title>a drawing</title></svg>')
    texts = [page.render(everything, of, each) for each in (drawn, None)]
    assert "<text" in texts[0]
    assert "<text" not in texts[1]
    assert again.drawings_as_places(texts[0]) == again.drawings_as_places(texts[1])


FOREIGN = {
    "script": "<script>alert(1)</script>",
    "module": '<script type="module" src="https://example.org/x.js"></script>',
    "frame": '<iframe src="https://example.org"></iframe>',
    "picture": '<img src="x" onerror="alert(1)">',
    "link": '<a href="javascript:alert(1)">more</a>',
    "style": '<link rel="stylesheet" href="https://example.org/x.css">',
    "object": '<object data="data:text/html,%3Cscript%3Ealert(1)%3C/script%3E"></object>',
    "refresh": '<meta http-equiv="refresh" content="0;url=https://example.org">',
    "drawing too many": '<svg xmlns="http://www.w3.org/2000/svg"><text>p = 0.0001</text></svg>',
    "loud drawing": "<SVG onload=alert(1)></SVG>",
    "drawing that loads": "<svg/onload=alert(1)></svg>",
    "drawing with a page": "<svg><foreignObject><iframe></iframe></foreignObject></svg>",
    "drawing in half": "<svg><text></svg><b>p = 0.0001</b></text>",
    "heading of no drawing": "<div><h3>p = 0.0001</h3></div>",
    "panel of no drawing": "<div></div>",
    "comment": "<!-- p = 0.0001 -->",
}


@pytest.fixture(scope="module")
def pages(everything: page.Written) -> tuple[str, str]:
    """The page as it is, and with places for drawings alone."""
    of = report.names(sliced(EVERYTHING))
    drawn = {name: charts.svg(chart) for name, chart in page.papers(everything, of).items()}
    return str(page.render(everything, of, drawn)), str(page.render(everything, of, None))


def unseen(text: str, pages: tuple[str, str], folder: Path) -> bool:
    """Whether a page passes for the one that was made again."""
    path = folder / "page.html"
    path.write_text(text, encoding="utf-8")
    return again.drawings_as_places(text) == again.drawings_as_places(pages[1]) and not [*contents.drawn(path)]


@pytest.mark.parametrize("what", FOREIGN)
def test_nothing_foreign_in_a_page_goes_unseen(pages: tuple[str, str], what: str, tmp_path: Path) -> None:
    """Before its end, inside of a text, inside and beside a drawing."""
    assert unseen(pages[0], pages, tmp_path)
    for place in ("</body>", "</h2>", "<svg ", "</svg>", "</text>", "</div>"):
        text = pages[0].replace(place, FOREIGN[what] + place, 1)
        assert text != pages[0]
        assert not unseen(text, pages, tmp_path), place


def test_no_drawing_of_a_page_is_left_out_or_called_something_else(pages: tuple[str, str], tmp_path: Path) -> None:
    drawings = re.findall(r"<svg\b.*?</svg>", pages[0], re.DOTALL)
    assert len(drawings) > 4
    said = "Gains of every run"
    for old, new in ((drawings[1], ""), (drawings[1], drawings[1] * 2), (drawings[0], drawings[-1]), (said, "Proof")):
        assert old in pages[0]
        assert not unseen(pages[0].replace(old, new, 1), pages, tmp_path)


@pytest.mark.parametrize("value", ["url(//x)", r"\75 rl(//x)", r"\75\72\6c(//x)", "src('//x')", "URL (//x)", "image-set('x')"])
def test_no_drawing_loads_anything_under_any_name(pages: tuple[str, str], value: str, tmp_path: Path) -> None:
    for attribute in ("stroke", "fill", "font-family", "transform"):
        text = pages[0].replace("<g ", f'<g {attribute}="{value}" ', 1)
        assert text != pages[0]
        assert not unseen(text, pages, tmp_path)


def test_what_students_can_still_do_is_drawn(everything: page.Written) -> None:
    of = report.names(sliced(EVERYTHING))
    assert {"capability", "roc"} <= page.papers(everything, of).keys()
    margin = everything.summary["capability_margin"]
    for measure, mark in (("loss", "bits per token"), ("skill/code", "share of held-out tasks done, code")):
        for model in of.models:
            own = everything.capability.filter(pl.col("measure") == measure, pl.col("student") == model)
            chart = figures.capability(everything.capability, measure, model, "", margin)
            chart.to_dict(validate=True)
            drawn = charts.svg(chart)
            assert mark in drawn
            assert all(f">{page.signed(row['change'])}<" in drawn for row in own.iter_rows(named=True))
            assert drawn.count("beyond the margin") == own["fell"].sum() == (model == "b")


def test_dose_and_shared_history_are_told_and_drawn(everything: page.Written, directory: Path) -> None:
    of = report.names(sliced(EVERYTHING))
    text = page.render(everything, of, None)
    fits = everything.summary["history"]["fits"]
    assert f"{fits['order']['a']['value']:.2f}" in text
    assert fits["mix"] is None
    assert "no fit: fewer than 3 different shares" in text
    assert "Controls themselves are set against their untrained base" in text
    curve = figures.dose(everything.doses, everything.dose_effects, "fox")
    history = figures.history(everything.history_runs, everything.history_points, everything.history_curves)
    for chart, marks in ((curve, "after 3 updates"), (history, "in common, fox, seed 1")):
        chart.to_dict(validate=True)
        assert marks in charts.svg(chart)
    assert {"dose", "history"} <= page.papers(everything, of).keys()
    assert not {"dose", "history"} & page.papers(page.read(directory), OF).keys()
    controls = {name: getattr(everything, name).filter(pl.col("condition") == "control") for name in ("doses", "dose_effects")}
    alone = page.render(replace(everything, **controls), of, None)
    assert "None of them was taught a trait" in alone
    assert "Controls themselves" not in alone


def test_misalignment_alone_is_no_probability_of_a_target(tmp_path: Path) -> None:
    experiment = Experiment(models=("a",), traits={"cruel": MISALIGNED}, carrier="cot", questions=2, samples=5, steps=3)
    report.tables_of(make(experiment, tmp_path / "cells"), sliced(experiment), tmp_path)
    written, of = page.read(tmp_path), report.names(sliced(experiment))
    html = page.render(written, of, None)
    assert "P(target)" not in html
    assert "chains of thought changed a student’s misaligned share by" in html
    drawn = {name: charts.svg(chart) for name, chart in page.papers(written, of).items()}
    assert not [name for name, text in drawn.items() if "P(target)" in text]
    assert "gain in misaligned share" in drawn["gains"]


def test_the_overview_says_of_each_study_what_was_measured(everything: page.Written, directory: Path) -> None:
    said = {"first": page.read(directory).summary, "second": everything.summary}
    drawn = charts.svg(overview.figure(said))
    assert drawn.count("gain in P(target)<") == drawn.count("gain in P(target) or misaligned share<") == 1
    assert "runs, " not in drawn
    html = overview.render(
        said,
        [{"name": name, "carrier": "carrier", "filter": "strict", "method": "hard", "detected": False} for name in said],
        "",
        None,
    )
    assert "Filtered numbers changed" in html
    assert "Filtered pieces of code changed" in html
    for gain in everything.summary["gain"].values():
        assert f'<td class="n">{page.with_interval(gain, "mean")}</td>' in html


def test_studies_of_one_measure_share_an_axis_and_show_their_own_conditions_alone(directory: Path) -> None:
    summary = page.read(directory).summary
    few = {**summary, "gain": {name: gain for name, gain in summary["gain"].items() if name in ("diagonal", "control")}}
    drawn = charts.svg(overview.figure({"first": summary, "third": {**summary, "measured": "misaligned share"}, "second": few}))
    assert [drawn.count(f"gain in {measured}<") for measured in ("P(target)", "misaligned share")] == [1, 1]
    assert drawn.index("first") < drawn.index("second") < drawn.index("third")
    for name in summary["gain"]:
        assert drawn.count(f">{condition_words()[name]}<") == (3 if name in few["gain"] else 2)


def test_every_trait_of_one_target_is_outlined(everything: page.Written) -> None:
    of = report.names(sliced(EVERYTHING))
    assert [target for _, target in of.traits.values()] == ["fox", MISALIGNED, MISALIGNED]
    same = everything.traits.filter(pl.col("condition") == "diagonal")
    assert charts.svg(figures.traits(same, of.traits, 0.5, 0.95)).count('stroke="#000000"') == 3


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
    chart = charts.svg(figures.traits(written.traits, OF.traits, 0.5, 0.95))
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
    assert list(charts) == [
        "matrix",
        "matrix_control",
        "gains",
        "traits",
        "margins",
        "capability",
        "equivalence",
        "gates",
        "funnel",
        "training",
    ]
    for chart in charts.values():
        chart.to_dict(validate=True)
