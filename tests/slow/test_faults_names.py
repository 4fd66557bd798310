"""Names in records are not trusted: a forged one, with all digests made to fit, touches nothing outside of its artifact."""

import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from contextlib import chdir
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublim.common import files
from sublim.common.canonical import digest
from sublim.common.errors import SublimError
from sublim.common.names import HarmfulNameError, cell, clash, harmful, hexadecimal, within
from sublim.engine import job, layout, run, worker, workflow
from sublim.engine.digests import Digests
from sublim.engine.record import Input, Output, Plan, Record, RecordError, read
from sublim.engine.store import Store
from sublim.engine.verdict import Cell, altered, judge
from sublim.evidence.finding import CORRUPTED
from sublim.evidence.tree import Tree
from sublim.lineage.handover import archive
from sublim.lineage.handover.export import export
from sublim.lineage.handover.export import here as here_is
from sublim.lineage.handover.verify import verify
from sublim.lineage.revision import revision
from tests.shared.project import Project

PLAN = Plan("student", {"teacher": "a", "seed": 1}, {"lr": 0.1}, {"sublim": "00"})
STUDENT = "student/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=b/seed=1"

BAD = (
    "", ".", "..", "../x", "../../../x", "../record.json", "a/../../x", "a/..", "a/.", "./a", "a//b", "//a", "/", "/abs", "a/",
    "a/b/", "a\\b", "..\\x", "\\\\host\\x", "C:x", "C:\\x", "a\0", "a\nb", "a\rb", "a\tb", "a\x1b[2Kb", "a\u200bb", "a\u202eb",
    "a\u2028b", "\ufeffa", "a\x7fb",
)  # fmt: skip
"""What no file in an artifact can be called."""
RECORDS = ("record.json", "Record.JSON", "record.json/x")
"""What only the record can be called."""
GOOD = ("b", "weights.bin", "a/b", "1_Pooling/config.json", ".gitattributes", "a b", "..a", "a..b/c", "é.json")
BAD_CELLS = (
    "", ".", "..", "../x", "/abs", "student/../x", "student/", "student//seed=1", "student/./seed=1", "student/seed=",
    "student/seed=..", "student/seed=.", "student/seed=a/..", "student/seed", "student/=1", "student/seed=1/", "Student/seed=1",
    "seed=1", "student/seed=1\0", "student/seed=1\n", "student\\seed=1", "C:student", "student/seed=1\u200b",
)  # fmt: skip
BAD_DIGESTS = (
    "",
    "..",
    "../../x",
    "/abs",
    "a" * 63,
    "a" * 65,
    "A" * 64,
    f"{'a' * 63}\n",
    f"{'a' * 62}/x",
    "../" * 21 + "a",
    7,
    None,
)


# Names alone


@pytest.mark.parametrize("name", BAD, ids=repr)
def test_a_bad_name_is_called_so_and_becomes_no_path(name: str, tmp_path: Path) -> None:
    assert harmful(name)
    with pytest.raises(HarmfulNameError, match="expected the name of a file in it, found "):
        within(tmp_path, name)


@pytest.mark.parametrize("name", GOOD)
def test_a_plain_name_is_a_path_inside(name: str, tmp_path: Path) -> None:
    assert harmful(name) is None
    assert within(tmp_path, name) == tmp_path / name


@given(
    st.lists(st.sampled_from(["a", "b.c", ".", "..", "", "/", "\\", "C:", "\0", " ", "\u200b", "…"]), max_size=6), st.booleans()
)
def test_every_name_that_passes_stays_inside_and_has_one_way_to_be_written(parts: list[str], joined: bool) -> None:
    name = ("/" if joined else "").join(parts)
    if harmful(name) is None:
        path = os.path.normpath(f"/folder/{name}")
        assert path == f"/folder/{name}"
        assert path.startswith("/folder/")
        assert name.isprintable()


def test_a_file_may_be_a_link_and_a_folder_may_not(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "object").write_text("bytes")
    folder = tmp_path / "artifact"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").symlink_to(tmp_path / "cache" / "object")
    (folder / "elsewhere").symlink_to(tmp_path / "cache")
    assert within(folder, "inner/file").read_text() == "bytes"
    with pytest.raises(HarmfulNameError, match=r"artifact/elsewhere: expected a folder, found a link"):
        within(folder, "elsewhere/object")
    with pytest.raises(HarmfulNameError, match=r"artifact/elsewhere: expected a folder, found a link"):
        within(folder, "elsewhere/more/object")


