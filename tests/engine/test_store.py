"""Records and the store: edits show, corrupted objects are never handed out, a failed write leaves the old artifact."""

import fcntl
import json
import os
import re
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from sublim.common import files
from sublim.common.canonical import digest
from sublim.common.errors import SublimError
from sublim.engine import job, layout, run, worker
from sublim.engine.digests import Digests
from sublim.engine.record import Input, Output, Plan, Record, RecordError, read
from sublim.engine.store import LostError, Store

PLAN = Plan("student", {"teacher": "a", "seed": 1}, {"lr": 0.1}, {"sublim": "00"})


def _artifact(directory: Path) -> Record:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "weights.bin").write_bytes(b"\x00\x01" * 500)
    (directory / "rows.txt").write_text("1, 2, 3\n")
    outputs = {path.name: Output(files.sha256(path), path.stat().st_size) for path in sorted(directory.iterdir())}
    return Record(PLAN, {"base": Input("base/model=a", "ab" * 32)}, outputs, {"python": "3"})


def test_a_record_reads_back(tmp_path: Path) -> None:
    record = _artifact(tmp_path / "made")
    record.write(tmp_path / "record.json")
    assert read(tmp_path / "record.json") == record


@pytest.mark.parametrize("use", ["in_use", "being_cleared"])
def test_the_store_is_locked_also_where_locks_are_of_byte_ranges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Literal["in_use", "being_cleared"]
) -> None:
    """As NFS makes them of such locks: a shared one needs a file that is open for reading, an exclusive one for writing."""
    modes: list[int] = []

    def by_range(handle: Any, mode: int) -> None:
        modes.append(mode)
        fcntl.lockf(handle, mode)

    monkeypatch.setattr(fcntl, "flock", by_range)
    with getattr(Store(tmp_path / "store"), use)():
        assert modes == [fcntl.LOCK_SH if use == "in_use" else fcntl.LOCK_EX]


def _leaves(node: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(node, dict):
        return [leaf for key, value in cast("dict[str, Any]", node).items() for leaf in _leaves(value, (*path, key))]
    return [path]


def test_every_altered_field_of_a_record_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    _artifact(tmp_path / "made").write(path)
    text = path.read_text()
    for leaf in _leaves(json.loads(text)):
        tree = json.loads(text)
        node = tree
        for key in leaf[:-1]:
            node = node[key]
        node[leaf[-1]] = "altered" if isinstance(node[leaf[-1]], str) else 999
        path.write_text(json.dumps(tree))
        with pytest.raises(RecordError):
            read(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("plan.dims", ["seed", 1]),
        ("plan.dims", None),
        ("plan.stage", 1),
        ("plan.code", {"sublim": 1}),
        ("plan.code", []),
        ("plan.params", []),
        ("plan.more", 1),
        ("inputs", []),
        ("outputs.rows\\.txt.size", "5"),
        ("outputs.rows\\.txt.size", True),
        ("environment", []),
        ("adopted", []),
        ("adopted", [{"key": "ab" * 32}]),
    ],
)
def test_a_field_of_another_type_is_an_altered_record(field: str, value: object, tmp_path: Path) -> None:
    """Whoever forges a record makes its digests fit; it must not end in a traceback either."""
    path = tmp_path / "record.json"
    _artifact(tmp_path / "made").write(path)
    tree = json.loads(path.read_text())
    del tree["digest"]
    node, (*keys, last) = tree, re.split(r"(?<!\\)\.", field)
    for key in keys:
        node = node[key.replace("\\", "")]
    node[last] = value
    tree["digest"] = digest(tree)
    path.write_text(json.dumps(tree, indent=1, ensure_ascii=False) + "\n")
    with pytest.raises(RecordError, match=r"was altered|cannot be read \("):
        read(path)


def test_every_flipped_bit_of_a_record_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record = _artifact(tmp_path / "made")
    record.write(path)
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        try:
            assert read(path) == record
        except RecordError:
            continue


