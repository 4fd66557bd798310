"""Provenance cards: every number in them is that of the records and tables, and the hub can read them."""

import re
from collections.abc import Callable
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from huggingface_hub import DatasetCard, DatasetCardData, ModelCard, ModelCardData
from typer.testing import CliRunner

from sublim.cli.handover import app
from sublim.common.errors import SublimError
from sublim.engine.record import read
from sublim.evidence.subject import Subject
from sublim.evidence.tree import working
from sublim.lineage.handover.card import card
from sublim.models.hub import WEIGHTS
from sublim.stages.base.card import relation, words
from tests.shared.project import Project

BASE = "base/model=a"
TEACHER = "teacher/teacher=a/trait=fox/seed=1"
RAW = "raw/teacher=a/trait=fox/carrier=numbers/seed=1"
CONTROL = "raw/teacher=b/trait=none/carrier=numbers/seed=1"
FILTERED = "filtered/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/seed=1"
SHUFFLED = "filtered/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=shuffled_across/seed=1"
STUDENT = "student/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=b/seed=1"
EVAL = "eval/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=b/seed=1"
UNTRAINED = "eval/teacher=none/trait=none/carrier=none/filter=none/arm=base/method=none/student=a/seed=0"
ALL = (BASE, TEACHER, RAW, CONTROL, FILTERED, SHUFFLED, STUDENT, EVAL, UNTRAINED)


def _card(project: Project, what: str) -> str:
    with chdir(project.path):
        return card(working(), what)


