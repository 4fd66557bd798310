"""Models that come of other models, in a whole experiment: planned, computed, audited, traced and handed over."""

import json

import polars as pl
import pytest

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