@pytest.mark.parametrize("name", BAD_CELLS, ids=repr)
def test_what_is_no_cell_becomes_no_path(name: str) -> None:
    for place in (cell, layout.artifact, layout.record, layout.plan, run.run):
        with pytest.raises(HarmfulNameError, match="expected a cell"):
            place(name)


@pytest.mark.parametrize("text", [text for text in BAD_DIGESTS if isinstance(text, str)], ids=repr)
def test_what_is_no_digest_becomes_no_path(text: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    places: tuple[Callable[[str], object], ...] = (
        hexadecimal,
        store.object,
        store.find,
        partial(store.fetch, target=tmp_path / "x"),
    )
    for place in places:
        with pytest.raises(HarmfulNameError, match="expected a sha256"):
            place(text)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_would_be_a_file_and_a_folder_is_found() -> None:
    assert clash(["a", "a/b"]) == clash(["b", "a/b/c", "a"]) == "a"
    assert clash(["a", "b/a", "ab"]) is None


# Records


def _write(record: Record, path: Path) -> None:
    """As a forger writes it: whatever it says, key and digest fit."""
    body: dict[str, Any] = {"version": 1, "cell": record.plan.cell, "key": record.key, **asdict(record)}
    del body["adopted"]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(body | {"digest": digest(body)}, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")


def _record(*names: str, sha256: Any = "ab" * 32, **inputs: Input) -> Record:
    return Record(PLAN, inputs, {name: Output(sha256, 1) for name in names}, {"python": "3"})


@pytest.mark.parametrize("name", [*BAD, *RECORDS], ids=repr)
def test_a_record_with_a_bad_output_is_altered(name: str, tmp_path: Path) -> None:
    _write(_record("fine", name), tmp_path / "record.json")
    with pytest.raises(RecordError, match="was altered: expected names of files in the artifact, found the output"):
        read(tmp_path / "record.json")


def test_a_record_with_plain_outputs_is_read(tmp_path: Path) -> None:
    record = _record(*GOOD)
    _write(record, tmp_path / "record.json")
    assert read(tmp_path / "record.json") == record


def test_a_record_with_a_file_that_is_a_folder_is_altered(tmp_path: Path) -> None:
    _write(_record("a", "a/b"), tmp_path / "record.json")
    with pytest.raises(RecordError, match="its output a would be a file and a folder"):
        read(tmp_path / "record.json")


@pytest.mark.parametrize("text", BAD_DIGESTS, ids=repr)
def test_a_record_with_a_bad_digest_is_altered(text: Any, tmp_path: Path) -> None:
    for record in (_record("fine", sha256=text), _record("fine", base=Input("base/model=a", text))):
        _write(record, tmp_path / "record.json")
        with pytest.raises(RecordError, match="64 hexadecimal digits, found"):
            read(tmp_path / "record.json")


@pytest.mark.parametrize("name", BAD_CELLS, ids=repr)
def test_a_record_with_a_bad_cell_is_altered(name: str, tmp_path: Path) -> None:
    for record in (
        _record("fine", base=Input(name, "ab" * 32)),
        replace(_record("fine"), plan=replace(PLAN, stage=name, dims={})),
    ):
        _write(record, tmp_path / "record.json")
        with pytest.raises(RecordError, match="was altered: expected a cell"):
            read(tmp_path / "record.json")


@pytest.mark.parametrize(
    ("stage", "dims"),
    [
        ("student/seed=1", {}),
        ("student", {"seed": "1/x=2"}),
        ("student", {"seed=1/x": 2}),
        ("..", {"seed": 1}),
        ("", {"a": "b"}),
    ],
)
def test_a_stage_and_a_dimension_are_one_part_of_a_path_each(stage: str, dims: dict[str, str | int], tmp_path: Path) -> None:
    _write(replace(_record("fine"), plan=replace(PLAN, stage=stage, dims=dims)), tmp_path / "record.json")
    with pytest.raises(RecordError, match="was altered: expected "):
        read(tmp_path / "record.json")


# Where files are opened, moved and removed, should a record have come another way


def _made(folder: Path, **contents: str) -> Record:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        (folder / name).write_text(text)
    paths = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "record.json")
    return Record(PLAN, {}, {path.name: Output(files.sha256(path), path.stat().st_size) for path in paths}, {"python": "3"})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty experiment beside a file that is none of its business."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_text("mine")
    monkeypatch.chdir(tmp_path / "experiment")
    return tmp_path / "experiment"


def _outside(here: Path) -> dict[str, str]:
    return {path.relative_to(here.parent).as_posix(): path.read_text() for path in sorted((here.parent / "outside").rglob("*"))}


UNTOUCHED = {"outside/x": "mine"}


@pytest.mark.parametrize("name", BAD, ids=repr)
def test_nothing_is_kept_fetched_or_called_sound_under_a_bad_name(name: str, here: Path) -> None:
    record = _made(layout.artifact(PLAN.cell), weights="bytes")
    forged = replace(record, outputs={name: record.outputs["weights"]})
    store = Store(here / "store")
    with pytest.raises(HarmfulNameError):
        store.put(forged, layout.artifact(PLAN.cell))
    assert not store.find(forged.key)
    job.preserve(forged, layout.artifact(PLAN.cell), store)
    assert not store.find(forged.key)
    (told,) = altered(PLAN.cell, forged, Digests(layout.DIGESTS))
    assert "expected the name of a file in it" in told


def test_a_stage_may_not_make_a_file_that_no_record_can_name(here: Path) -> None:
    for name in ("a\\b", "a\nb", "record.json"):
        shutil.rmtree("made", ignore_errors=True)
        Path("made").mkdir()
        (here / "made" / name).write_text("x")
        with pytest.raises(SublimError, match=r"student/teacher=a/seed=1: what was computed cannot be kept: expected names of"):
            job.finish(job.Job(PLAN, {}), Path("made"), {})
    assert not layout.DATA.exists()
    assert not layout.STORE.exists()


@pytest.mark.parametrize("name", [name for name in BAD if "\0" not in name] + ["../../../../outside/x"], ids=repr)
def test_a_forged_record_in_place_of_an_artifact_removes_nothing(name: str, here: Path) -> None:
    target = layout.artifact(PLAN.cell)
    record = _made(target, weights="old")
    _write(replace(record, outputs=record.outputs | {name: record.outputs["weights"]}), target / "record.json")
    _made(here / "made", weights="new")
    job.finish(job.Job(replace(PLAN, params={"lr": 0.2}), {}), here / "made", {})
    assert (target / "weights").read_text() == "new"
    assert _outside(here) == UNTOUCHED


def test_a_folder_that_is_a_link_leads_nothing_out(here: Path) -> None:
    """Neither what is written under it nor what is removed under it: the link goes, what it leads to stays."""
    target = layout.artifact(PLAN.cell)
    outside = here.parent / "outside"
    both = {name: Output(files.sha256(outside / "x"), 4) for name in ("kept/x", "gone/x")}
    old = replace(_made(target), outputs=both)
    _write(old, target / "record.json")
    for name in ("kept", "gone"):
        (target / name).symlink_to(outside)
    told = altered(PLAN.cell, old, Digests(layout.DIGESTS))
    assert len(told) == 2
    assert all("expected a folder, found a link" in line for line in told)
    (here / "made" / "kept").mkdir(parents=True)
    (here / "made" / "kept" / "x").write_text("new")
    job.finish(job.Job(replace(PLAN, params={"lr": 0.2}), {}), here / "made", {})
    assert _outside(here) == UNTOUCHED
    assert (target / "kept" / "x").read_text() == "new"
    assert not (target / "kept").is_symlink()
    assert read(target / "record.json").outputs.keys() == {"kept/x"}


def test_an_artifact_that_is_a_link_is_not_written_through_and_a_stage_on_another_disk_is(here: Path) -> None:
    folder = layout.artifact(PLAN.cell)
    folder.parent.mkdir(parents=True)
    folder.symlink_to(here.parent / "outside")
    _made(here / "made", x="new")
    with pytest.raises(HarmfulNameError, match=r"data/student/teacher=a/seed=1: expected a folder, found a link"):
        job.finish(job.Job(PLAN, {}), here / "made", {})
    assert _outside(here) == UNTOUCHED
    shutil.rmtree(layout.DATA)
    (here.parent / "disk").mkdir()
    layout.DATA.mkdir()
    (layout.DATA / "student").symlink_to(here.parent / "disk")
    _made(here / "made", x="new")
    job.finish(job.Job(PLAN, {}), here / "made", {})
    assert (here.parent / "disk" / "teacher=a" / "seed=1" / "x").read_text() == "new"


def test_files_that_are_links_into_a_cache_are_sound_kept_and_replaced(here: Path) -> None:
    """As after `dvc checkout` with `cache.type symlink`: the links go, the cache stays as it is."""
    target = layout.artifact(PLAN.cell)
    record = _made(target, weights="old", rows="1")
    for name in record.outputs:
        (target / name).replace(here.parent / "outside" / name)
        (target / name).symlink_to(here.parent / "outside" / name)
    record.write(target / "record.json")
    before = _outside(here)
    assert altered(PLAN.cell, record, Digests(layout.DIGESTS)) == ()
    _made(here / "made", weights="new")
    job.finish(job.Job(replace(PLAN, params={"lr": 0.2}), {}), here / "made", {})
    assert _outside(here) == before
    assert {path.name for path in target.iterdir()} == {"record.json", "weights"}
    assert Store(layout.STORE).find(record.key) == record


# Real commands


def _no_computing(*_: object, **__: object) -> None:
    raise SublimError("no computing here")


def _planned(record: Record) -> None:
    path = layout.plan(record.plan.cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"plan": asdict(record.plan), "inputs": {}, "online": False}))