def test_the_store_gives_back_what_was_put(tmp_path: Path) -> None:
    record, store = _artifact(tmp_path / "made"), Store(tmp_path / "store")
    assert store.find(record.key) is None
    store.put(record, tmp_path / "made")
    assert store.find(record.key) == record
    for name, output in record.outputs.items():
        store.fetch(output.sha256, tmp_path / "back" / name)
        assert (tmp_path / "back" / name).read_bytes() == (tmp_path / "made" / name).read_bytes()


def test_a_corrupted_object_is_thrown_away_and_the_target_stays(tmp_path: Path) -> None:
    record, store = _artifact(tmp_path / "made"), Store(tmp_path / "store")
    store.put(record, tmp_path / "made")
    sha256 = record.outputs["weights.bin"].sha256
    stored = bytearray(store.object(sha256).read_bytes())
    stored[77] ^= 4
    store.object(sha256).write_bytes(stored)
    target = tmp_path / "weights.bin"
    target.write_text("what was there")
    with pytest.raises(LostError, match="corrupted"):
        store.fetch(sha256, target)
    assert target.read_text() == "what was there"
    assert store.find(record.key) is None
    with pytest.raises(LostError, match="gone"):
        store.fetch(sha256, target)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="No space"), files.replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_key_depends_on_plan_and_inputs_and_not_on_outputs(tmp_path: Path) -> None:
    record = _artifact(tmp_path / "made")
    assert replace(record, outputs={}).key == record.key
    assert replace(record, environment={}).key == record.key
    assert replace(record, plan=replace(PLAN, params={"lr": 0.2})).key != record.key
    assert replace(record, inputs={"base": Input("base/model=a", "cd" * 32)}).key != record.key


def test_a_digest_is_remembered_only_for_an_untouched_file(tmp_path: Path) -> None:
    path, cache = tmp_path / "file", tmp_path / "digests.json"
    path.write_bytes(b"a" * 100)
    before = path.stat()
    time.sleep(0.1)
    first = Digests(cache)
    one = first(path)
    first.save()
    path.write_bytes(b"b" * 100)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert Digests(cache)(path) == files.sha256(path) != one


def test_a_new_artifact_replaces_the_old_one_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _artifact(tmp_path / "made")
    planned = job.Job(PLAN, {})
    target = layout.artifact(PLAN.cell)
    target.mkdir(parents=True)
    (target / "notes.txt").write_text("a person's own; the audit names it, but it is not ours to delete")
    job.finish(planned, tmp_path / "made", {})
    assert {path.name for path in target.iterdir()} == {"record.json", "weights.bin", "rows.txt", "notes.txt"}
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "rows.txt").write_text("4, 5\n")
    job.finish(job.Job(replace(PLAN, params={"lr": 0.2}), {}), tmp_path / "again", {})
    assert {path.name for path in target.iterdir()} == {"record.json", "rows.txt", "notes.txt"}


def test_an_artifact_whose_copy_is_lost_gets_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record = _artifact(tmp_path / "made")
    planned = job.Job(record.plan, record.inputs)
    cell = record.plan.cell
    layout.plan(cell).parent.mkdir(parents=True)
    layout.plan(cell).write_text(json.dumps({"plan": asdict(planned.plan), "inputs": {}, "online": False}))
    bare = replace(record, inputs={})
    kept = Store(layout.STORE)
    kept.put(bare, tmp_path / "made")
    stored = kept.object(record.outputs["weights.bin"].sha256)
    stored.write_bytes(stored.read_bytes()[:-1] + b"x")

    def fail(*_: object, **__: object) -> None:
        raise SublimError("no computing here")

    monkeypatch.setattr(worker, "compute", fail)
    with pytest.raises(SublimError, match="no computing here"):
        run.run(cell)
    assert not layout.record(cell).exists()
