"""Snakemake and DVC on one experiment: each alone gives the same bytes, and after either the other has nothing to compute."""

import os
import random
import shutil
from pathlib import Path

import pytest

from sublim.engine import dvc
from sublim.engine.planning import experiment
from tests.shared.project import ROOT, Project, create


def test_dvc_yaml_is_generated_from_this_code() -> None:
    without = dvc.lacking(experiment(ROOT / "params.yaml"))
    assert (ROOT / "dvc.yaml").read_text(encoding="utf-8") == dvc.text(without), "run `sublim dvc --write`"


def test_both_engines_give_the_same_bytes_and_leave_nothing_to_the_other(finished: Project, tmp_path: Path) -> None:
    project = create(tmp_path / "by-dvc")
    project.dvc("repro")
    assert project.digests() == finished.digests()
    assert "up to date" in project.dvc("status").output
    start = len(project.events())
    project.snakemake()
    project.dvc("repro")
    assert project.events()[start:] == []


def test_dvc_after_snakemake_computes_nothing_and_versions_everything(finished: Project, versioned: Project) -> None:
    assert versioned.events() == finished.events()
    assert versioned.digests() == finished.digests()
    assert "Data and pipelines are up to date" in versioned.dvc("status").output
    assert "diagonal" in versioned.dvc("metrics", "show").output
    versioned.dvc("plots", "show", "--json")


def _clone(project: Project, path: Path, link: str, seed: int) -> Project:
    project.run("git", "clone", "-q", os.fspath(project.path), os.fspath(path))
    clone = Project(path)
    clone.dvc("config", "--local", "cache.type", link)
    clone.dvc("pull")
    order = random.Random(seed)
    for file in sorted(path.rglob("*")):
        if file.is_file() and not {".git", ".dvc"} & set(file.relative_to(path).parts):
            time = order.uniform(1, 4e9)
            os.utime(file, (time, time), follow_symlinks=False)
    return clone


@pytest.mark.parametrize(
    "link", ["copy", pytest.param("hardlink", marks=pytest.mark.slow), pytest.param("symlink", marks=pytest.mark.slow)]
)
def test_a_clone_with_any_link_type_has_nothing_to_compute(versioned: Project, tmp_path: Path, link: str) -> None:
    clone = _clone(versioned, tmp_path / "clone", link, seed=len(link))
    assert not (clone.path / ".snakemake").exists()
    assert clone.sublim("audit").status == 0
    clone.snakemake()
    clone.dvc("repro")
    assert clone.events() == []
    assert clone.digests() == versioned.digests()


@pytest.mark.slow
def test_in_a_linked_clone_a_change_does_not_reach_the_cache(versioned: Project, tmp_path: Path) -> None:
    clone = _clone(versioned, tmp_path / "clone", "symlink", seed=7)
    clone.edit("params.yaml", "maximum: 999", "maximum: 1000")
    clone.snakemake()
    assert clone.computed(0) == {"filtered": 8}
    clone.git("checkout", "-q", "params.yaml")
    clone.dvc("checkout", "--force")
    start = len(clone.events())
    clone.snakemake()
    assert clone.events()[start:] == []
    assert clone.digests() == versioned.digests()


@pytest.mark.slow
def test_old_params_with_new_data_are_restored(versioned: Project) -> None:
    before = versioned.digests()
    versioned.edit("params.yaml", "b: {learning_rate: 0.005} # student b", "b: {learning_rate: 0.003} # student b")
    versioned.snakemake()
    versioned.git("checkout", "-q", "--", "params.yaml")
    start = len(versioned.events())
    versioned.dvc("repro")
    assert not versioned.since(start)["computed"]
    assert versioned.digests() == before


def test_nothing_is_versioned_that_does_not_pass_the_audit(versioned: Project) -> None:
    stranger = versioned.path / "data/raw/teacher=a/trait=fox/carrier=numbers/seed=1/more.parquet"
    stranger.write_bytes(b"rows of another run")
    done = versioned.dvc("repro", "--force", "--single-item", "raw", check=False)
    assert done.status != 0
    assert "more.parquet is not in its record" in done.output


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("seeds: [1]", "seeds: [one]", "params.yaml:20: seeds.0: Input should be a valid integer"),
        ("students:\n", "studnets:\n", "params.yaml:33: studnets: unknown key; did you mean `students`?"),
    ],
)
def test_a_mistake_in_the_params_is_named_by_every_tool(project: Project, old: str, new: str, expected: str) -> None:
    project.edit("params.yaml", old, new)
    start = len(project.events())
    for command in ("snakemake -n", "snakemake -j2", "dvc repro", "python -m sublim check", "python -m sublim audit"):
        done = project.run(*command.split(), check=False)
        assert done.status != 0, command
        assert expected in done.output, command
        assert "Traceback" not in done.output
    assert project.events()[start:] == []


def test_the_code_of_another_checkout_gives_no_verdict(project: Project) -> None:
    refused = project.run("sublim", "audit", check=False)  # the console script runs the code that is installed
    assert refused.status == 1
    assert "this folder has code of its own (sublim)" in refused.output
    assert project.sublim("audit").status == 0


@pytest.mark.slow
def test_another_experiment_runs_beside_this_one_with_its_own_data(project: Project) -> None:
    before = project.digests()
    other = project.path / "runs" / "other"
    other.mkdir(parents=True)
    shutil.copy(project.path / "params.yaml", project.path / "other.yaml")
    project.edit("other.yaml", "seeds: [1]", "seeds: [5]")
    project.snakemake("base_all", "--directory", "runs/other", "--configfile", "other.yaml")
    assert (other / "data/base/model=a/record.json").exists()
    assert project.digests() == before
    assert Project(other).run("sublim", "check").output.startswith("../../other.yaml: 44 artifacts")
    refused = project.snakemake("-n", "--config", "seeds=[2]", check=False)
    assert refused.status != 0
    assert "an experiment is its params file alone" in refused.output
