"""What differs between two versions, because of what, and how the results moved."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from sublim.cli.trace import app
from sublim.engine.record import Input, Output, Record, read
from sublim.evidence.tree import Tree, working
from sublim.lineage.revision import revision
from sublim.lineage.trace.changes import describe, difference
from tests.shared.project import Project
from tests.shared.second_run import two_runs

RAW = "raw/teacher=a/trait=fox/carrier=numbers/seed=1"
STUDENT = "student/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=b/seed=1"
REPORT = "report/study=numbers"
EVAL = "eval/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=b/seed=1"


def _altered(project: Project, cell: str, change: Callable[[Record], Record]) -> None:
    """Write the record of `cell` changed, and those below as if they were made again from it, with other bytes."""
    records = {record.parent.relative_to("data").as_posix(): read(record) for record in Path("data").rglob("record.json")}
    order = [
        cell,
        *(
            other
            for stage in ("teacher", "raw", "filtered", "student", "eval", "report", "overview")
            for other in records
            if other.startswith(stage)
        ),
    ]
    made: dict[str, Record] = {}
    for name in order:
        record = change(records[name]) if name == cell else records[name]
        inputs = {
            key: Input(used.cell, made[used.cell].digest) if used.cell in made else used for key, used in record.inputs.items()
        }
        if name == cell or (inputs != record.inputs and name not in made):
            bytes_ = {file: replace(output, sha256=output.sha256[::-1]) for file, output in record.outputs.items()}
            made[name] = replace(record, inputs=inputs, outputs=bytes_ if name != cell else record.outputs)
            made[name].write(project.path / "data" / name / "record.json")


def _other_bytes(record: Record) -> Record:
    return replace(record, outputs={file: Output(output.sha256[::-1], output.size) for file, output in record.outputs.items()})


def _before(project: Project, tmp_path: Path) -> Tree:
    """The artifacts as they are, out of the way."""
    shutil.copytree(project.path / "data", tmp_path / "before")
    files = {
        path.relative_to(tmp_path / "before").as_posix(): path for path in (tmp_path / "before").rglob("*") if path.is_file()
    }
    return Tree("before", files)


@pytest.mark.timeout(300)
def test_a_learning_rate_between_two_commits(
    finished: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = two_runs(finished, tmp_path_factory)
    monkeypatch.chdir(project.path)
    found = difference(revision("first"), revision("second"))
    assert (found.added, found.removed) == ((), ())
    (cause,) = found.causes
    assert (cause.kind, cause.change) == ("param", "finetune.learning_rate: 0.005 → 0.02")
    students = [cell for cell in revision("first").cells("student") if "student=b" in cell]
    assert list(cause.cells) == students
    assert set(cause.follow) == {*(cell.replace("student/", "eval/", 1) for cell in students), REPORT, "overview"}
    assert set(found.changed) == {*cause.cells, *cause.follow}
    assert found.kept == 44 - 14
    moved = {moved.number: moved for moved in found.moved}
    assert "report/study=numbers/teacher=a/student=a/arm=trait" not in moved
    cell = moved["report/study=numbers/teacher=a/student=b/arm=trait"]
    gains = [
        tree.table(REPORT, "matrix.parquet").filter(teacher="a", student="b", arm="trait")["gain"][0]
        for tree in (revision("first"), revision("second"))
    ]
    assert cell.old is not None
    assert cell.new is not None
    assert [cell.old["gain"], cell.new["gain"]] == gains
    text = describe(found)
    assert "14 changed, 0 added, 0 removed, 30 the same" in text
    assert "param finetune.learning_rate: 0.005 → 0.02" in text
    assert "and 5 more; 8 follow" in text
    assert difference(revision("second"), working()).changed == ()

    runner = CliRunner()
    said: dict[str, Any] = json.loads(runner.invoke(app, ["diff", "first", "--json"]).output)
    assert set(said) == {"old", "new", "added", "removed", "changed", "same_bytes", "causes", "moved", "kept"}
    assert {name: said["causes"][0][name] for name in ("kind", "field", "old", "new")} == {
        "kind": "param", "field": "finetune.learning_rate", "old": "0.005", "new": "0.02",
    }  # fmt: skip
    same = runner.invoke(app, ["diff", "second"])
    assert "have the same 44 artifacts" in same.output
    assert runner.invoke(app, ["diff", "nowhere"]).exit_code != 0


def test_code_and_who_follows(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    before = _before(project, tmp_path)

    def edited(record: Record) -> Record:
        code = {**record.plan.code, "sublim.learn.chat": "f" * 64}
        return _other_bytes(replace(record, plan=replace(record.plan, code=code)))

    _altered(project, STUDENT, edited)
    found = difference(before, working())
    (cause,) = found.causes
    old = before.records[STUDENT].plan.code["sublim.learn.chat"]
    assert (cause.kind, cause.change) == ("code", f"sublim.learn.chat: {old[:12]} → {'f' * 12}")
    assert cause.cells == (STUDENT,)
    assert cause.follow == (EVAL, REPORT, "overview")
    assert found.same_bytes == ()


def test_a_package_is_to_blame_where_nothing_else_is(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    before = _before(project, tmp_path)

    def upgraded(record: Record) -> Record:
        packages = {**record.environment["packages"], "torch": "9.9"}
        return _other_bytes(replace(record, environment={**record.environment, "packages": packages}))

    _altered(project, RAW, upgraded)
    found = difference(before, working())
    (cause,) = found.causes
    assert cause.kind == "package"
    assert cause.change.startswith("packages.torch: ")
    assert cause.cells == (RAW,)
    assert set(cause.follow) == set(found.changed) - {RAW}


def test_other_bytes_for_no_reason_are_said_so(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    before = _before(project, tmp_path)
    _altered(project, EVAL, _other_bytes)
    (cause,) = difference(before, working()).causes
    assert (cause.kind, cause.cells, cause.follow) == ("unexplained", (EVAL,), (REPORT, "overview"))


def test_made_again_with_the_same_bytes(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    before = _before(project, tmp_path)
    params = read(Path("data") / RAW / "record.json").plan.params

    def other_batch(record: Record) -> Record:
        decoding = {**params["decoding"], "batch": 64}
        return replace(record, plan=replace(record.plan, params={**params, "decoding": decoding}))

    _altered(project, RAW, other_batch)
    found = difference(before, working())
    assert found.changed == found.same_bytes == (RAW,)
    assert found.causes[0].change == "decoding.batch: 512 → 64"
    assert found.moved == ()
    assert "no number of the report moved" in describe(found)


def test_an_artifact_more_or_less(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    before = _before(project, tmp_path)
    shutil.rmtree(Path("data") / EVAL)
    report = read(Path("data/report/study=numbers/record.json"))
    smaller = replace(report, inputs={name: used for name, used in report.inputs.items() if used.cell != EVAL})
    smaller.write(Path("data/report/study=numbers/record.json"))
    matrix = pl.read_parquet("data/report/study=numbers/matrix.parquet")
    matrix.filter(~((pl.col("teacher") == "a") & (pl.col("student") == "b") & (pl.col("arm") == "trait"))).write_parquet(
        "data/report/study=numbers/matrix.parquet"
    )
    found = difference(before, working())
    assert found.removed == (EVAL,)
    assert found.changed == (REPORT,)
    assert found.causes[0].kind == "input"
    gone = next(moved for moved in found.moved if moved.number == "report/study=numbers/teacher=a/student=b/arm=trait")
    assert gone.new is None
    back = difference(working(), before)
    assert back.added == (EVAL,)
    assert "(none) → " in describe(back)
