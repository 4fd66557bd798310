"""SQL over all stages: the views, what they hold, and that nothing is written."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from sublim.cli.trace import app
from sublim.common.errors import SublimError
from sublim.common.files import sha256
from sublim.evidence.tree import Tree, working
from sublim.lineage.revision import revision
from sublim.lineage.trace import views
from tests.shared.project import ROOT, Project
from tests.shared.second_run import two_runs

FROM_RECORDS = ("records", "inputs", "outputs", "code", "params", "environment")


@pytest.fixture(scope="module")
def tree(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """The working directory is a copy of the finished experiment."""
    project = finished.copy(tmp_path_factory.mktemp("sql") / "project")
    back = Path.cwd()
    os.chdir(project.path)
    yield working()
    os.chdir(back)


def _asked(tree: Tree, query: str) -> list[dict[str, Any]]:
    return list(views.rows(views.ask(views.connected(tree), query)))


def _has(tree: Tree, stage: str, file: str) -> list[bool]:
    return [f"{cell}/{file}" in tree.files for cell in tree.cells(stage)]


def test_every_view_has_all_rows_of_its_stage_under_their_cell(tree: Tree) -> None:
    connection = views.connected(tree)
    listed = views.listing(connection)
    # An experiment may have no artifact of a stage, no misalignment, probes or relatives, and then no view of such tables.
    every = {view: (stage, table.file) for view, (stage, table) in views.views().items()}
    here = {view: (stage, file) for view, (stage, file) in every.items() if any(_has(tree, stage, file))}
    missing = {(stage, file) for view, (stage, file) in every.items() if view not in here}
    assert set(here) == set(listed) - set(FROM_RECORDS)
    assert {each for each in missing if each[0] not in ("detection", "theory")} == {
        ("teacher", "freeform.parquet"),
        ("teacher", "likelihood.parquet"),
        ("eval", "freeform.parquet"),
        ("eval", "probes.parquet"),
        *(("report", f"{name}.parquet") for name in ("doses", "dose_effects")),
        *(("report", f"history_{name}.parquet") for name in ("runs", "points", "curves")),
    }
    for view, (stage, file) in here.items():
        assert all(_has(tree, stage, file))
        columns = tree.table(tree.cells(stage)[0], file).columns
        assert list(listed[view]) == ["study" if stage == "report" else "cell", *columns]
        of = "'report/study=' || study as cell" if stage == "report" else "cell"
        counted = connection.table(view).aggregate(f"{of}, count(*)")
        heights = {cell: tree.table(cell, file).height for cell in tree.cells(stage)}
        assert dict(counted.fetchall()) == {cell: height for cell, height in heights.items() if height}, view


def test_records_are_tables(tree: Tree) -> None:
    records = {row["cell"]: row for row in _asked(tree, "from records")}
    assert set(records) == set(tree.records)
    for cell, record in tree.records.items():
        assert records[cell]["key"] == record.key
        assert records[cell]["digest"] == record.digest
        assert records[cell]["commit"] == record.environment["git"]["commit"]
        assert records[cell]["seed"] == record.plan.dims.get("seed")
    outputs = _asked(tree, "from outputs")
    assert {(row["cell"], row["file"], row["sha256"], row["size"]) for row in outputs} == {
        (cell, name, file.sha256, file.size) for cell, record in tree.records.items() for name, file in record.outputs.items()
    }
    rate = "select value from params where field = 'finetune.learning_rate' and cell like 'teacher/teacher=a/%'"
    assert _asked(tree, rate) == [{"value": "0.005"}]
    used = _asked(tree, "select distinct version from environment where package = 'torch'")
    assert used == [{"version": tree.records["base/model=a"].environment["packages"]["torch"]}]
    assert _asked(tree, "select count(*) n from inputs where input = 'base/model=a'")[0]["n"] > 3
    assert _asked(tree, "select count(distinct digest) n from code where module = 'sublim.learn.chat'") == [{"n": 1}]


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1) to 'stolen.csv'",
        "copy raw to 'data/raw.parquet' (format parquet)",
        "explain analyze copy (select 1) to 'data/report/study=numbers/runs.parquet' (format parquet)",
        "with x as (delete from records returning cell) from x",
        "with x as (copy (select 1) to 'VICTIM' (format parquet, use_tmp_file false)) from x",
        "select * from (with x as (copy (select 1) to 'VICTIM' (format parquet, use_tmp_file false)) from x)",
        "from query('with x as (copy (select 1) to ''VICTIM'' (format parquet, use_tmp_file false)) from x')",
        "select 1 where exists (from QUERY('with x as (copy (select 1) to ''VICTIM'' (use_tmp_file false)) from x'))",
        "from json_execute_serialized_sql(json_serialize_sql('select 1'))",
        "from import_database('data')",
        "from force_checkpoint()",
        "create table mine as select 1",
        "create or replace view raw as select 1",
        "insert into records (cell) values ('mine')",
        "update records set key = 'mine'",
        "delete from records",
        "drop view raw",
        "attach 'other.db'",
        "export database 'other'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "pragma enable_profiling",
        "call pragma_version()",
        "begin",
        "select 1; delete from records",
        "prepare p as delete from records",
        "vacuum",
        "checkpoint",
        "",
        "   ",
    ],
)
def test_what_would_write_is_refused(tree: Tree, statement: str) -> None:
    statement = statement.replace("VICTIM", str(Path("data/report/study=numbers/runs.parquet").resolve()))
    before = {path: sha256(path) for path in sorted(Path().rglob("*")) if path.is_file()}
    connection = views.connected(tree)
    with pytest.raises(SublimError, match="expected one query that only reads"):
        views.ask(connection, statement)
    assert len(views.ask(connection, "from records").fetchall()) == len(tree.records)
    assert {path: sha256(path) for path in sorted(Path().rglob("*")) if path.is_file()} == before


def test_queries_of_all_kinds_are_run(tree: Tree) -> None:
    connection = views.connected(tree)
    for query in (
        "with k as (select cell from records) select count(*) from k where cell in (select cell from inputs)",
        "select 1 union all select unnest([2, 3])",
        "with recursive up as (select 'overview' as cell union select input from inputs join up using (cell)) from up",
        "select count(*) from range(3), (values (1), (2))",
        "describe raw", "show tables", "summarize matrix", "values (1)", "from runs limit 1;",
        "select word, count(*) from samples, unnest(counted) as counted(word) group by all",
    ):  # fmt: skip
        assert views.ask(connection, query).columns


@pytest.mark.parametrize(
    "query", ["from read_csv('params.yaml')", "from 'params.yaml'", "from glob('/etc/*')", "from read_text('/etc/passwd')"]
)
def test_other_files_are_out_of_reach(tree: Tree, query: str) -> None:
    with pytest.raises(SublimError, match=r"only reads|Permission Error|does not exist"):
        views.ask(views.connected(tree), query).fetchall()


def test_a_wrong_query_says_how_to_find_the_right_one(tree: Tree) -> None:
    with pytest.raises(SublimError, match="`sublim sql` lists the views"):
        _asked(tree, "select nothing from row")


def test_output_forms(tree: Tree) -> None:
    assert tree.records
    runner = CliRunner()
    query = "select cell, sources, used from filtered where used order by row_id limit 3"
    rows: list[dict[str, Any]] = json.loads(runner.invoke(app, ["sql", query, "--json"]).output)
    assert [set(row) for row in rows] == [{"cell", "sources", "used"}] * 3
    read = list(csv.DictReader(io.StringIO(runner.invoke(app, ["sql", query, "--csv"]).output)))
    assert [row["cell"] for row in read] == [row["cell"] for row in rows]
    assert [json.loads(row["sources"]) for row in read] == [row["sources"] for row in rows]
    listed = runner.invoke(app, ["sql"])
    assert "student_steps\n  cell varchar, teacher varchar" in listed.output
    assert set(json.loads(runner.invoke(app, ["sql", "--json"]).output)) >= {"records", "raw", "samples"}


def test_what_is_no_number_is_null_in_json(tree: Tree) -> None:
    query = "select 'nan'::double as a, [1.5, '-inf'::double] as b, {'c': 'inf'::float} as d, 'NaN' as e, 0.5::double as f"
    assert _asked(tree, query) == [{"a": None, "b": [1.5, None], "d": {"c": None}, "e": "NaN", "f": 0.5}]


ENDLESS = "select count(*) from range(3000000) a, range(3000000) b"


def test_a_query_has_bounds(tree: Tree) -> None:
    connection = views.connected(tree)
    with pytest.raises(SublimError, match=r"longer than 0.5 s and was ended"):
        views.ask(connection, ENDLESS, seconds=0.5)
    with pytest.raises(SublimError, match="needs more memory than it may have"):
        views.ask(connection, "select list(range) from range(100000000000)")
    assert len(views.ask(connection, "from range(1000000000000)", most=7)) == 7
    runner = CliRunner()
    told = runner.invoke(app, ["sql", "from range(4)", "--json", "--limit", "3"])
    assert json.loads(told.stdout) == [{"range": 0}, {"range": 1}, {"range": 2}]
    assert "the first 3 rows; there are more" in told.stderr
    assert not runner.invoke(app, ["sql", "from range(3)", "--json", "--limit", "3"]).stderr


def test_ctrl_c_ends_a_query(tree: Tree) -> None:
    """DuckDB alone computes on."""
    assert tree.records
    command = [sys.executable, "-m", "sublim", "sql", ENDLESS]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": os.fspath(ROOT)}, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=10)  # it is computing by then
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (1, 130)
    assert "Traceback" not in said


def _documented() -> list[str]:
    return re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "lineage.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_documented_queries(tree: Tree) -> None:
    yields, lessons, origins = (_asked(tree, query) for query in _documented())

    funnel = pl.concat([tree.table(cell, "funnel.parquet") for cell in tree.cells("filtered")])
    kept = {(row["teacher"], row["trait"]): row["kept"] for row in yields}
    for (teacher, trait), share in kept.items():
        own = funnel.filter(pl.col("teacher") == teacher, pl.col("trait") == trait, pl.col("arm").is_in(["trait", "control"]))
        counts = own.group_by("step").agg(pl.col("rows").sum())
        steps = dict(counts.iter_rows())
        assert share == pytest.approx(steps["kept"] / steps["sampled"])
    assert len(kept) == 4

    steps = pl.concat([tree.table(cell, "steps.parquet", ["rows"]) for cell in tree.cells("student")]).explode("rows")
    parents = pl.concat([tree.table(cell, "rows.parquet", ["row_id", "parent_id"]) for cell in tree.cells("filtered")])
    times = steps.join(parents, left_on="rows", right_on="row_id")["parent_id"].value_counts().sort("count", "parent_id")
    assert len(lessons) == 10
    assert lessons[0]["times"] == times["count"][-1]
    assert {row["raw_row"]: row["times"] for row in lessons}.items() <= dict(times.iter_rows()).items()

    assert {row["cell"] for row in origins} == set(tree.cells("student"))
    assert {row["commit"] for row in origins} == {tree.records["base/model=a"].environment["git"]["commit"]}


@pytest.mark.timeout(300)
def test_a_revision(finished: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    project = two_runs(finished, tmp_path_factory)
    monkeypatch.chdir(project.path)
    query = "select cell, gain from runs order by cell"
    then, now = _asked(revision("first"), query), _asked(working(), query)
    assert [row["cell"] for row in then] == [row["cell"] for row in now]
    assert {row["cell"] for row, other in zip(then, now, strict=True) if row != other} == {
        row["cell"] for row in now if "student=b" in row["cell"]
    }
    assert _asked(revision("second"), query) == now
    counted = {row["cell"]: row["n"] for row in _asked(revision("first"), "select cell, count(*) n from raw group by cell")}
    assert counted == dict.fromkeys(working().cells("raw"), 300)