@pytest.mark.parametrize("name", [*BAD, *RECORDS, "{outside}/x", "../../../../outside/x"], ids=repr)
def test_a_forged_record_in_a_shared_store_is_ignored(name: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Store(here.parent / "shared")
    monkeypatch.setenv("SUBLIM_STORE", os.fspath(here.parent / "shared"))
    monkeypatch.setattr(worker, "compute", _no_computing)
    record = _made(here / "made", weights="of the forger")
    shared.put(record, here / "made")
    _planned(record)
    assert run.run(PLAN.cell) == "restored"
    shutil.rmtree(layout.DATA)
    bad = name.format(outside=here.parent / "outside")
    _write(
        replace(record, outputs={bad: record.outputs["weights"]}),
        here.parent / "shared" / "keys" / record.key[:2] / f"{record.key}.json",
    )
    assert shared.find(record.key) is None
    with pytest.raises(SublimError, match="no computing here"):
        run.run(PLAN.cell)
    assert _outside(here) == UNTOUCHED
    assert not layout.DATA.exists()


def test_clearing_takes_no_more_than_what_this_program_made(here: Path) -> None:
    """A forged record further up would take artifacts, or all of data/, with it; one with a bad name would be kept."""
    good, stray = layout.artifact("student/seed=1"), layout.artifact("student/seed=2")
    for folder in (good, stray):
        record = _made(folder, weights="bytes")
        replace(record, plan=replace(PLAN, dims={"seed": int(folder.name[-1])})).write(folder / "record.json")
    above = replace(PLAN, dims={})
    for folder, plan in ((layout.DATA, above), (layout.DATA / "student", above), (layout.DATA / "eval", PLAN)):
        folder.mkdir(exist_ok=True)
        _write(Record(plan, {}, {}, {"python": "3"}), folder / "record.json")
    _write(
        replace(_record("../../../outside/x"), plan=replace(PLAN, stage="raw", dims={})), layout.DATA / "raw" / "record.json"
    )
    workflow.clear(["student/seed=1"])
    left = {path.parent.as_posix() for path in layout.DATA.rglob("record.json")}
    assert left == {"data", "data/student", "data/eval", "data/raw", "data/student/seed=1"}
    assert (good / "weights").is_file()
    assert _outside(here) == UNTOUCHED


@pytest.mark.usefixtures("here")
def test_the_verdict_on_a_forged_record_says_what_is_wrong() -> None:
    _write(_record("weights", "../../../../outside/x"), layout.record(PLAN.cell))
    verdict = judge([Cell(PLAN, {})], Digests(layout.DIGESTS))[PLAN.cell]
    assert verdict.kind == "altered"
    assert verdict.reason == (
        "its record was altered: expected names of files in the artifact, found the output '../../../../outside/x', which "
        "leads out of the folder, or is written in a roundabout way"
    )


@pytest.mark.parametrize(
    ("path", "md5", "words"),
    [
        ("data/../../outside/x", "ab" * 16, "found 'data/../../outside/x', which leads out of the folder"),
        ("data//x", "ab" * 16, "found 'data//x', which leads out of the folder, or is written in a roundabout way"),
        ("data/x", "/../../../outside/x", "expected an md5 as DVC writes it, found '/../../../outside/x'"),
        ("data/x", "ab", "expected an md5 as DVC writes it, found 'ab'"),
    ],
)
def test_a_revision_that_names_files_outside_is_refused(here: Path, path: str, md5: str, words: str) -> None:
    (here / "dvc.lock").write_text(json.dumps({"stages": {"base": {"outs": [{"path": path, "md5": md5}]}}}))
    _commit(here)
    with pytest.raises(HarmfulNameError, match=re.escape(words)):
        revision("HEAD", here / "objects")


def test_a_listing_of_a_revision_that_names_files_outside_is_refused(here: Path) -> None:
    (here / "dvc.lock").write_text(
        json.dumps({"stages": {"base": {"outs": [{"path": "data/base", "md5": f"{'ab' * 16}.dir"}]}}})
    )
    listing = here / "objects" / "ab" / f"{'ab' * 15}.dir"
    listing.parent.mkdir(parents=True)
    listing.write_text(json.dumps([{"relpath": "../../outside/x", "md5": "cd" * 16}]))
    _commit(here)
    with pytest.raises(
        HarmfulNameError, match=r"HEAD: expected names of files .* found 'data/base/\.\./\.\./outside/x', which leads"
    ):
        revision("HEAD", here / "objects")


def _commit(here: Path) -> None:
    project = Project(here)
    for arguments in (("init", "-q"), ("add", "dvc.lock"), ("commit", "-qm", "a lock")):
        project.git(*arguments)


def test_a_record_that_lies_where_no_artifact_can_is_named() -> None:
    places = {"record.json": "", "data dir/record.json": "data dir", "student/../record.json": "student/.."}
    tree = Tree("a tree", dict.fromkeys(places, Path("/dev/null")))
    assert not tree.records
    assert tree.broken == dict.fromkeys(places.values(), "lies where no artifact can: expected it under `stage/dim=value/…`")


def _forge(text: str | bytes, *names: str) -> str:
    """The record `text` with further outputs, key and digest made to fit."""
    body = json.loads(text)
    body.pop("digest")
    some = next(iter(body["outputs"].values()))
    body["outputs"] |= dict.fromkeys(names, some)
    return json.dumps(body | {"digest": digest(body)}, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize(
    "name", ["../../../x", "/outside", "a/../../x", "./a", "C:x", "a\\b", "record.json", "a\u200bb"], ids=repr
)
def test_a_bundle_with_a_forged_record_is_refused_by_name(name: str, finished: Project, tmp_path: Path) -> None:
    with chdir(finished.path):
        export("base/model=a", tmp_path / "bundle.zip", here_is(None))
    with zipfile.ZipFile(tmp_path / "bundle.zip") as bundle:
        members = {each: bundle.read(each) for each in bundle.namelist()}
    record = "data/base/model=a/record.json"
    members[record] = _forge(members[record], name).encode()
    apart = ("SHA256SUMS", "statement.json")
    sums = [f"{hashlib.sha256(text).hexdigest()}  {each}\n" for each, text in sorted(members.items()) if each not in apart]
    archive.write(members | {"SHA256SUMS": "".join(sums).encode()}, tmp_path / "forged.zip")
    found = verify(tmp_path / "forged.zip", None).findings
    assert {finding.artifact for finding in found} == {"base/model=a"}
    assert {finding.status for finding in found} == {CORRUPTED}
    assert (
        f"its record was altered: expected names of files in the artifact, found the output {name!r}, which" in found[0].found
    )


def test_snakemake_touches_nothing_outside_that_a_forged_record_names(project: Project) -> None:
    before, precious = project.digests(), project.path.parent / "precious"
    precious.write_text("mine")
    record = project.path / "data" / STUDENT / "record.json"
    name = os.path.relpath(precious, record.parent)
    assert name == "../" * 11 + "precious"
    record.write_text(_forge(record.read_bytes(), name, os.fspath(precious)))
    told = project.sublim("why", f"data/{STUDENT}").output
    assert (
        f"its record was altered: expected names of files in the artifact, found the output {name!r}, which leads out" in told
    )
    audited = project.sublim("audit", check=False)
    assert audited.status == CORRUPTED
    assert "its record was altered" in audited.output
    project.snakemake()
    assert precious.read_text() == "mine"
    assert project.digests() == before
    # The same where the artifact is to be replaced by another one, which is when files of the old one are removed.
    record.write_text(_forge(record.read_bytes(), name, os.fspath(precious)))
    project.edit("params.yaml", "b: {learning_rate: 0.005} # student b", "b: {learning_rate: 0.003} # student b")
    project.snakemake(os.path.relpath(record, project.path))
    assert precious.read_text() == "mine"
    assert read(record).outputs.keys() == {path.relative_to(record.parent).as_posix() for path in record.parent.rglob("*")} - {
        "record.json"
    }
