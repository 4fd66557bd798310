"""Models that come of other models, in a whole experiment: planned, computed, audited, traced and handed over."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from sublim.common import parquet
from sublim.engine.stage import stages
from sublim.learn.tensors import tensor_table
from sublim.lineage.story import story
from tests.shared.forge import launder, relabel, set_cell, tree
from tests.shared.project import Project, create

RELATIVES = """\
  half:
    kind: derived
    parent: a
    branch: {at: 0.5, order_seed: 3}
  taught:
    kind: derived
    parent: half
    training:
      corpus:
        rows: 64
        corpus_seed: 5
        mix: {questions: 0.5, numbers: 0.5, facts: 0, prompted_questions: 0, prompted_numbers: 0}
      finetune: {epochs: 1, batch: 16, learning_rate: 0.01, lora: {rank: 4, targets: all-linear}}
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_relatives_are_planned_made_audited_traced_and_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    project = create(tmp_path_factory.mktemp("relatives") / "project")
    project.edit("params.yaml", "traits:\n  fox", f"{RELATIVES}traits:\n  fox")
    project.edit(
        "params.yaml", "trait: all, control: all, shuffled_within: same, shuffled_across: same", "trait: all, control: none"
    )
    project.snakemake()
    assert project.sublim("audit").status == 0
    made = {event["cell"] for event in project.events()}
    assert {"base/model=half", "base/model=taught"} <= made
    start = len(project.events())
    project.dvc("repro")
    assert project.events()[start:] == []
    _traced(project)
    _reported(project)
    _forgeries_are_named(project, tmp_path_factory.mktemp("forged"))
    _a_changed_parent_reaches_its_children(project)


def _traced(project: Project) -> None:
    card = project.sublim("card", "base", "model=taught").output
    assert "Comes of: `base/model=half`" in card
    assert "of `base/model=a`" in card
    affected = project.sublim("card", "teacher", "teacher=a").output
    assert "**a descendant of it**: both share 50% of the pretraining of `a`" in affected
    assert "and 4 updates apart" in affected
    reached = json.loads(project.sublim("impact", "base/model=a", "--json").output)
    assert "base/model=taught" in json.dumps(reached)
    told = project.sublim("lineage", "base/model=taught").output
    assert "comes of" in told
    assert "leaves the pretraining of its parent at 50%" in told


def _reported(project: Project) -> None:
    """The report tells of transmission by shared history, of those alone who are of one pretraining."""
    said = project.sublim(
        "sql", "--csv", "SELECT DISTINCT teacher, student, share, way, direction FROM history_runs ORDER BY ALL"
    )
    assert said.output.splitlines()[1:] == [
        "a,a,1.0,both,from the trunk",
        "a,half,0.5,order,from the trunk",
        "half,a,0.5,order,to the trunk",
        "half,half,1.0,both,between branches",
    ]


def _forgeries_are_named(project: Project, scratch: Path) -> None:
    """With every digest in order, what a relative has in common with its parent and what it was taught are checked all the
    same."""

    def found(name: str, change: Callable[[Path], None]) -> set[tuple[str, str]]:
        data = shutil.copytree(project.path / "data", scratch / name)
        change(data)
        launder(data)
        findings = story.check(tree(data), tuple(stages()), None)
        return {(finding.artifact, finding.found.partition(":")[0]) for finding in findings}

    def history(data: Path) -> None:
        set_cell(data / "base/model=half/steps.parquet", "loss", 3, 1.25)

    def rows(data: Path) -> None:
        set_cell(data / "base/model=taught/corpus.parquet", "completion", 0, "owl")

    def copied(data: Path) -> None:
        """The parent's own training in the place of that of its branch."""
        without_record = shutil.ignore_patterns("record.json")
        shutil.copytree(data / "base/model=a", data / "base/model=half", dirs_exist_ok=True, ignore=without_record)
        for file in ("steps", "corpus", "tensors"):
            relabel(data / f"base/model=half/{file}.parquet", model="half")

    def untaught(data: Path) -> None:
        """The parent itself in the place of what was trained further."""
        for file in ("model.safetensors", "tensors.parquet"):
            shutil.copy(data / "base/model=half" / file, data / "base/model=taught" / file)
        relabel(data / "base/model=taught/tensors.parquet", model="taught")

    def another(data: Path) -> None:
        """Weights of no one."""
        path = data / "base/model=taught/model.safetensors"
        drawn = np.random.default_rng(0)
        weights = {name: drawn.normal(size=each.shape).astype(each.dtype) for name, each in load_file(path).items()}
        save_file(weights, path, metadata={"format": "pt"})
        tensors = tensor_table([path]).select(pl.lit("taught").alias("model"), pl.all())
        parquet.write(tensors, data / "base/model=taught/tensors.parquet")

    def share(data: Path) -> None:
        """A student that has more in common with its teacher than it had."""
        set_cell(data / "report/study=numbers/history_runs.parquet", "share", 0, 0.75)

    assert ("base/model=taught", "weights") in found("untaught", untaught)
    assert ("base/model=taught", "weights") in found("another", another)
    assert ("base/model=half", "history") in found("history", history)
    assert ("base/model=taught", "corpus") in found("rows", rows)
    assert ("base/model=half", "order of rows") in found("copied", copied)
    assert ("report/study=numbers", "numbers") in found("share", share)


def _a_changed_parent_reaches_its_children(project: Project) -> None:
    """A branch whose parent's history was rewritten is found, and another parent makes others of all that comes of it."""
    steps = project.path / "data/base/model=half/steps.parquet"
    table = pl.read_parquet(steps)
    assert table["loss"][:90].equals(pl.read_parquet(project.path / "data/base/model=a/steps.parquet")["loss"][:90])
    project.edit("params.yaml", "    seed: 1\n", "    seed: 4\n")
    told = project.snakemake("-n").output
    for name in ("a", "half", "taught"):
        assert f"base/model={name}: " in told
    assert "base/model=b: " not in told