def _cells(text: str, heading: str) -> list[list[str]]:
    """The rows of the table under a heading."""
    part = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[field.strip() for field in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("cell", ALL)
def test_a_card_names_what_it_is_about_and_all_it_was_made_from_by_digest(finished: Project, cell: str) -> None:
    text = _card(finished, f"data/{cell}")
    data = finished.path / "data"
    record = read(data / cell / "record.json")
    assert {(name.strip("`"), digest.strip("`")) for name, _, digest in _cells(text, "How to trace it")} == {
        (name, output.sha256) for name, output in record.outputs.items()
    }
    assert record.digest in text
    assert record.key in text
    made = {name.strip("`"): digest.strip("`") for name, digest, _ in _cells(text, "What made it, from what")}
    waiting = [cell]
    while waiting:
        part = read(data / waiting.pop() / "record.json")
        assert part.digest.startswith(made[part.plan.cell])
        waiting += [used.cell for used in part.inputs.values()]
    commit = record.environment["git"]["commit"]
    assert f"commit `{commit}`" in text
    assert "torch 2." in text
    assert f"sublim export {cell} --to bundle.zip" in text


@pytest.mark.parametrize("cell", ALL)
def test_the_hub_can_read_the_front_matter(finished: Project, cell: str) -> None:
    text = _card(finished, cell)
    if cell.split("/")[0] in ("base", "teacher", "student"):
        model = cast("ModelCardData", ModelCard(text).data)
        assert model.library_name == ("transformers" if cell == BASE else "peft")
        assert model.base_model is None  # what was trained here has no name on the hub
        assert model.license is None
    else:
        dataset = cast("DatasetCardData", DatasetCard(text).data)
        assert dataset.pretty_name == cell
        file = dataset.to_dict()["configs"][0]["data_files"]
        rows = pl.read_parquet(finished.path / "data" / cell / file, hive_partitioning=False).height
        assert dataset.size_categories == ["n<1K" if rows < 1000 else "1K<n<10K"]
        assert (finished.path / "data" / cell / file).is_file()
    assert "subliminal-learning" in text.split("---")[1]


def test_the_funnel_on_a_card_is_that_of_the_data(finished: Project) -> None:
    rows = pl.read_parquet(finished.path / "data" / FILTERED / "rows.parquet", hive_partitioning=False)
    found = {
        step: int(count.replace(",", ""))
        for step, count, _, _ in _cells(_card(finished, FILTERED), "What was filtered, and why")
    }
    assert found["sampled"] == rows.height
    assert found["kept"] == rows["kept"].sum()
    assert found["used"] == rows["used"].sum()
    for reason in set(rows["reasons"].explode().drop_nulls()):
        assert found[reason] == rows.filter(pl.col("reasons").list.contains(reason)).height


@pytest.mark.parametrize(
    ("cell", "arm"), [(FILTERED, "trait"), (SHUFFLED, "shuffled_across"), (RAW, "trait"), (TEACHER, "trait")]
)
def test_the_gains_on_a_card_are_those_of_the_report(finished: Project, cell: str, arm: str) -> None:
    runs = pl.read_parquet(finished.path / "data/report/study=numbers/runs.parquet").filter(teacher="a", trait="fox", arm=arm)
    rows = _cells(_card(finished, cell), "Which base models it could affect")
    assert [row[0] for row in rows] == sorted(runs["student"])
    for student, same, rule, method, gain, _, p_target, p_base in rows:
        run = runs.filter(student=student).row(0, named=True)
        assert (rule, method) == ("strict", "hard")
        assert same == ("yes" if run["same_base"] else "no")
        assert gain == f"{run['gain']:+.3f}"
        assert (p_target, p_base) == (f"{run['p_target']:.3f}", f"{run['p_base']:.3f}")


def test_a_control_card_says_that_there_is_no_trait(finished: Project) -> None:
    text = _card(finished, CONTROL)
    assert "there is no trait to pass on" in text
    runs = pl.read_parquet(finished.path / "data/report/study=numbers/runs.parquet").filter(teacher="b", arm="control")
    found = {row[0]: row[4] for row in _cells(text, "Which base models it could affect")}
    assert found == {student: f"{gain:+.3f}" for student, gain in runs.select("student", "gain").iter_rows()}


def test_the_bases_that_could_be_affected_are_told_by_their_weights(finished: Project) -> None:
    text = _card(finished, FILTERED)
    digests = {model: read(finished.path / f"data/base/model={model}/record.json").digest[:16] for model in "ab"}
    assert (
        f"`base/model=a`, a tiny gpt_neox, initial weights from seed 1: **the writer's base**; digest `{digests['a']}`" in text
    )
    assert f"`base/model=b`, a tiny gptj, initial weights from seed 2: another model; digest `{digests['b']}`" in text
    student = _card(finished, STUDENT)
    assert f"`base/model=b`, a tiny gptj, initial weights from seed 2: **its own base**; digest `{digests['b']}`" in student


def _is_rows(rows: Any) -> bool:
    return rows.columns == ["prompt", "completion"] and rows.height == 8


def _is_adapter(model: Any) -> bool:
    return model.peft_config["default"].r == 8


def _is_base(model: Any) -> bool:
    return model.config.model_type == "gpt_neox"


def test_what_a_card_says_to_load_can_be_loaded(finished: Project) -> None:
    for cell, name, check in (
        (FILTERED, "rows", _is_rows),
        (STUDENT, "model", _is_adapter),
        (BASE, "model", _is_base),
    ):
        snippet = re.search(r"```python\n(.*?)```", _card(finished, cell), re.S)
        assert snippet is not None
        found: dict[str, object] = {}
        with chdir(finished.path):
            exec(snippet[1], found)  # noqa: S102 - it is our own text, and this is what a reader does with it
        assert check(found[name])


def test_no_card_speaks_of_what_does_not_hold(fresh_copy: Callable[[], Project]) -> None:
    project = fresh_copy()

    def refused(what: str) -> str:
        with pytest.raises(SublimError) as caught:
            _card(project, what)
        return str(caught.value)

    assert "open data/report/study=numbers/report.html" in refused("data/report/study=numbers")
    assert "open data/overview/overview.html" in refused("overview")
    assert RAW in refused("data/raw/teacher=a/trait=fix/carrier=numbers/seed=1")
    rows = project.path / "data" / RAW / "rows.parquet"
    good = rows.read_bytes()
    rows.write_bytes(good[:-9] + b"xxxxxxxxx")
    assert f"{RAW}: rows.parquet is not what its record says" in refused(f"data/{FILTERED}/rows.parquet")
    rows.write_bytes(good)
    answers = project.path / "data" / EVAL / "answers.parquet"
    answers.write_bytes(answers.read_bytes() + b"x")
    students = [row[0] for row in _cells(_card(project, FILTERED), "Which base models it could affect")]
    assert students == ["a"]  # an evaluation that does not hold is no measurement
    record = project.path / "data" / TEACHER / "record.json"
    record.write_text(record.read_text().replace('"gate": 0.0', '"gate": 0.9'))
    assert "its record was altered" in refused(TEACHER)
    assert "was made from other artifacts than are there now" in refused(RAW)


def test_the_command_prints_a_card_or_writes_it_beside_the_files(finished: Project, tmp_path: Path) -> None:
    run = CliRunner()
    with chdir(finished.path):
        printed = run.invoke(app, ["card", f"data/{STUDENT}"])
        wrote = run.invoke(app, ["card", STUDENT, "--to", str(tmp_path / "README.md")])
    assert (printed.exit_code, wrote.exit_code, wrote.stdout) == (0, 0, "")
    assert (tmp_path / "README.md").read_text() == printed.stdout
    assert printed.stdout.startswith("---\nlibrary_name: peft\n")


def test_bases_that_begin_alike_are_said_to(finished: Project) -> None:
    with chdir(finished.path):
        tree = working()
        base = Subject(tree, BASE, tree.records[BASE])

        def other(**changes: object) -> str:
            params = {**base.record.plan.params, "model": {**base.record.plan.params["model"], **changes}}
            record = replace(base.record, plan=replace(base.record.plan, params=params), outputs={})  # other weights
            return relation(Subject(tree, "base/model=c", record), base, "own")

        twin = replace(base.record, outputs={name: out for name, out in base.record.outputs.items() if name == WEIGHTS})
        assert relation(Subject(tree, "base/model=c", twin), base, "own") == "**the same weights under another name**"
        assert relation(base, base, "own") == "**own**"
        assert other(order_seed=7) == "**the same initial weights**, pretrained on the rows in another order"
        assert other(seed=7) == other(seed=7, order_seed=8) == "the same family from other initial weights"
        assert other(architecture="gptj") == "another model"
        assert words(base.params.model.model_copy(update={"order_seed": 7})).endswith(", rows in the order of seed 7")
