"""X, whatever a person calls it: every command that takes a thing takes the same names, and says what is near the others."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from sublim.cli.main import app
from sublim.common.canonical import digest, row_id
from sublim.common.errors import SublimError
from sublim.common.files import sha256
from sublim.engine.record import Input, Output, Plan, Record
from sublim.engine.verdict import Cell, Verdict
from sublim.evidence.node import Number
from sublim.evidence.reader import Found, Reader
from sublim.evidence.telling import Numbers
from sublim.evidence.tree import Tree, working
from sublim.lineage.naming import Artifact, SourceFile, Target, artifact, artifacts, resolve
from sublim.lineage.replay import chosen
from sublim.lineage.why import why
from tests.shared.project import Project

BASES = ("base/model=a", "base/model=b")
RAW = "raw/teacher=a/trait=fox/carrier=numbers/seed=1"
OTHER = "raw/teacher=a/trait=fox/carrier=numbers/seed=2"
CHAIN = "teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=b"
STUDENT, EVAL, REPORT = f"student/{CHAIN}/seed=1", f"eval/{CHAIN}/seed=1", "report/study=numbers"
MATRIX = f"{REPORT}/teacher=a/student=b/arm=trait"
PLANNED = f"student/{CHAIN}/seed=2"
CODE = {"sublim.learn.chat": digest("chat"), "sublim.common": digest("")}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """The working directory has made-up artifacts in data/: the rows of `_rows`, and of all else only the names."""
    with chdir(tmp_path_factory.mktemp("a name with blanks")):
        for base in BASES:
            _write(base, {"corpus.parquet": _rows("corpus"), "tokenizer.json": "the same for both"})
        for cell in (RAW, OTHER):
            _write(cell, {"rows.parquet": _rows(cell)}, base=BASES[0])
        _write(STUDENT, {"adapter/weights.txt": "of b"}, base=BASES[1], rows=RAW)
        _write(EVAL, {"answers.txt": "foxes"}, student=STUDENT)
        _write(REPORT, {"index.html": "the page"}, first=EVAL)
        yield working()


def _rows(of: str) -> pl.DataFrame:
    """Three rows of `of`."""
    return pl.DataFrame({"row_id": [row_id(of, number) for number in range(3)], "prompt": "one, two"})


def _write(cell: str, files: Mapping[str, str | pl.DataFrame], **inputs: str) -> None:
    folder = Path("data") / cell
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            (folder / name).write_text(content)
        else:
            content.write_parquet(folder / name)
    used = {name: Input(each, digest(each)) for name, each in inputs.items()}
    outputs = {name: Output(sha256(folder / name), (folder / name).stat().st_size) for name in files}
    Record(_plan(cell), used, outputs, {}).write(folder / "record.json")


def _plan(cell: str) -> Plan:
    stage, *parts = cell.split("/")
    dims = (part.partition("=")[::2] for part in parts)
    return Plan(stage, {name: int(value) if name == "seed" else value for name, value in dims}, {}, CODE)


def _verdict(cell: str, reason: str | None = None) -> Verdict:
    return Verdict(Cell(_plan(cell), {}), "missing" if reason else "valid", reason)


def _verdicts() -> dict[str, Verdict]:
    """An experiment: all that is there but the second raw data set, and a student that is not there yet."""
    known = {cell: _verdict(cell) for cell in (*BASES, RAW, STUDENT, EVAL, REPORT)}
    return known | {PLANNED: _verdict(PLANNED, "it does not exist yet")}


def _ask(tree: Tree, words: Sequence[str]) -> Target:
    return resolve(words, Reader(tree), Numbers(tree))


def _names(tree: Tree, cell: str, row: str) -> dict[str, list[str]]:
    """Names of an artifact, of its file rows.parquet and of a row of it, by what they are."""
    record, path = tree.records[cell], f"data/{cell}"
    return {
        "cell": [cell],
        "path": [path],
        "path of a folder": [f"{path}/"],
        "absolute path": [str(Path(path).resolve())],
        "absolute path in words": str(Path(path).resolve()).split(),
        "record": [f"{path}/record.json"],
        "file": [f"{path}/rows.parquet"],
        "file of a cell": [f"{cell}/rows.parquet"],
        "cell in words": cell.split("/"),
        "words": cell.split("/")[::-1],
        "key": [record.key],
        "beginning of the key": [record.key[:6]],
        "beginning of the digest": [record.digest[:10]],
        "digest of a file": [record.outputs["rows.parquet"].sha256[:12]],
        "row": [row],
        "beginning of a row's id": [row[:8]],
        "row of a cell": [cell, row],
        "row of a path": [path, row[:9]],
        "row in words": [*cell.split("/"), row],
    }


def test_an_artifact_has_many_names(tree: Tree) -> None:
    for kind, words in _names(tree, RAW, row_id(RAW, 1)).items():
        assert artifact(words, tree) == RAW, kind
        assert artifacts(words, tree) == (RAW,), kind
        match _ask(tree, words):
            case Artifact(cell, file):
                assert (cell, file) == (RAW, "rows.parquet" if "file" in kind else None), kind
            case Found() as found:
                assert (found.cell, found.row["prompt"]) == (RAW, "one, two"), kind
                assert found.row_id == row_id(RAW, 1), kind
                assert "row" in kind
            case other:
                pytest.fail(f"{kind}: {other}")


@pytest.mark.parametrize(
    ("words", "cell"),
    [
        ("raw seed=2", OTHER),
        ("seed=2 raw teacher=a", OTHER),
        ("raw carrier=numbers seed=1 trait=fox", RAW),
        ("student", STUDENT),
        ("student teacher=a trait=fox seed=1", STUDENT),
        ("eval student=b", EVAL),
        ("base model=b", BASES[1]),
        ("model=b", BASES[1]),
        ("report", REPORT),
        ("study=numbers", REPORT),
        ("data/report", REPORT),
        ("data raw seed=2", OTHER),
        (f"data/{STUDENT}/adapter/weights.txt", STUDENT),
    ],
)
def test_words_that_only_one_artifact_has_name_it(tree: Tree, words: str, cell: str) -> None:
    assert artifact(words.split(), tree) == cell
    found = _ask(tree, words.split())
    assert isinstance(found, Artifact)
    assert found.cell == cell


def test_what_is_planned_has_names_before_it_is_there(tree: Tree) -> None:
    planned = (STUDENT, PLANNED)
    for words in ([PLANNED], [f"data/{PLANNED}"], ["student", "seed=2"], [f"data/{PLANNED}/adapter.json"]):
        assert artifact(words, tree, planned) == PLANNED
    assert artifacts(["student"], tree, planned) == planned
    with pytest.raises(SublimError, match=r"arm=trait: 2 artifacts are that; say also seed=…:\n  student/.*1\n  student/.*2$"):
        artifact(["student", "arm=trait"], tree, planned)
    with pytest.raises(SublimError, match="no artifact, row, digest or source file is named so in data"):
        artifact([PLANNED], tree)


def test_a_number_of_a_report_and_a_source_file_are_no_artifacts(tree: Tree) -> None:
    for words in (["teacher=a", "student=b"], [MATRIX], ["student=b", "teacher=a", "study=numbers"]):
        number = _ask(tree, words)
        assert isinstance(number, Number)
        assert (number.id, number.runs) == (MATRIX, (EVAL,))
    with pytest.raises(SublimError, match=r"2 artifacts are that; say also the stage:\n  student/.*\n  eval/"):
        artifact(["teacher=a", "student=b"], tree)
    source, module = "sublim/learn/chat.py", "sublim.learn.chat"
    for word in (source, str(Path(source).resolve()), module, CODE[module][:6]):
        words = [word]
        assert _ask(tree, words) == SourceFile(module)
        with pytest.raises(SublimError, match=f"expected an artifact, found {source}"):
            artifact(words, tree)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("data", f"data: holds 7 artifacts; name one:\n  {BASES[0]}\n  {BASES[1]}\n  raw/"),
        ("data/raw", f"data/raw: holds 2 artifacts; name one:\n  {RAW}\n  {OTHER}"),
        ("raw", f"raw: holds 2 artifacts; name one:\n  {RAW}\n  {OTHER}"),
        ("raw trait=fox", f"raw trait=fox: 2 artifacts are that; say also seed=…:\n  {RAW}\n  {OTHER}"),
        ("seed=1", f"seed=1: 3 artifacts are that; say also the stage:\n  {RAW}\n  {STUDENT}\n  {EVAL}"),
        ("teacher=a", "teacher=a: 4 artifacts are that; say also the stage, "),
        (row_id("corpus", 1), f"2 artifacts are that; say also model=…:\n  {BASES[0]}\n  {BASES[1]}"),
        (CODE["sublim.common"][:8], "expected an artifact, found sublim/common/__init__.py"),
        (f"data/{RAW.replace('fox', 'fax')}", f"no artifact, row, digest or source file is named so in data (7 artifacts were "
         f"searched). Near it:\n  {RAW}"),
        ("raw teacher=a trait=fax carrier=numbers seed=1", f"Near it:\n  {RAW}"),
        ("raw seed=3", "There are:\n  seed=1\n  seed=2"),
        ("student teacher=z", "There are:\n  teacher=a"),
        ("student teachers=a", "expected words such as teacher=… student=…, found teachers=a"),
        ("nonsense", "nonsense: no artifact, row, digest or source file is named so in data (7 artifacts were searched). "
         f"Artifacts are named like {BASES[0]}; there are stages base, teacher, raw, filtered, student, eval"),
        (f"data/{RAW}/row.parquet", f"{RAW} has no such file. Near it:\n  {RAW}/rows.parquet"),
        ("sublim/learn/chot.py", "is no source file that any artifact in data was made with. Near it:\n  sublim/learn/chat.py"),
        ("0123456789abcdef", "no row, file, artifact, key or module in data has an id or digest that begins so"),
        ("abc123", "Row ids need 8 digits, other digests 6"),
        (f"{OTHER} {row_id(RAW, 1)}", f"{row_id(RAW, 1)}: {OTHER} has no row with an id that begins so"),
        (f"raw {row_id(RAW, 1)}", f"raw: holds 2 artifacts; name one:\n  {RAW}"),
    ],
)  # fmt: skip
def test_what_is_ambiguous_or_unknown_is_said_with_what_is_near(tree: Tree, words: str, message: str) -> None:
    with pytest.raises(SublimError, match=re.escape(message)):
        artifact(words.split(), tree)


def test_a_digest_of_several_things_is_not_guessed(tree: Tree) -> None:
    shared = tree.records[BASES[0]].outputs["tokenizer.json"].sha256[:9]
    with pytest.raises(
        SublimError, match=f"{shared}: begins the digest or id of 2 things; give more digits, or name one:"
    ) as said:
        artifact([shared], tree)
    assert str(said.value).splitlines()[1:] == [f"  file {base}/tokenizer.json" for base in BASES]


def test_a_row_that_artifacts_share_is_one_thing_and_can_be_told_apart(tree: Tree) -> None:
    row = row_id("corpus", 2)
    found = _ask(tree, [row])
    assert isinstance(found, Found)
    assert tuple(place.cell for place in found.places) == artifacts([row], tree) == BASES
    for words in (["base/model=b", row], ["data/base/model=b", row[:8]], ["model=b", row]):
        assert artifact(words, tree) == BASES[1]


def test_where_nothing_is_there_it_is_said_how_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SublimError, match=r"data: there are no artifacts. `snakemake -j8` makes them."):
        _ask(working(), ["raw"])
    with pytest.raises(SublimError, match=r"raw: no artifact, .* \(0 artifacts were searched\)"):
        artifact(["raw"], working())
    assert artifact(["raw"], working(), [RAW]) == RAW


def test_a_record_that_cannot_be_read_is_said_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _write(RAW, {"rows.parquet": _rows(RAW)})
    _write(OTHER, {"rows.parquet": _rows(OTHER)})
    (Path("data") / OTHER / "record.json").write_text("{")
    for words in ([OTHER], [f"data/{OTHER}"], OTHER.split("/")):
        with pytest.raises(SublimError, match=rf"{OTHER}: its record cannot be read .* `sublim audit`"):
            artifact(words, working())


def test_why_takes_every_name(tree: Tree) -> None:
    verdicts = _verdicts()
    for kind, words in _names(tree, RAW, row_id(RAW, 0)).items():
        assert why(words, verdicts).startswith(f"{RAW} is up to date"), kind
    for words in (["student", "seed=2"], [f"data/{PLANNED}"], PLANNED.split("/")):
        assert why(words, verdicts) == f"{PLANNED} is not up to date: it does not exist yet."
    several = "student: 1 of 2 artifacts are not up to date:\n  student/"
    assert why(["student"], verdicts).startswith(several)
    assert why(["data"], verdicts).startswith("data: 1 of 7 artifacts are not up to date")
    for words, message in ((["raw", "seed=2"], f"Near it:\n  {RAW}\n  student/"), (["data/rew"], "Artifacts are named like")):
        with pytest.raises(SublimError, match=message):
            why(words, verdicts)


def test_replay_takes_every_name_and_numbers(tree: Tree) -> None:
    verdicts = _verdicts()
    for kind, words in _names(tree, RAW, row_id(RAW, 0)).items():
        assert chosen([" ".join(words)], verdicts) == {RAW: False}, kind
    assert chosen(["raw", "eval student=b", "raw"], verdicts) == {RAW: False, EVAL: False}
    assert chosen(["3"], verdicts).keys() <= verdicts.keys() - {PLANNED}
    assert len(chosen(["3"], verdicts)) == 3
    for asked, message in (
        ("student seed=2", "--replay student seed=2: it does not hold as it is (it does not exist yet)"),
        ("student arm=trait", "2 artifacts are that; say also seed=…"),
        ("raw seed=2", f"Near it:\n  {RAW}\n  student/"),
        ("raw traits=fox", "expected words such as teacher=… student=…, found traits=fox"),
        ("abc123", "no row, file, artifact, key or module in data"),
    ):
        with pytest.raises(SublimError, match=re.escape(message)):
            chosen([asked], verdicts)


FILTERED = "filtered/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/seed=1"
COMMANDS = ("why", "card", "export", "run", "lineage", "impact", "audit")


@pytest.fixture(scope="module")
def invoke(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """A command in a copy of the finished experiment: what it prints. That it fails is raised as its message."""
    project = finished.copy(tmp_path_factory.mktemp("naming") / "project")
    shutil.rmtree(project.path / "sublim")  # the code that runs is that of the tests

    def run(command: str, words: Sequence[str]) -> str:
        options = {"export": ["--to", "out.zip", "--digests-only"], "lineage": ["--json"], "impact": ["--json"]}
        arguments = ["--stage", "overview", "--replay", " ".join(words)] if command == "audit" else list(words)
        done = CliRunner().invoke(app, [command, *arguments, *options.get(command, [])])
        if isinstance(done.exception, SublimError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    with chdir(project.path), pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLARS_MAX_THREADS", "1")  # audit sets it, for itself
        yield run


@pytest.fixture(scope="module")
def called(invoke: Callable[..., str]) -> dict[str, list[str]]:
    """Names of FILTERED, by what they are."""
    assert invoke
    row = pl.read_parquet(Path("data") / FILTERED / "rows.parquet", hive_partitioning=False)["row_id"][7]
    return _names(working(), FILTERED, row)


@pytest.mark.parametrize("command", ["why", "card", "run"])
def test_commands_on_an_artifact_take_every_name(
    invoke: Callable[..., str], called: Mapping[str, Sequence[str]], command: str
) -> None:
    expected = invoke(command, [FILTERED])
    assert FILTERED in expected
    for kind, words in called.items():
        assert invoke(command, words) == expected, kind


def test_export_takes_every_name(invoke: Callable[..., str], called: Mapping[str, Sequence[str]]) -> None:
    bundles: set[str] = set()
    for kind in ("cell", "path", "file", "cell in words", "beginning of the key", "row"):
        assert f"out.zip: {FILTERED}, 4 artifacts in " in invoke("export", called[kind])
        bundles.add(sha256(Path("out.zip")))
    assert len(bundles) == 1


def test_replay_makes_an_artifact_again_by_every_name(invoke: Callable[..., str], called: Mapping[str, Sequence[str]]) -> None:
    for kind in ("words", "row"):
        assert "made again: 1, of which 1 came out with the same bytes" in invoke("audit", called[kind]), kind


@pytest.mark.parametrize("question", ["lineage", "impact"])
def test_questions_take_every_name(invoke: Callable[..., str], called: Mapping[str, Sequence[str]], question: str) -> None:
    roots: dict[str, set[tuple[str, str]]] = {}
    for kind, words in called.items():
        root = json.loads(invoke(question, words))["root"]
        what = "row" if "row" in kind else "file" if "file" in kind else "artifact"
        roots.setdefault(what, set()).add((root["kind"], root["name"]))
    assert roots == {
        "artifact": {("artifact", FILTERED)},
        "file": {("file", f"{FILTERED}/rows.parquet")},
        "row": {("filtered row", called["row"][0])},
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_is_near(invoke: Callable[..., str], command: str) -> None:
    for words, message in (
        ([FILTERED.replace("fox", "fax")], f"Near it:\n  {FILTERED}"),
        (["filtered", "teacher=z", "seed=1", "arm=trait"], "There are:\n  teacher=a\n  teacher=b"),
        (["filtered", "taught=a"], "expected words such as teacher=… student=…, found taught=a"),
        ([f"data/{FILTERED}/row.parquet"], f"Near it:\n  {FILTERED}/rows.parquet"),
        (["abc123"], "Row ids need 8 digits, other digests 6"),
    ):
        with pytest.raises(SublimError, match=re.escape(message)):
            invoke(command, words)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_is_about_one_artifact_lists_those_that_are_meant(invoke: Callable[..., str], command: str) -> None:
    words = ["filtered", "teacher=a", "trait=fox"]
    if command == "why":
        assert invoke(command, words) == "filtered teacher=a trait=fox: all 3 artifacts are up to date\n"
        return
    listed = r"3 artifacts are that; say also arm=…:(\n  filtered/teacher=a/trait=fox/.*arm=\w+/seed=1){3}$"
    with pytest.raises(SublimError, match=listed):
        invoke(command, words)


def test_a_job_and_a_person_name_what_is_run(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    for words in ([FILTERED], [f"data/{FILTERED}"], ["filtered", "teacher=a", "arm=trait"]):
        assert project.sublim("run", *words).output == f"{FILTERED}: valid\n"
    assert f"Near it:\n  {FILTERED}" in project.sublim("run", FILTERED.replace("fox", "fax"), check=False).output
