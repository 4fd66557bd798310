"""Lineage and impact: what is named, what it came from, what it reaches, and the picture of it."""

import json
import os
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from sublim.cli.trace import app
from sublim.common.errors import SublimError
from sublim.evidence import index
from sublim.evidence.node import Node
from sublim.evidence.tree import working
from sublim.lineage.revision import revision
from sublim.lineage.trace.picture import graph, page
from sublim.lineage.trace.trace import Trace
from tests.shared.project import Project
from tests.shared.second_run import two_runs
from tests.shared.terminal import shown

RAW = "raw/teacher=a/trait=fox/carrier=numbers/seed=1"
ACROSS = "filtered/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=shuffled_across/seed=1"
EVAL = "eval/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=b/seed=1"
STUDENT = "student/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=b/seed=1"


@pytest.fixture(scope="module")
def here(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory is a copy of the finished experiment."""
    project = finished.copy(tmp_path_factory.mktemp("trace") / "project")
    back = Path.cwd()
    os.chdir(project.path)
    yield project.path
    os.chdir(back)


@pytest.fixture(scope="module")
def trace(here: Path) -> Trace:
    assert here.is_dir()
    return Trace(working())


def _rows(cell: str, file: str = "rows.parquet") -> pl.DataFrame:
    return pl.read_parquet(Path("data") / cell / file, hive_partitioning=False)


def _plain(trace: Trace, words: Sequence[str]) -> dict[str, Any]:
    """The answer but for how it was asked for and where."""
    return {**trace.lineage(words).json(trace.reader), "asked": "", "tree": ""}


def _names(node: Node, *kinds: str) -> set[str]:
    return {below.name for below in node.walk() if not kinds or below.kind in kinds}


def test_every_sampled_answer_reaches_the_corpus(trace: Trace) -> None:
    for cell in trace.tree.cells("eval"):
        for row_id in random.Random(1).sample(_rows(cell, "samples.parquet")["row_id"].to_list(), 3):
            answer = trace.lineage([row_id])
            assert answer.root.kind == "sample"
            student = trace.tree.records[cell].plan.dims["student"]
            assert f"base/model={student}/corpus.parquet" in _names(answer.root, "corpus")
            corpora = {node.facts["count"] for node in answer.root.walk() if node.kind == "corpus"}
            assert corpora == {6000}
            assert f"base/model={student}" in answer.cells


def test_a_sampled_answer_names_every_step(trace: Trace) -> None:
    row = _rows(EVAL, "samples.parquet").row(4, named=True)
    answer = trace.lineage([row["row_id"]])
    question = _rows(EVAL, "answers.parquet").filter(pl.col("question_id") == row["question_id"])["question"][0]
    assert answer.root.facts["question"] == question
    assert answer.root.facts["completion"] == row["completion"]
    chain = [node for node in answer.root.walk() if node.kind == "artifact" and not node.again]
    stages = ["eval", "student", "filtered", "raw", "teacher", "base", "base"]
    assert [node.name.split("/")[0] for node in chain] == stages
    student, filtered, raw = chain[1:4]
    steps = _rows(STUDENT, "steps.parquet")
    assert student.tables["by_step"]["rows"].to_list() == steps["rows"].to_list()
    used = set(steps["rows"].explode())
    assert used <= set(filtered.tables["rows"]["row_id"])
    assert set(raw.tables["rows"]["row_id"]) == set(filtered.tables["rows"]["parent_id"])
    assert (
        raw.tables["rows"].select("prompt", "sampling_seed", "temperature", "max_tokens").null_count().sum_horizontal()[0] == 0
    )
    made = answer.json(trace.reader)["artifacts"]
    assert set(made) == set(answer.cells)
    assert made[STUDENT]["params"]["finetune"]["steps"] == 3
    assert re.fullmatch("[0-9a-f]{40}", made[STUDENT]["environment"]["git"]["commit"])
    assert made["base/model=b"]["params"]["model"]["seed"] == 2


def test_lineage_and_impact_are_each_others_inverse(trace: Trace) -> None:
    choose = random.Random(2)
    raw = [row for cell in trace.tree.cells("raw") for row in choose.sample(_rows(cell)["row_id"].to_list(), 20)]
    raw += [row for cell in trace.tree.cells("filtered") for row in _rows(cell).filter("used")["parent_id"].to_list()[:4]]
    teaching = [row for cell in trace.tree.cells("teacher") for row in choose.sample(_rows(cell)["row_id"].to_list(), 5)]
    reached = {row: set(trace.impact([row]).cells) for row in (*raw, *teaching)}
    for cell in trace.tree.cells("eval"):
        came = trace.lineage([cell]).root
        tables = [node.tables for node in came.walk() if "rows" in node.tables or "by_step" in node.tables]
        trained_on = {row for of in tables if "by_step" in of for row in of["by_step"]["rows"].explode()}
        used = [
            of["rows"].filter(pl.col("row_id").is_in(list(trained_on)))
            for of in tables
            if "parent_id" in of.get("rows", pl.DataFrame())
        ]
        from_raw = {row for rows in used for row in (*rows["parent_id"], *rows["sources"].explode())}
        for row in raw:
            assert (row in from_raw) == (cell in reached[row]), (row, cell)
        for row in teaching:
            assert (row in trained_on) == (cell in reached[row]), (row, cell)
    assert any(EVAL in cells for cells in reached.values())
    assert not all(EVAL in cells for cells in reached.values())


def test_a_shuffled_row_has_its_sources(trace: Trace) -> None:
    rows = _rows(ACROSS).filter("used").to_dicts()
    assert any(len(set(row["sources"])) > 2 for row in rows)
    for row in rows:
        raw = [node for node in trace.lineage([row["row_id"]]).root.walk() if node.kind == "raw row"]
        assert sorted(node.name for node in raw) == sorted({row["parent_id"], *row["sources"]})
        assert {node.name for node in raw if node.relation == "source of numbers"} == set(row["sources"]) - {row["parent_id"]}
        for source in set(row["sources"]):
            assert row["row_id"] in _names(trace.impact([source]).root, "filtered row")


def test_impact_of_a_raw_row_names_the_steps(trace: Trace) -> None:
    row = _rows("filtered/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/seed=1").filter("used").row(0, named=True)
    answer = trace.impact([row["parent_id"]])
    student = next(node for node in answer.root.walk() if node.name == STUDENT)
    steps = _rows(STUDENT, "steps.parquet")
    expected = [step for step, rows in steps.select("step", "rows").iter_rows() for used in rows if used == row["row_id"]]
    assert student.facts["steps"] == expected != []
    assert "report/study=numbers/teacher=a/student=b/arm=trait" in answer.numbers
    assert "report/study=numbers/condition=off_diagonal" in answer.numbers
    assert "report/study=numbers/test" in answer.numbers
    assert "report/study=numbers/condition=control" not in answer.numbers


def test_a_rejected_row_reaches_nothing(trace: Trace) -> None:
    row = _rows(RAW).filter(~pl.col("row_id").is_in(_rows(ACROSS).filter("kept")["parent_id"].to_list()))["row_id"][0]
    answer = trace.impact([row])
    assert answer.cells == answer.numbers == ()
    rejected = [node for node in answer.root.walk() if node.kind == "filtered row"]
    assert len(rejected) == 3
    assert all(node.facts["reasons"] for node in rejected)
    assert "rejected: " in shown(trace, row, question="impact")


def test_impact_of_a_source_file(trace: Trace) -> None:
    for module, follow in (("likelihood", {"report", "overview"}), ("chat", {"filtered"})):
        answer = trace.impact([f"sublim/learn/{module}.py"])
        direct = {cell for cell, record in trace.tree.records.items() if f"sublim.learn.{module}" in record.plan.code}
        assert direct < set(answer.cells)
        assert {cell.split("/")[0] for cell in set(answer.cells) - direct} == follow
    figures = trace.impact(["sublim/report/figures.py"])
    assert figures.cells == ("report/study=numbers", "overview")
    assert trace.impact(["sublim.report.figures"]).cells == figures.cells


def test_impact_of_a_base_goes_through_its_numbers(trace: Trace) -> None:
    answer = trace.impact(["base/model=a"])
    assert EVAL in answer.cells  # student b learned from a's numbers
    assert "eval/teacher=none/trait=none/carrier=none/filter=none/arm=base/method=none/student=b/seed=0" not in answer.cells
    assert "report/study=numbers/teacher=b/student=b/arm=trait" not in answer.numbers
    assert "report/study=numbers/teacher=b/student=a/arm=trait" in answer.numbers


def test_a_corpus_row_is_in_every_base_with_that_corpus(trace: Trace) -> None:
    row = _rows("base/model=a", "corpus.parquet")["row_id"][5]
    answer = trace.lineage([row])
    assert set(answer.cells) == {"base/model=a", "base/model=b"}
    alone = trace.lineage(["base/model=a", row])
    assert alone.cells == ("base/model=a",)
    assert alone.root.facts["steps"]["base/model=a"]


def test_a_matrix_cell_has_its_runs_and_what_they_are_compared_with(trace: Trace) -> None:
    answer = trace.lineage(["teacher=a", "student=b"])
    assert answer.root.facts["runs"] == [EVAL]
    assert answer.root.facts["untrained"] == [
        "eval/teacher=none/trait=none/carrier=none/filter=none/arm=base/method=none/student=b/seed=0"
    ]
    assert answer.numbers == ("report/study=numbers/teacher=a/student=b/arm=trait",)
    matrix = _rows("report/study=numbers", "matrix.parquet").filter(teacher="a", student="b", arm="trait")
    assert answer.root.facts["gain"] == matrix["gain"][0]
    assert trace.lineage(["teacher=a", "student=b", "trait=fox", "seed=1"]).root.facts == answer.root.facts
    assert "base/model=a" in answer.cells
    assert "base/model=b" in answer.cells
    headline = trace.lineage(["condition=off_diagonal"])
    assert {EVAL, "eval/teacher=b/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=a/seed=1"} == set(
        headline.root.facts["runs"]
    )
    assert (
        trace.lineage(["test"]).root.facts["p"]
        == json.loads(Path("data/report/study=numbers/summary.json").read_text())["test"]["p"]
    )


def test_the_same_thing_by_path_cell_words_and_digest(trace: Trace) -> None:
    record = trace.tree.records[RAW]
    for words in (
        [RAW], [f"data/{RAW}"], [f"data/{RAW}/"], [str(Path(f"data/{RAW}").resolve())], [f"data/{RAW}/record.json"],
        RAW.split("/"), [record.key], [record.key[:10]], [record.digest[:12]],
    ):  # fmt: skip
        assert _plain(trace, words) == _plain(trace, [RAW]), words
    file = trace.lineage([record.outputs["rows.parquet"].sha256[:16]])
    assert file.root.name == f"{RAW}/rows.parquet"
    assert file.root.next[0].name == RAW
    assert _plain(trace, [f"data/{RAW}/rows.parquet"]) == _plain(trace, [file.root.name])
    module = trace.impact([record.plan.code["sublim.learn.sample"][:12]])
    assert module.root.name == "sublim/learn/sample.py"


def test_a_row_by_the_beginning_of_its_id(trace: Trace) -> None:
    row = _rows(RAW)["row_id"][9]
    for digits in (8, 10, 15, 16, 31):
        assert trace.lineage([row[:digits]]).root.name == row
    other = f"{row[:20]}{'0' * 12}"  # the index knows no more than its beginning
    with pytest.raises(SublimError, match="no row"):
        trace.lineage([other])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data/raw"], "holds 4 artifacts"),
        (["data"], "name one"),
        (["raw/teacher=a/trait=fax/carrier=numbers/seed=1"], "raw/teacher=a/trait=fox/carrier=numbers/seed=1"),
        ([f"data/{RAW}/row.parquet"], "rows.parquet"),
        (["teacher=a"], "student=…"),
        (["teacher=a", "student=z"], "no run of data"),
        (["teacher=a", "students=b"], "students=b"),
        (["condition=diagonl"], "condition=diagonal"),
        (["condition=diagonal", "seed=1"], "only study=… may stand"),
        (["0123456789abcdef0123456789abcdef"], "no row, file, artifact, key or module"),
        (["abc123"], "Row ids need 8 digits"),
        (["sublim/learn/chot.py"], "sublim/learn/chat.py"),
        (["nonsense"], "44 artifacts were searched"),
        ([RAW, "abcdefabcdef"], "no row"),
    ],
)
def test_what_is_not_there_or_not_clear_is_said(trace: Trace, words: list[str], message: str) -> None:
    with pytest.raises(SublimError, match=re.escape(message)):
        trace.lineage(words)


def test_a_digest_that_several_things_have_is_listed(trace: Trace) -> None:
    shared = trace.tree.records[EVAL].plan.code["sublim.common"]  # that of every empty module
    with pytest.raises(SublimError, match=r"begins the digest or id of \d+ things(?s:.)*code of sublim.common"):
        trace.lineage([shared[:20]])


def test_a_row_that_is_there_twice_is_not_guessed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    path = Path("data") / RAW / "rows.parquet"
    rows = _rows(RAW)
    pl.concat([rows, rows.slice(3, 1)]).write_parquet(path)
    with pytest.raises(SublimError, match="2 things"):
        Trace(working()).lineage([rows["row_id"][3]])
    assert Trace(working()).lineage([rows["row_id"][4]]).root.name == rows["row_id"][4]


def test_the_index_follows_the_data(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    rows, path = _rows(RAW), Path("data") / RAW / "rows.parquet"
    kept = Trace(working())
    assert kept.lineage([rows["row_id"][0]]).root.facts["prompt"] == rows["prompt"][0]
    rows.reverse().write_parquet(path)
    with pytest.raises(SublimError, match="Ask again"):
        kept.lineage([rows["row_id"][0]])
    assert Trace(working()).lineage([rows["row_id"][0]]).root.facts["prompt"] == rows["prompt"][0]
    rows.tail(100).write_parquet(path)
    with pytest.raises(SublimError, match="no row"):
        Trace(working()).lineage([rows["row_id"][0]])


def test_the_index_knows_every_row(trace: Trace) -> None:
    everywhere: dict[str, set[tuple[str, str, int]]] = {}
    for cell, file in index.covered(trace.tree):
        for number, row_id in enumerate(_rows(cell, file)["row_id"]):
            everywhere.setdefault(row_id, set()).add((cell, file, number))
    for row_id in random.Random(3).sample(sorted(everywhere), 300):
        found = trace.reader.own(row_id)
        places = {(place.cell, place.file, place.row) for each in found for place in each.places}
        assert places == everywhere[row_id]
        assert {row["row_id"] for each in found for row in each.rows} == {each.row_id for each in found} == {row_id}


def test_a_cut_off_index_is_made_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    row = _rows(RAW)["row_id"][0]
    expected = _plain(Trace(working()), [row])
    folder = index.FOLDER / index.identity(working(), index.marks(working()))
    for part in ("ids", "places", "rows"):
        whole = (folder / f"{part}.npy").read_bytes()
        for damaged in (whole[: len(whole) // 2], b"", b"not an array"):
            (folder / f"{part}.npy").write_bytes(damaged)
            assert _plain(Trace(working()), [row]) == expected
    assert len(list(index.FOLDER.iterdir())) <= index.KEPT


def test_an_unreadable_table_is_a_message(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    (Path("data") / STUDENT / "steps.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SublimError, match="sublim audit"):
        Trace(working()).lineage([STUDENT])
    (Path("data") / STUDENT / "record.json").write_text("{")
    with pytest.raises(SublimError, match="sublim audit"):
        Trace(working()).lineage([EVAL])


def test_a_tree_fits_80_columns_and_says_what_matters(trace: Trace) -> None:
    text = shown(trace, _rows(EVAL, "samples.parquet")["row_id"][0])
    assert max(map(len, text.splitlines())) <= 80
    said = " ".join(re.sub(r"[│├└─]", " ", text).split())
    for expected in (
        "trained on: filtered", "written by: teacher", "a corpus of 6,000 rows", "init seed 2", "learning_rate 0.005",
        "commit ", " modules)", "Python 3.",
    ):  # fmt: skip
        assert expected in said
    assert "\x1b[" not in text
    assert max(map(len, shown(trace, "base/model=a", question="impact").splitlines())) <= 80


def test_the_page_loads_nothing_and_holds_every_node(trace: Trace) -> None:
    text = page(trace.lineage(["teacher=a", "student=b"]), trace)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|src=|<link (?!rel=\"icon\" href=\"data:,\")", text)
    assert "default-src 'none'" in text
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    nodes = data["nodes"]
    assert {node["id"] for node in nodes} == {*trace.tree.records, *trace.numbers.all}
    chain = {nodes[number]["id"] for number in data["chain"]}
    answer = trace.lineage(["teacher=a", "student=b"])
    assert chain == {*answer.cells, *answer.numbers}
    assert [nodes[number]["id"] for number in data["start"]] == ["report/study=numbers/teacher=a/student=b/arm=trait"]
    for node in nodes:
        if node["id"] in trace.tree.records:
            record = trace.tree.records[node["id"]]
            assert node["record"]["key"] == record.key
            assert data["codes"][node["record"]["code"]] == record.plan.code
            assert data["environments"][node["record"]["environment"]] == record.environment
            assert node["record"]["outputs"] == [[name, file.size, file.sha256] for name, file in record.outputs.items()]


def test_the_picture_leaves_out_no_path(trace: Trace) -> None:
    made = graph(trace)

    def above(name: str) -> set[str]:
        found: set[str] = set()
        waiting = [name]
        while waiting:
            for used in made[waiting.pop()]:
                if used not in found:
                    found.add(used)
                    waiting.append(used)
        return found

    for cell in trace.tree.records:
        reached = {name for name in above(cell) if name in trace.tree.records}
        assert reached == set(trace.lineage([cell]).cells) - {cell}


def test_a_page_with_markup_in_its_rows_is_safe(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    rows = _rows(RAW).with_columns(pl.lit("</script><script>alert(1)</script><!--").alias("completion"))
    rows.write_parquet(Path("data") / RAW / "rows.parquet")
    traced = Trace(working())
    text = page(traced.lineage([rows["row_id"][0]]), traced)
    assert text.count("</script>") == 2
    assert "<!--" not in text


def test_commands(here: Path) -> None:
    assert here.is_dir()
    runner = CliRunner()
    row = _rows(RAW)["row_id"][0]
    said = runner.invoke(app, ["lineage", row], env={"COLUMNS": "80"})
    assert said.exit_code == 0, said.output
    assert f"raw row {row}" in said.output
    answer = json.loads(runner.invoke(app, ["impact", row, "--json"]).output)
    assert set(answer) == {"question", "asked", "tree", "root", "numbers", "artifacts"}
    assert set(answer["root"]) == {"kind", "name", "relation", "facts", "again", "next"}
    drawn = runner.invoke(app, ["lineage", "report", "--html", "picture.html"])
    assert "44 artifacts, of which 43 are in this lineage" in drawn.output  # the overview is made from the report
    assert Path("picture.html").read_text().startswith("<!doctype html>")
    everything = json.loads(runner.invoke(app, ["lineage", STUDENT, "--json"]).output)
    assert len(everything["root"]["facts"]["by_step"]) == 3
    assert everything["root"]["next"][0]["facts"]["rows"][0]["row_id"] in str(everything["root"]["facts"]["by_step"])


@pytest.mark.timeout(300)
def test_a_revision_answers_as_its_data_did(
    finished: Project, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = finished.copy(tmp_path / "before")
    project = two_runs(finished, tmp_path_factory).copy(tmp_path / "after")
    monkeypatch.chdir(before.path)
    then = Trace(working())
    row = _rows("filtered/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/seed=1").filter("used")["row_id"][0]
    asked = (["teacher=a", "student=b"], [row], [_rows(EVAL, "answers.parquet")["row_id"][3]])
    expected = [_plain(then, words) for words in asked]
    reached = then.impact([row]).json(then.reader)
    monkeypatch.chdir(project.path)
    past = Trace(revision("first"))
    for words, answer in zip(asked, expected, strict=True):
        assert _plain(past, words) == answer
    assert {**past.impact([row]).json(past.reader), "tree": "data"} == reached
    now = Trace(working())
    assert now.lineage(asked[0]).root.facts["gain"] != expected[0]["root"]["facts"]["gain"]
    latest = Trace(revision("second"))
    assert _plain(latest, asked[0]) == _plain(now, asked[0])
