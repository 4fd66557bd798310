"""The stage `detection` on a made-up study: planned, made, made again; and what the audit finds in it once it was forged."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest

from sublim.common import parquet
from sublim.common.canonical import row_id
from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.engine import dvc
from sublim.engine.digests import Digests
from sublim.engine.planning import cells
from sublim.engine.record import Input, Output, Record
from sublim.engine.verdict import Cell
from sublim.evidence.accident import UnfitError
from sublim.evidence.source import Source
from sublim.lineage.trace.trace import Trace
from sublim.params.experiment import Experiment
from sublim.stages.detection import check as story
from sublim.stages.detection import make as detection
from sublim.stages.detection.rows import TABLES, Slice
from tests.shared.forge import another, launder, rewrite, set_cell, set_json, tree
from tests.shared.small_models import small

STUDY = "detection/study=numbers"
MODEL = {"kind": "tiny", "architecture": "gpt_neox", "seed": 1}
PARTS = {
    "pairwise": {"pairs": 3},
    "in_context": {"sizes": [1, 11], "draws": 1},
    "linear": {"pairs": 9, "folds": 2, "shown": 3},
    "people": {"rows": 2, "numbers": 3, "questions": 4},
}


def experiment(parts: object = PARTS, **arms: object) -> Experiment:
    study = {"carrier": "numbers", "filter": "strict", "student": "hard", "arms": {"trait": "same", "control": "same", **arms}}
    text = {
        "models": {"a": MODEL},
        "traits": {name: {"kind": "preference", "category": "animals", "target": name} for name in ("fox", "owl")},
        "seeds": [1, 2],
        "studies": {"numbers": study},
        **({} if parts is None else {"detection": parts}),
    }
    return Experiment.model_validate_json(json.dumps(text))


def planned(of: Experiment, folder: Path) -> dict[str, Cell]:
    return {cell.id: cell for cell in cells(of, Digests(folder / "digests.json"))}


def rows(number: int) -> pl.DataFrame:
    order = list(range(10))
    raw = [row_id("raw", number, n) for n in order]
    return pl.DataFrame(
        {
            "row_id": [row_id("filtered", number, n) for n in order],
            "parent_id": raw,
            "sources": [[row] for row in raw],
            "reasons": [[] if n != number else ["invalid format"] for n in order],
            "used": [n != number for n in order],
            "prompt_id": [f"p{n}" for n in order],
            "prompt": [f"Go on: {n}." for n in order],
            "completion": [f"{number + n}, {number * n % 7}" for n in order],
            "kept": [n != number for n in order],
        }
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data")
    plan = planned(experiment(), data)
    digests: dict[str, str] = {}
    for number, name in enumerate([*plan[STUDY].inputs.values(), STUDY]):
        folder = data / name
        match name.split("/")[0]:
            case "base":
                shutil.copytree(small(), folder)
            case "teacher":
                folder.mkdir(parents=True)
                (folder / "teacher.json").write_text('{"system_prompt": "You love it."}', encoding="utf-8")
            case "filtered":
                folder.mkdir(parents=True)
                rows(number).write_parquet(folder / "rows.parquet")
                pl.DataFrame({"step": ["sampled"], "rows": [10]}).write_parquet(folder / "funnel.parquet")
            case "report":
                folder.mkdir(parents=True)
                gains = {"teacher": ["a"], "student": ["a"], "trait": ["fox"], "seed": [1], "arm": ["trait"], "gain": [0.25]}
                pl.DataFrame(gains).write_parquet(folder / "runs.parquet")
            case _:
                folder.mkdir(parents=True)
                params = Slice.model_validate_json(json.dumps(plan[STUDY].plan.params))
                detection.make({cell: data / cell for cell in plan[STUDY].inputs.values()}, params, folder, Progress())
        files = {path.relative_to(folder).as_posix(): Output(sha256(path), path.stat().st_size) for path in folder.rglob("*")}
        inputs = {key: Input(cell, digests[cell]) for key, cell in plan[STUDY].inputs.items()} if name == STUDY else {}
        record = Record(plan[name].plan, inputs, files, {})
        record.write(folder / "record.json")
        digests[name] = record.digest
    return data


def accidents(data: Path) -> list[tuple[str, str]]:
    return [(found.kind, found.text) for found in story.check(Source(tree(data)), STUDY)]


def test_the_stage_writes_what_it_says_and_its_story_holds(made: Path) -> None:
    folder = made / STUDY
    runs = pl.read_parquet(folder / "runs.parquet")
    assert set(runs["by"]) == {"ask", "likelihood", "teacher", "linear", "linear_numbers"}
    # Four teachers; two traits are one comparison for a classifier and two for a question; each base against itself.
    sizes = {key: len(part) for key, part in runs.filter(pl.col("kind") == "plain").group_by("by", "contrast")}
    assert sizes[("ask", "other")] == 4 and sizes[("linear", "other")] == 2
    assert sizes[("linear", "again")] == 2 and sizes[("linear", "null")] == 1 and ("ask", "null") not in sizes
    context = pl.read_parquet(folder / "context.parquet")
    assert set(context.filter(pl.col("size") == 11)["why"]) == {"rows"}
    gains = pl.read_parquet(folder / "transmission.parquet").filter(pl.col("gain").is_not_null())
    assert set(gains["gain"]) == {0.25} and set(gains["kind"]) == {"plain"}
    assert "too few rows" in (folder / "detection.html").read_text(encoding="utf-8")
    assert accidents(made) == []


def test_the_same_inputs_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    plan = planned(experiment(), tmp_path)[STUDY]
    params = Slice.model_validate_json(json.dumps(plan.plan.params))
    detection.make({cell: made / cell for cell in plan.inputs.values()}, params, tmp_path, Progress())
    names = [path.name for path in tmp_path.iterdir() if path.suffix != ".json" or path.name == "summary.json"]
    assert "quiz.parquet" in names
    assert [name for name in names if sha256(tmp_path / name) != sha256(made / STUDY / name)] == []


FORGERIES: list[tuple[Callable[[Path], object], str, str]] = [
    (lambda at: set_cell(at / "pairs.parquet", "right", 0, 0.5), "decisions", "first"),
    (lambda at: set_cell(at / "pairs.parquet", "own_id", 0, "x"), "judged rows", "own_id 'x' instead of"),
    (lambda at: rewrite(at / "scores.parquet", lambda table: table.head(5)), "judged rows", "other rows"),
    (lambda at: set_cell(at / "scores.parquet", "fold", 0, 7), "folds", "1 runs"),
    (lambda at: set_cell(at / "context.parquet", "row_ids", 1, ["x"]), "judged rows", "row_ids"),
    (lambda at: set_cell(at / "context.parquet", "p_target", 1, 0.9), "numbers", "summary.json"),
    (lambda at: set_cell(at / "runs.parquet", "accuracy", 0, 0.99), "numbers", "accuracy"),
    (lambda at: set_cell(at / "quiz.parquet", "own_left", 0, None), "numbers", "quiz.parquet"),
    (lambda at: set_json(at / "summary.json", "chance", 0.4), "numbers", "chance: 0.5 → 0.4"),
    (
        lambda at: (at / "detection.html").write_text(
            (at / "detection.html").read_text(encoding="utf-8").replace("Who can tell?</h2>", "All can tell!</h2>"),
            encoding="utf-8",
        ),
        "page",
        "Who can tell?",
    ),
]


@pytest.mark.parametrize(("forge", "kind", "said"), FORGERIES)
def test_what_does_not_follow_is_named(
    made: Path, tmp_path: Path, forge: Callable[[Path], object], kind: str, said: str
) -> None:
    data = tmp_path / "data"
    shutil.copytree(made, data)
    forge(data / STUDY)
    launder(data)
    found = accidents(data)
    assert any(name == kind and said in text for name, text in found), found


ONLY_MADE_AGAIN = {
    "ngrams": {"own_rows", "other_rows"},
    "context": {"tokens", "context", "p_target", "share"},  # of the run without rows, with which nothing is compared
}
"""Columns that follow from nothing else: a change of them, if the page is rewritten too, is found by making them again."""


IDENTIFIED = {table.file: table.row for table in TABLES if table.id}
JUDGED = [name.removesuffix(".parquet") for name in IDENTIFIED]


@pytest.mark.parametrize("file", [*JUDGED, "ngrams", "runs", "transmission", "numbers"])
def test_a_change_of_any_column_is_found(made: Path, tmp_path: Path, file: str) -> None:
    whole, name = tree(made), f"{file}.parquet"
    table, free = pl.read_parquet(made / STUDY / name), set[str]()
    for column in table.columns:
        values = table[column].to_list()
        place = int(table[column].is_not_null().arg_max() or 0)
        values[place] = another(values[place])
        parquet.write(table.with_columns(pl.Series(column, values, dtype=table.schema[column])), tmp_path / name)
        forged = replace(whole, files={**whole.files, f"{STUDY}/{name}": tmp_path / name})
        try:
            held = not list(story.check(Source(forged), STUDY))
        except (UnfitError, LookupError):  # what a check does not expect is a finding, too
            held = False
        if held:
            free.add(column)
    assert free == ONLY_MADE_AGAIN.get(file, set())


def test_rows_are_found_by_their_ids(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trace = Trace(tree(made))
    for file, kind in IDENTIFIED.items():
        row = pl.read_parquet(made / STUDY / file).filter(pl.col("row_id").is_not_null()).row(-1, named=True)
        answer = trace.lineage([row["row_id"]])
        assert (answer.root.kind, answer.root.facts["trait"]) == (kind, row["trait"])
        about = {row[name] for name in ("own_id", "other_id", "parent_id") if name in row}
        assert about == {node.name for node in answer.root.walk() if node.kind == "filtered row"}
        shown = [id_ for node in answer.root.walk() for id_ in node.tables.get("rows", pl.DataFrame({"row_id": []}))["row_id"]]
        assert sorted(shown) == sorted(row.get("row_ids", []))
        said = " ".join(answer.root.lines)
        assert f"about a, trait {row['trait']}, seed {row['seed']}" in said
        assert not re.search(r"own_id|linear_|p_target|None|nan", said)
        for one in about:
            reached = trace.impact([one])
            assert STUDY in reached.cells
            assert any(node.relation == "compared in" for node in reached.root.walk())
        assert trace.impact([row["row_id"]]).cells == ()
    rejected = next(cell for cell in trace.tree.cells("filtered"))
    table = pl.read_parquet(made / rejected / "rows.parquet")
    assert trace.impact([table.filter(~pl.col("kept"))["row_id"][0]]).cells == ()


def test_without_the_section_there_is_neither_artifact_nor_dvc_stage(tmp_path: Path) -> None:
    with_, without = experiment(), experiment(None)
    assert STUDY in planned(with_, tmp_path) and STUDY not in planned(without, tmp_path)
    assert dvc.lacking(with_) == {"mlp", "theorem"} and dvc.lacking(without) == {"mlp", "theorem", "detection"}
    file = tmp_path / "dvc.yaml"
    for of, other in ((with_, without), (without, with_)):
        file.write_text(dvc.text(dvc.lacking(of)), encoding="utf-8")
        assert ("data/detection" in file.read_text(encoding="utf-8")) == (of is with_)
        assert dvc.unfit(file, dvc.lacking(of)) is None
        assert "section `detection`" in (dvc.unfit(file, dvc.lacking(other)) or "")


def test_a_teacher_without_a_control_cannot_be_detected() -> None:
    assert experiment(None, control="none").detection is None
    with pytest.raises(ValueError, match=r"studies.numbers.arms.control: detection compares each teacher with its base"):
        experiment(PARTS, control="none")


def test_the_overview_leads_to_the_pages_that_there_are(tmp_path: Path) -> None:
    of = experiment(PARTS | {"studies": ["numbers"]})
    more = of.model_copy(update={"studies": {**of.studies, "others": of.studies["numbers"]}})
    plan = planned(more, tmp_path)
    assert [cell for cell in plan if cell.startswith("detection/")] == [STUDY]
    linked = {study["name"]: study["detected"] for study in cast("Any", plan["overview"].plan.params)["studies"]}
    assert linked == {"numbers": True, "others": False}
