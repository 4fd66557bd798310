"""`sublim gc` frees what nothing reaches, and never what something does."""

import json
import os
import shutil
import sys
from pathlib import Path

from sublim.engine.record import read
from tests.shared.project import Project

LEARNING_RATE = ("b: {learning_rate: 0.005} # student b", "b: {learning_rate: 0.003} # student b")


def _keys(project: Project) -> set[str]:
    return {path.stem for path in (project.path / ".sublim/store/keys").glob("*/*.json")}


def _digests(project: Project) -> set[str]:
    return {path.name for path in (project.path / ".sublim/store/objects").glob("*/*")}


def _needed(project: Project) -> tuple[set[str], set[str]]:
    """Keys, and digests of outputs, of what is in data/."""
    records = [read(path) for path in (project.path / "data").rglob("record.json")]
    return {record.key for record in records}, {output.sha256 for record in records for output in record.outputs.values()}


def test_what_data_holds_is_kept_and_what_nothing_holds_is_freed(project: Project) -> None:
    before = _keys(project)
    project.edit("params.yaml", *LEARNING_RATE)
    project.snakemake()
    (project.path / ".sublim/store/objects/00").mkdir(exist_ok=True)
    half = project.path / ".sublim/store/objects/00/.half-written"
    half.write_text("x")
    keys, digests = _needed(project)
    assert before - keys
    dry = json.loads(project.sublim("gc", "--dry-run", "--json").output)
    assert {Path(path).stem for path in dry["keys"]} == before - keys
    assert half.exists()
    assert "freed" in project.sublim("gc").output
    assert (_keys(project), _digests(project)) == (keys, digests)
    assert not half.exists()
    start = len(project.events())
    project.edit("params.yaml", *reversed(LEARNING_RATE))
    project.snakemake()
    # What was freed is computed again: the student column that had changed, and what follows it.
    assert project.computed(start) == {"student": 6, "eval": 6, "report": 1, "overview": 1}
    assert project.sublim("audit").status == 0


def test_what_a_revision_holds_is_kept(versioned: Project) -> None:
    project = versioned
    before = _keys(project)
    project.edit("params.yaml", *LEARNING_RATE)
    project.snakemake()
    project.sublim("gc")
    assert before <= _keys(project)
    start = len(project.events())
    project.git("checkout", "-q", "params.yaml")
    project.snakemake()
    assert project.computed(start) == {}
    # When DVC's cache no longer says what the revision holds, nothing is freed but by force.
    shutil.rmtree(project.path / ".dvc/cache")
    refused = project.sublim("gc", check=False)
    assert refused.status == 1
    assert "cannot tell what is reached by revision" in refused.output
    assert before <= _keys(project)
    assert project.sublim("gc", "--ignore-missing").status == 0
    assert _keys(project) == _needed(project)[0]


def test_a_store_that_two_experiments_share_is_cleared_for_both(project: Project, tmp_path: Path) -> None:
    other = project.copy(tmp_path / "other")
    shared = str(tmp_path / "shared")
    for one, (old, new) in ((project, LEARNING_RATE), (other, ("minimum: 0", "minimum: 1"))):
        one.edit("params.yaml", old, new)
        one.snakemake(SUBLIM_STORE=shared)
    # Only what was replaced or made since is in the shared store.
    keys = {path.stem for path in (tmp_path / "shared/keys").glob("*/*.json")}
    needed = _needed(project)[0] | _needed(other)[0]
    project.run("sublim", "gc", SUBLIM_STORE=shared)
    left = {path.stem for path in (tmp_path / "shared/keys").glob("*/*.json")}
    assert left == keys & needed != keys
    shutil.rmtree(other.path)
    refused = project.run("sublim", "gc", check=False, SUBLIM_STORE=shared)
    assert refused.status == 1
    assert "which is gone" in refused.output
    assert {path.stem for path in (tmp_path / "shared/keys").glob("*/*.json")} == left


def _clone(project: Project, path: Path, *options: str) -> Project:
    project.run("git", "clone", "-q", *options, f"file://{project.path}", os.fspath(path))
    shutil.copytree(project.path / ".sublim/store", path / ".sublim/store")
    shutil.copytree(project.path / ".dvc/cache", path / ".dvc/cache")
    return Project(path)


def test_where_older_revisions_cannot_be_seen_nothing_is_freed(versioned: Project, tmp_path: Path) -> None:
    """Only the first revision reaches the computations; the second, which versions nothing, is all that some clones have."""
    versioned.git("rm", "-q", "--cached", "dvc.lock")
    versioned.git("commit", "-qm", "another")
    before = _keys(versioned)
    whole = _clone(versioned, tmp_path / "whole")
    assert f"kept {len(before)} computations" in whole.sublim("gc", "--dry-run").output
    shallow = _clone(versioned, tmp_path / "shallow", "--depth", "1")
    for command in (("gc",), ("gc", "--dry-run")):
        refused = shallow.sublim(*command, check=False)
        assert refused.status == 1
        assert "shallow" in refused.output
        assert "git fetch --unshallow" in refused.output
    assert _keys(shallow) == before
    said = shallow.sublim("diff", "HEAD~1", check=False)
    assert said.status == 1
    assert "shallow" in said.output
    assert "git fetch --unshallow" in said.output
    assert "shallow" not in whole.sublim("diff", "HEAD~7", check=False).output
    foreign = whole.run(
        sys.executable, "-m", "sublim", "gc", check=False, GIT_TEST_ASSUME_DIFFERENT_OWNER="1", HOME=os.fspath(tmp_path)
    )
    assert foreign.status == 1
    assert "dubious ownership" in foreign.output
    assert _keys(whole) == before
    shallow.git("fetch", "-q", "--unshallow")
    assert f"kept {len(before)} computations" in shallow.sublim("gc").output
    assert _keys(shallow) == before


def test_where_the_lock_of_a_revision_is_not_here_nothing_is_freed(versioned: Project, tmp_path: Path) -> None:
    """A partial clone has all commits, and of older ones no files: without its remote, nobody can say what they reach."""
    versioned.git("rm", "-q", "--cached", "dvc.lock")
    versioned.git("commit", "-qm", "another")
    versioned.git("config", "uploadpack.allowFilter", "true")
    before = _keys(versioned)
    partial = _clone(versioned, tmp_path / "partial", "--filter=blob:none")
    partial.git("config", "remote.origin.url", f"file://{tmp_path}/nowhere")
    for command in (("gc",), ("gc", "--dry-run")):
        refused = partial.sublim(*command, check=False)
        assert refused.status == 1
        assert "whose dvc.lock is not here (a partial clone without its remote?)" in refused.output
        assert "nothing was freed" in refused.output
        assert "Traceback" not in refused.output
    assert _keys(partial) == before
    partial.git("config", "remote.origin.url", f"file://{versioned.path}")
    assert f"kept {len(before)} computations" in partial.sublim("gc").output
    assert _keys(partial) == before
