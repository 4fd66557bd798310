"""Bundles that are made to harm who reads them: each ends within seconds and a GiB, in a sentence."""

import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.parquet  # pyright: ignore[reportMissingTypeStubs]
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from sublim.engine.record import Plan
from sublim.lineage.handover.apart import verify_apart
from sublim.lineage.handover.export import export, here
from sublim.lineage.handover.verify import Verified, verify
from tests.shared import bundles
from tests.shared.forge import set_json
from tests.shared.hostile import DEEP, mutated
from tests.shared.project import ROOT, Project, environment

STUDENT = "student/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=b/seed=1"
FILTERED = "filtered/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/seed=1"
RAW = "raw/teacher=a/trait=fox/carrier=numbers/seed=1"
BASE = "base/model=a"
GIB = 1 << 30
pa: Any = pyarrow
pq: Any = pyarrow.parquet
Edit = Callable[[Path], object]


@pytest.fixture(scope="module")
def good(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a student. Its project is as clean as its commit."""
    path = tmp_path_factory.mktemp("bundle") / "student.zip"
    with chdir(finished.path):
        export(STUDENT, path, here(None))
    return path


def said(found: Verified) -> str:
    return "\n".join(f"{finding.artifact}: {finding.found}" for finding in found.findings)


# --- what would swell


def _equal_rows(count: int) -> bytes:
    """A table of `count` equal rows in few bytes."""
    out = io.BytesIO()
    schema = pa.schema([("row_id", pa.string())])
    with pq.ParquetWriter(out, schema, compression="zstd", use_dictionary=True) as writer:
        column = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000_000, pa.int32()), pa.array(["x"])).cast(pa.string())
        for _ in range(count // 10_000_000):
            writer.write_table(pa.table({"row_id": column}), row_group_size=10_000_000)
    return out.getvalue()


def _long_text() -> bytes:
    """A table of one row whose text is 2 GB of one letter."""
    out = io.BytesIO()
    pq.write_table(pa.table({"row_id": ["x" * 100_000_000] * 3}), out, compression="zstd", use_dictionary=False)
    return out.getvalue()


def _keys(count: int) -> bytes:
    return "".join(f"k{n}: 1\n" for n in range(count)).encode()


BOMBS: list[tuple[str, Callable[[], bytes], str]] = [
    (f"data/{RAW}/rows.parquet", lambda: _equal_rows(100_000_000), "rows at most in a table of"),
    (f"data/{RAW}/rows.parquet", _long_text, "it was made to swell"),
    (f"data/{RAW}/rows.parquet", lambda: b"PAR1" + b"\xff" * 100 + b"PAR1", "rows.parquet is not what its record says"),
    ("params.yaml", lambda: _keys(200_000), "params.yaml: expected 262,144 bytes at most"),
    ("params.yaml", lambda: _keys(25_000), "expected 20,000 values at most"),
    ("params.yaml", lambda: b"a: " + b"[" * DEEP, "params.yaml"),
    ("params.yaml", lambda: b"- " * DEEP, "params.yaml"),
    ("params.yaml", lambda: b"{a: " * 12 + b"!!python/object/apply:os.system [id]" + b"}" * 12, "params.yaml"),
    ("code/sublim/learn/lora.py", lambda: b"x = [1, 2, 3]\n" * 1_500_000, "lora.py: expected 524,288 bytes at most"),
    ("code/sublim/learn/lora.py", lambda: b"-" * 400_000 + b"1\n", "this source cannot be read"),
    ("code/sublim/learn/lora.py", lambda: b"(" * 100_000, "this source cannot be read"),
    ("code/sublim/learn/lora.py", lambda: b"x" + b".a" * 100_000, "this source cannot be read"),
    ("code/sublim/learn/lora.py", lambda: b"x\0", "this source cannot be read"),
    ("code/sublim/learn/lora.py", lambda: b"x = " + b"9" * 100_000, "this source cannot be read"),
    *((name, lambda: b'{"a":' * 100_000, "") for name in ("bundle.json", "experiment.json", f"data/{RAW}/record.json")),
    ("bundle.json", lambda: b'{"exported": "all", "data": NaN, "published": "x", "signer": null, "format": 2}', "bundle.json"),
    ("bundle.json", lambda: b'{"format": ' + b"9" * 100_000 + b"}", "bundle.json"),
    ("bundle.json", lambda: b'{"format": 2, "format": 2}', "bundle.json"),
    ("dvc.lock", lambda: b"a: &a [*a]\n", "dvc.lock"),
    ("SHA256SUMS.json", lambda: b"[" * 100_000, "SHA256SUMS.json"),
]  # fmt: skip


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "text", "words"), BOMBS, ids=[f"{n} {bomb[0].rpartition('/')[2]}" for n, bomb in enumerate(BOMBS)]
)
def test_what_would_swell_or_never_end_is_refused_in_a_sentence(
    good: Path, tmp_path: Path, name: str, text: Callable[[], bytes], words: str
) -> None:
    bad = bundles.summed(good, {name: text()}, tmp_path / "bad.zip")
    found = _limited(bad)
    assert found.findings
    assert words in said(found)
    assert all(len(finding.found) < 5000 for finding in found.findings)


def _limited(path: Path) -> Verified:
    """What is found in this process, with a GiB more than it has now."""
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(status["VmData"].split()[0]) * 1024 + GIB, hard))
    try:
        return verify(path, None)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.timeout(300)
def test_params_that_ask_for_more_than_there_is_room_for_end_in_a_sentence(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the bundle is large: it is what its params stand for, which the story would derive again."""
    scratch = tmp_path / "scratch"  # where no other test writes
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    def edit(folder: Path) -> None:
        _replaced(folder / "params.yaml", "rows: 6000", "rows: 2000000000")

    def claim(plan: Plan) -> Plan:
        return replace(plan, params=json.loads(json.dumps(plan.params).replace('"rows": 6000', '"rows": 2000000000')))

    found = verify_apart(bundles.forged(good, tmp_path / "bad", edit, tmp_path / "bad.zip", claim), None)
    assert "it was made to swell" in said(found)
    assert not [*scratch.iterdir()], "what was unpacked is cleared up, though the process was ended"


# --- what still passed when everything was made to fit

MODEL = "data/base/model=a"


def _include(folder: Path) -> None:
    (folder / "code/workflow/more.smk").write_text("x = 1\n")


def _emptied(folder: Path) -> None:
    (folder / MODEL / "config.json").write_text("{}\n")


def _nothing(_: Path) -> None:
    pass


def _snakefile(folder: Path) -> None:
    with (folder / "code/Snakefile").open("a") as file:
        file.write("shell: 'id'\n")


FORGERIES: list[tuple[Edit, str]] = [
    (_nothing, ""),
    (_include, "code/workflow/more.smk: no record names this file"),
    (_snakefile, "code/Snakefile: it is not that of the commit"),
    (lambda folder: _replaced(folder / "code/workflow/rules.smk", "\n", "\n\n"), "rules.smk: it is not that of the commit"),
    (lambda folder: _replaced(folder / "code/sublim/lists.py", "\n", "\n\n"), "lists.py: it is not that of the commit"),
    (lambda folder: (folder / "code/sublim/more.py").write_text(""), "code/sublim/more.py: no record names this file"),
    (_emptied, f"{BASE}: config: config.json: expected architectures, model_type, vocab_size, found no architectures"),
    (lambda folder: set_json(folder / MODEL / "config.json", "hidden_size", 64), "expected hidden_size 32, found 64"),
]  # fmt: skip


@pytest.mark.timeout(300)
def test_forgeries_in_which_every_digest_fits_are_found(good: Path, finished: Project, tmp_path: Path) -> None:
    for number, (edit, words) in enumerate(FORGERIES):
        bad = bundles.forged(good, tmp_path / str(number), edit, tmp_path / f"{number}.zip")
        with chdir(finished.path):  # whose repository knows the commit
            found = verify(bad, None)
        assert (words in said(found), bool(found.findings)) == (True, bool(words)), said(found)
        assert not [note for note in found.notes if "the commit that they are of is not known here" in note]


def test_where_the_commit_is_not_known_a_note_says_that_nothing_vouches_for_the_workflow(good: Path, tmp_path: Path) -> None:
    bad = bundles.forged(good, tmp_path / "bad", _snakefile, tmp_path / "bad.zip")
    with chdir(tmp_path):
        found = verify(bad, None)
    assert said(found) == ""
    assert any("no record names code/Snakefile" in note and "read them before you run them" in note for note in found.notes)


# --- anything


@seed(12)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_in_a_bundle_there_is_a_finding_or_it_is_the_same(
    good: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    with zipfile.ZipFile(good) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    name = data.draw(st.sampled_from(sorted(members.keys() - {"SHA256SUMS"})))
    text = data.draw(mutated(members[name]))
    bad = bundles.summed(good, {name: text}, tmp_path_factory.mktemp("bad") / "bad.zip")
    with chdir(bad.parent):
        found = verify(bad, None)
    assert bool(found.findings) == (text != members[name]), name


@pytest.mark.timeout(120)
def test_the_command_needs_no_more_than_its_bounds_and_shows_nothing_that_a_terminal_obeys(good: Path, tmp_path: Path) -> None:
    bad = bundles.summed(good, {"bundle.json": b'{"format": "\\u001b[2K"}'}, tmp_path / "bad.zip")
    os.mkfifo(tmp_path / "fifo")
    cases = ((good, 0, "holds: 6 artifacts"), (bad, 1, "does not hold"), (tmp_path / "fifo", 1, "no such file"))
    for path, status, words in cases:
        command = [sys.executable, "-m", "sublim", "verify", str(path)]
        environ = environment(PYTHONPATH=os.fspath(ROOT))
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=100)
        assert (done.returncode, words in done.stdout + done.stderr) == (status, True), done.stdout + done.stderr
        assert "\x1b" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
