"""The oracle of a refactoring: it sees a byte that differs where none may, and nothing else."""

import json
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from benchmarks import oracle
from benchmarks.oracle import Comparison, Difference, Outcome, Tally, UsageError, checkout, differences

RAW = "raw/teacher=a/seed=1"
REPORT = "report/study=numbers"
SUMMARY = {"gain": {"mean": 0.25, "n": 3}, "test": None}


def _artifact(data: Path, cell: str, files: dict[str, bytes], *above: str) -> None:
    inputs = {f"{n}": {"cell": each} for n, each in enumerate(above)}
    for name, content in files.items():
        (data / cell / name).parent.mkdir(parents=True, exist_ok=True)
        (data / cell / name).write_bytes(content)
    record = {"cell": cell, "inputs": inputs, "outputs": {name: {"sha256": "0" * 64, "size": 1} for name in files}}
    (data / cell / "record.json").write_text(json.dumps(record), encoding="utf-8")


def _table(path: Path, numbers: list[float], **how: int) -> None:
    pl.DataFrame({"row_id": ["x", "y"], "loss": numbers}).write_parquet(path, **how)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The data/ folder of a made-up run. The sha256 of its records are all wrong: nothing reads them."""
    data = tmp_path / "old"
    page = {"report.html": b"<p>0.25</p>", "gains.svg": b"<svg/>", "gains.png": b"png", "gains.csv": b"arm,gain\nall,0.25\n"}
    _artifact(data, RAW, {"rows.parquet": b"", "sub/notes.html": b"<p/>"})
    _artifact(data, REPORT, {**page, "summary.json": json.dumps(SUMMARY).encode(), "training.parquet": b""}, RAW)
    _artifact(data, "overview", {"overview.html": b"<p/>", "metrics.json": b"{}"}, REPORT, "detection/study=numbers")
    _artifact(data, "detection/study=numbers", {"detection.html": b"<p/>", "summary.json": b'{"a": 1, "b": 2}'}, REPORT)
    for path in data.rglob("*.parquet"):
        _table(path, [0.5, 0.25])
    return data


@pytest.fixture
def new(old: Path) -> Path:
    """Another run, with the same bytes."""
    return Path(shutil.copytree(old, old.with_name("new")))


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_two_runs_with_the_same_bytes(old: Path, new: Path) -> None:
    assert differences(old, new) == Comparison(
        {
            "raw": Tally(artifacts=1, files=2, same=2),
            "report": Tally(artifacts=1, files=6, same=6),
            "detection": Tally(artifacts=1, files=2, same=2),
            "overview": Tally(artifacts=1, files=2, same=2),
        },
        [],
    )
    assert list(differences(old, new).stages) == ["raw", "report", "detection", "overview"]
    assert differences(old, new).same


@pytest.mark.parametrize(
    "file", [f"{RAW}/rows.parquet", f"{RAW}/sub/notes.html", f"{REPORT}/gains.csv", f"{REPORT}/training.parquet"]
)
def test_a_flipped_byte_in_what_must_be_the_same(old: Path, new: Path, file: str) -> None:
    _flip(new / file)
    (found,) = differences(old, new).found
    assert (f"{found.artifact}/{found.file}", found.kind) == (file, "different")
    assert not differences(old, new).same
    assert sum(tally.different for tally in differences(old, new).stages.values()) == 1


@pytest.mark.parametrize("at", range(0, 1000, 97))
def test_no_damage_to_a_table_stops_the_comparison(old: Path, new: Path, at: int) -> None:
    data = bytearray((new / REPORT / "training.parquet").read_bytes())
    data[at % len(data)] ^= 0xFF
    (new / REPORT / "training.parquet").write_bytes(data)
    assert [found.file for found in differences(old, new).found] == ["training.parquet"]


@pytest.mark.parametrize(
    "file", [f"{REPORT}/report.html", f"{REPORT}/gains.png", "overview/overview.html", "detection/study=numbers/detection.html"]
)
def test_a_flipped_byte_in_a_page_or_figure(old: Path, new: Path, file: str) -> None:
    _flip(new / file)
    result = differences(old, new)
    assert result.same
    assert [found.kind for found in result.found] == ["page"]
    assert result.stages[file.split("/")[0]].page == 1


def test_by_how_much_a_table_differs(old: Path, new: Path) -> None:
    _table(new / RAW / "rows.parquet", [0.5, 0.375])
    assert differences(old, new).found == [Difference(RAW, "rows.parquet", "different", "loss by at most 0.12")]


def test_another_number_in_a_json_of_a_report(old: Path, new: Path) -> None:
    (new / REPORT / "summary.json").write_text(json.dumps({**SUMMARY, "gain": {"mean": 0.26, "n": 3}}), encoding="utf-8")
    (found,) = differences(old, new).found
    assert found == Difference(REPORT, "summary.json", "different", "gain.mean: 0.25 → 0.26")


def test_another_type_in_a_json_of_a_report(old: Path, new: Path) -> None:
    (new / REPORT / "summary.json").write_text(json.dumps({**SUMMARY, "gain": {"mean": 0.25, "n": 3.0}}), encoding="utf-8")
    assert not differences(old, new).same


def test_the_same_content_in_other_bytes_is_enough_for_a_report(old: Path, new: Path) -> None:
    (new / REPORT / "summary.json").write_text(json.dumps(SUMMARY, indent=2), encoding="utf-8")
    _table(new / REPORT / "training.parquet", [0.5, 0.25], row_group_size=1)
    result = differences(old, new)
    assert result.same
    assert {(found.file, found.kind) for found in result.found} == {
        ("summary.json", "content"),
        ("training.parquet", "content"),
    }
    assert result.stages["report"] == Tally(artifacts=1, files=6, same=4, content=2)


@pytest.mark.parametrize("cell", [RAW, "detection/study=numbers"])
def test_the_same_content_in_other_bytes_is_not_enough_for_other_stages(old: Path, new: Path, cell: str) -> None:
    _table(new / RAW / "rows.parquet", [0.5, 0.25], row_group_size=1)
    (new / "detection/study=numbers/summary.json").write_text('{"b": 2, "a": 1}', encoding="utf-8")
    result = differences(old, new)
    assert not result.same
    assert [found.kind for found in result.found if found.artifact == cell] == ["different"]
    assert all("the same" in found.how for found in result.found)


def test_a_missing_artifact(old: Path, new: Path) -> None:
    shutil.rmtree(new / RAW)
    (only_old,) = differences(old, new).found
    (only_new,) = differences(new, old).found
    assert (only_old.artifact, only_old.file, only_old.kind) == (RAW, None, "different")
    assert "in the old run alone" in only_old.how
    assert "in the new run alone" in only_new.how
    assert differences(old, new).stages["raw"] == Tally(artifacts=1, files=2, different=2)


def test_a_missing_output_even_if_it_is_a_page(old: Path, new: Path) -> None:
    (new / REPORT / "gains.svg").unlink()  # the record still names it
    assert differences(old, new).found == [Difference(REPORT, "gains.svg", "different", "in the old run alone")]
    (old / REPORT / "gains.svg").unlink()
    assert not differences(old, new).same


def test_an_output_more(old: Path, new: Path) -> None:
    record = json.loads((new / REPORT / "record.json").read_text(encoding="utf-8"))
    record["outputs"]["more.csv"] = {}
    (new / REPORT / "record.json").write_text(json.dumps(record), encoding="utf-8")
    (new / REPORT / "more.csv").write_text("1")
    assert differences(old, new).found == [Difference(REPORT, "more.csv", "different", "in the new run alone")]


def test_nothing_is_not_the_same_as_nothing(tmp_path: Path) -> None:
    assert not differences(tmp_path / "one", tmp_path / "other").same


def test_what_is_printed(old: Path, new: Path) -> None:
    assert oracle.described(Outcome([], differences(old, new))).rstrip().endswith("nothing has changed")
    assert "the run of x failed\nNOT THE SAME" in oracle.described(Outcome(["x"], differences(old, new)))
    _flip(new / RAW / "rows.parquet")
    _flip(new / REPORT / "report.html")
    told = oracle.described(Outcome([], differences(old, new)))
    assert f"  {RAW}/rows.parquet: " in told
    assert "report.html" not in told
    assert told.rstrip().endswith("NOT THE SAME")


def test_a_checkout_is_the_revision_or_the_working_tree_as_it_is(tmp_path: Path) -> None:
    repository = tmp_path / "repository"

    def git(*arguments: str) -> str:
        me = ("-c", "user.name=t", "-c", "user.email=t@t")
        return subprocess.run(["git", *me, *arguments], cwd=repository, check=True, capture_output=True, text=True).stdout

    repository.mkdir()
    git("init", "-q")
    for name, text in {"kept": "1", "gone": "1", ".gitignore": "ignored\n", "ignored": "1"}.items():
        (repository / name).write_text(text)
    git("add", "-A")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "HEAD").strip()
    assert checkout(repository, None, tmp_path / "clean") == commit
    (repository / "kept").write_text("2")
    (repository / "gone").unlink()
    (repository / "added").write_text("2")
    before = git("status", "--porcelain"), git("count-objects")

    assert checkout(repository, "HEAD", tmp_path / "head") == commit
    assert checkout(repository, None, tmp_path / "edited") not in {commit, ""}
    read = {name: _texts(tmp_path / name) for name in ("clean", "head", "edited")}
    assert read["clean"] == read["head"] == {"kept": "1", "gone": "1", ".gitignore": "ignored\n"}
    assert read["edited"] == {"kept": "2", "added": "2", ".gitignore": "ignored\n"}
    assert (git("status", "--porcelain"), git("count-objects")) == before
    with pytest.raises(UsageError, match="no-such"):
        checkout(repository, "no-such", tmp_path / "none")


def _texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}
