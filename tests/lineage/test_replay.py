"""`sublim audit --replay`: artifacts made again from their recorded inputs; and `--cache`, the copies behind them."""

import json
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

from sublim.common import parquet
from sublim.common.files import sha256
from sublim.engine.record import Output, Record, read
from sublim.lineage.compare import compare
from tests.shared.project import Project

EVAL = "eval/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=a/seed=1"


def _launder(project: Project, cell: str) -> None:
    """Make the record of `cell` say what its files are now."""
    directory = project.path / "data" / cell
    old = read(directory / "record.json")
    outputs = {name: Output(sha256(directory / name), (directory / name).stat().st_size) for name in old.outputs}
    Record(old.plan, old.inputs, outputs, old.environment).write(directory / "record.json")


def test_artifacts_drawn_at_random_come_out_with_the_same_bytes(project: Project) -> None:
    before = project.digests()
    done = project.sublim("audit", "--replay", "2", "--replay", "data/report/study=numbers")
    assert "of which 3 came out with the same bytes" in done.output or "of which 2 came" in done.output
    assert project.digests() == before
    assert not list((project.path / ".sublim/replay").iterdir())


def test_an_artifact_that_was_not_made_from_its_inputs_is_named(project: Project) -> None:
    path = project.path / "data" / EVAL / "answers.parquet"
    table = pl.read_parquet(path, hive_partitioning=False)
    # Not of every measure: two answers that must have a sum of 1 would give it away without a replay.
    asked = (pl.col("measure") == "preference").cast(pl.Float64)
    parquet.write(table.with_columns(pl.col("probability") + asked * 1e-6), path)
    _launder(project, EVAL)
    done = project.sublim("audit", "--json", "--replay", f"data/{EVAL}", check=False)
    found = [one for one in json.loads(_json(done.output)) if one["artifact"] == EVAL]
    assert len(found) == 1
    assert "answers.parquet: probability by at most 1e-06" in found[0]["found"]
    assert found[0]["status"] == 1
    # On a machine that did not make it, other floats are no proof of anything; by how much is still told.
    (project.path / ".sublim/history.jsonl").unlink()
    done = project.sublim("audit", "--json", "--replay", f"data/{EVAL}", check=False)
    found = [one for one in json.loads(_json(done.output)) if one["artifact"] == EVAL]
    assert found[0]["status"] == 4
    assert "made on another machine" in found[0]["found"]
    assert "by at most 1e-06" in found[0]["found"]


def test_what_does_not_hold_or_is_no_artifact_is_not_replayed(project: Project) -> None:
    nothing = project.sublim("audit", "--replay", "data/nothing", check=False)
    assert nothing.status == 1
    assert "data/nothing: no artifact, row, digest or source file is named so in data (44 artifacts" in nothing.output
    assert "Artifacts are named like base/model=a" in nothing.output
    project.edit("params.yaml", "minimum: 0", "minimum: 1")
    stale = project.sublim(
        "audit", "--replay", "data/filtered/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/seed=1", check=False
    )
    assert "does not hold as it is (its plan has changed" in stale.output


def _json(output: str) -> str:
    """The JSON of an output that progress on standard error is mixed into."""
    return output[output.index("\n[") if not output.startswith("[") else 0 :]


def test_files_are_compared_in_their_own_terms(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, shift in ((old, 0.0), (new, 0.5)):
        folder.mkdir()
        parquet.write(
            pl.DataFrame({"loss": [1.0, 2.0 + shift], "text": ["a", "b" if shift else "c"], "rows": [["x"], ["y"]]}),
            folder / "t.parquet",
        )
        save_file({"w": np.array([1.0, 2.0 - shift], np.float32)}, folder / "w.safetensors")
        (folder / "s.json").write_text(json.dumps({"p": 0.25 + shift, "n": 1}))
        (folder / "page.html").write_text("x" * int(1 + shift * 2))
    assert compare(old / "t.parquet", new / "t.parquet") == "loss by at most 0.5, 1 of 2 text"
    assert compare(old / "w.safetensors", new / "w.safetensors") == "weights by at most 0.5 (w)"
    assert compare(old / "s.json", new / "s.json") == "p: 0.25 → 0.75"
    assert compare(old / "page.html", new / "page.html") == "1 bytes → 2 other bytes"


def test_a_corrupted_copy_is_named_though_every_artifact_holds(versioned: Project) -> None:
    project = versioned
    assert project.sublim("audit", "--cache").status == 0
    for pattern in (".sublim/store/objects/*/*", ".dvc/cache/files/md5/*/*", ".sublim/store/keys/*/*"):
        victim = sorted(project.path.glob(pattern))[7]
        whole = victim.read_bytes()
        data = bytearray(whole)
        data[len(data) // 2] ^= 1
        victim.chmod(0o644)
        victim.write_bytes(data)
        assert project.sublim("audit").status == 0
        done = project.sublim("audit", "--cache", "--json", check=False)
        assert done.status == 1
        assert [one["artifact"] for one in json.loads(done.output)] == [victim.relative_to(project.path).as_posix()]
        if ".dvc" in pattern:
            # Without a checkout, too: the revision that the object belongs to does not hold.
            assert project.sublim("audit", "--rev", "HEAD", check=False).status in (1, 5)
        victim.write_bytes(whole)
    assert "proven: 44 artifacts" in project.sublim("audit", "--rev", "HEAD").output
