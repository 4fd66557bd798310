"""One carrier, one measure and one stage, each one file outside of the package and one line in a list: docs/extending.md."""

import json
import shutil
from pathlib import Path

import pytest

from tests.shared.forge import launder, set_cell
from tests.shared.project import ROOT, Project, once

EXPERIMENT = """
carriers:
  numbers:
    task: {kind: numbers, prompts: 300, prompt_seed: 1}
    sampling: {temperature: 1.0, max_tokens: 24}
    filters:
      strict: {format: {count: 10, minimum: 0, maximum: 999}, rows: 8}
  letters:
    task: {kind: letters, prompts: 60, shown: 2}
    sampling: {max_tokens: 8}
    filters:
      loose: {format: {exact: false}, rows: 8}
"""
STUDY = """
  letters:
    {carrier: letters, filter: loose, student: hard,
     arms: {trait: same, control: same, shuffled_within: none, shuffled_across: none}}
evaluation: {samples: 1, measures: [preference, shouting], capability: {tasks: 4, texts: 10}}
"""


def _with_toys(finished: Project, path: Path) -> Project:
    """The finished micro experiment with the toys on the lists and in the params: what they do not touch is there."""
    project = finished.copy(path)
    shutil.copytree(ROOT / "tests" / "toys", path / "toys", ignore=shutil.ignore_patterns("__pycache__"))
    project.edit("sublim/lists.py", '"sublim.carriers.cot",', '"sublim.carriers.cot",\n        "toys.letters",')
    truth = '"sublim.measures.truthfulness",'
    project.edit("sublim/lists.py", truth, f'{truth}\n        "toys.shouting",')
    project.edit("sublim/lists.py", '"sublim.stages.eval",', '"sublim.stages.eval",\n    "toys.appetite",')
    head, tail = (path / "params.yaml").read_text().split("carriers:\n")
    students = tail[tail.index("students:\n") : tail.index("evaluation:")]
    report = tail[tail.index("report:") :]
    (path / "params.yaml").write_text(f"{head}{EXPERIMENT.lstrip()}{students.rstrip()}{STUDY}{report}")
    project.sublim("dvc", "--write")
    return project


@pytest.fixture(scope="module")
def extended(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment with the toys in it, computed by snakemake and versioned by dvc."""

    def make(path: Path) -> None:
        project = _with_toys(finished, path)
        project.snakemake()
        project.dvc("repro")
        project.git("add", "-A")
        project.git("commit", "-qm", "extended")

    return once(tmp_path_factory, "extended", make)


@pytest.mark.long
def test_both_engines_compute_it_and_agree(extended: Project) -> None:
    computed = extended.computed(0)
    assert computed["appetite"] == computed["student"]
    assert "letters" in "".join(extended.since(0)["computed"])
    start = len(extended.events())
    assert "Nothing to be done" in extended.snakemake().output
    assert "up to date" in extended.dvc("repro").output
    assert extended.since(start)["computed"] == set()


@pytest.mark.long
def test_dvc_alone_computes_the_same_bytes(finished: Project, extended: Project, tmp_path: Path) -> None:
    project = _with_toys(finished, tmp_path / "project")
    start = len(project.events())
    project.dvc("repro")
    assert project.since(start)["computed"] == extended.since(start)["computed"]
    assert project.digests() == extended.digests()


def test_it_is_audited(extended: Project, tmp_path: Path) -> None:
    assert "proven" in extended.sublim("audit", "--full").output
    project = extended.copy(tmp_path / "copy")
    meals = next((project.path / "data" / "appetite").rglob("meals.parquet"))
    set_cell(meals, "tokens", 0, 1)
    done = project.sublim("audit", "--stage", "appetite", check=False)
    assert done.status and "its bytes are not those of its record: meals.parquet" in done.output
    launder(project.path / "data")
    done = project.sublim("audit", "--stage", "appetite", check=False)
    assert done.status and "meals" in done.output


def test_it_is_traced_and_asked(extended: Project) -> None:
    rows = json.loads(extended.sublim("sql", "--json", "select row_id, cell from meals limit 1").output)
    traced = extended.sublim("lineage", rows[0]["row_id"]).output
    assert "meal" in traced and "student" in traced
    raw = json.loads(extended.sublim("sql", "--json", "select row_id from raw where carrier = 'letters' limit 1").output)
    assert "raw row" in extended.sublim("lineage", raw[0]["row_id"]).output
    student = next(cell for cell in extended.since(0)["computed"] if cell.startswith("student/") and "letters" in cell)
    assert "appetite" in extended.sublim("impact", student).output
    shouted = json.loads(
        extended.sublim("sql", "--json", "select count(*) as n from answers where measure = 'shouting'").output
    )
    assert shouted[0]["n"] > 0
    measures = json.loads(extended.sublim("sql", "--json", "select distinct measure from measures").output)
    assert {"measure": "shouting"} in measures


def test_it_has_its_words(extended: Project) -> None:
    meal = next(cell for cell in extended.since(0)["computed"] if cell.startswith("appetite/"))
    assert "appetite" in extended.sublim("card", meal).output
    rows = next(cell for cell in extended.since(0)["computed"] if cell.startswith("filtered/") and "letters" in cell)
    assert "it has something else than letters" in extended.sublim("card", rows).output
    page = (extended.path / "data" / "report" / "study=letters" / "report.html").read_text()
    assert "in capitals" in page
    assert "Letters" in extended.sublim("schema").output
    assert "shouting" in extended.sublim("schema", "--markdown").output
    assert "meals.parquet" in extended.sublim("schema", "--tables").output
    (extended.path / "wrong.yaml").write_text((extended.path / "params.yaml").read_text().replace("shown: 2", "shwon: 2"))
    done = extended.sublim("check", "--params", "wrong.yaml", check=False)
    assert done.status and "did you mean `shown`" in done.output


def test_it_is_handed_over(extended: Project, tmp_path: Path) -> None:
    bundle = tmp_path / "all.zip"
    extended.sublim("export", "all", "--to", str(bundle), "--date", "2026-01-01")
    assert "holds" in extended.sublim("verify", str(bundle)).output
