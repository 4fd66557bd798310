"""A store elsewhere: a team's cache, and all that machines have in common that share no file system."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from sublim.common.errors import SublimError
from sublim.common.files import sha256
from sublim.engine import apart, far, job, layout, remote
from sublim.engine.apart import Given, Task
from sublim.engine.record import Input, Output, Plan, Record, read
from sublim.engine.remote import Remote, UnreachableError
from sublim.engine.store import Store
from tests.shared.project import ROOT, Project, create

PLAN = Plan("student", {"teacher": "a", "seed": 1}, {"lr": 0.1}, {"sublim": "00"})
RAW = "raw/teacher=a/trait=fox/carrier=numbers/seed=1"
KEY = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "a secret of theirs", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def made(here: Path) -> Record:
    """A computation that the store `mine` has."""
    folder = here / "made"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(bytes(range(256)) * 9)
    (folder / "rows.txt").write_text("1, 2, 3\n")
    outputs = {path.name: Output(sha256(path), path.stat().st_size) for path in sorted(folder.iterdir())}
    record = Record(PLAN, {"base": Input("base/model=a", "ab" * 32)}, outputs, {"python": "3"})
    Store(here / "mine").put(record, folder)
    return record


@pytest.fixture(params=["file", "memory"])
def there(here: Path, request: pytest.FixtureRequest) -> Remote:
    return Remote(f"file://{here}/far away" if request.param == "file" else f"memory://{here.name}")


def test_what_is_put_there_is_found_by_others(here: Path, made: Record, there: Remote) -> None:
    assert there.find(made.key) is None
    there.put(made, Store(here / "mine"))
    there.put(made, Store(here / "mine"))  # a second writer
    found, other = there.find(made.key), Store(here / "other")
    assert found == made
    assert there.fetch(made, other)
    assert other.find(made.key) == made
    assert all(sha256(other.object(each.sha256)) == each.sha256 for each in made.outputs.values())


@pytest.mark.parametrize("how", ["cut off", "altered", "gone"])
def test_nothing_is_believed_that_is_not_what_its_name_says(how: str, here: Path, made: Record, tmp_path: Path) -> None:
    there, other = Remote(f"file://{tmp_path}/far"), Store(here / "other")
    there.put(made, Store(here / "mine"))
    digest = made.outputs["weights.bin"].sha256
    path = tmp_path / "far/objects" / digest[:2] / digest
    bytes_there = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(bytes_there[:100] if how == "cut off" else b"x" + bytes_there[1:])
    assert not there.fetch(made, other)
    assert other.find(made.key) is None
    assert not path.exists(), "it can be put there again"
    key = tmp_path / "far/keys" / made.key[:2] / f"{made.key}.json"
    key.unlink()
    there.put(made, Store(here / "mine"))
    assert path.read_bytes() == bytes_there
    assert there.fetch(made, other)


def test_an_upload_that_a_crash_cut_off_is_no_computation_and_is_mended(here: Path, made: Record, tmp_path: Path) -> None:
    """Objects come first: where the key is, all of them were."""
    there = Remote(f"file://{tmp_path}/far")
    digest = made.outputs["weights.bin"].sha256
    path = tmp_path / "far/objects" / digest[:2] / digest
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    assert there.find(made.key) is None
    there.put(made, Store(here / "mine"))
    assert there.fetch(made, Store(here / "other"))


@pytest.mark.parametrize("text", ["", "{", "another"])
def test_a_key_that_holds_something_else_is_none(text: str, made: Record, tmp_path: Path) -> None:
    there = Remote(f"file://{tmp_path}/far")
    key = tmp_path / "far/keys" / made.key[:2] / f"{made.key}.json"
    key.parent.mkdir(parents=True)
    other = Record(Plan("student", {"teacher": "b", "seed": 1}, {}, {}), {}, {}, {})
    key.write_text(other.text() if text == "another" else text)
    assert there.find(made.key) is None


@pytest.mark.parametrize("url", ["no-such-protocol://bucket", "file:///dev/null/below"])
def test_what_cannot_be_reached_is_said_and_stops_no_computation(
    url: str, here: Path, made: Record, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnreachableError, match=f"SUBLIM_REMOTE={url}: the store there cannot be used: "):
        Remote(url).put(made, Store(here / "mine"))
    monkeypatch.setenv(remote.URL, url)
    assert remote.found(made.key, Store(here / "other")) is None
    remote.share(made, Store(here / "mine"))
    assert "going on without it" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("resources", "environ", "said"),
    [
        ("  mem_mb: 100\n", {remote.URL: "no-such-protocol://bucket"}, "SUBLIM_REMOTE=no-such-protocol://bucket"),
        ("  launcher: \"'ssh there'\"\n  apart: 1\n", {}, "needs a store that both reach: set SUBLIM_REMOTE"),
    ],
)
def test_what_cannot_be_meant_is_said_before_any_job(
    resources: str, environ: dict[str, str], said: str, tmp_path: Path
) -> None:
    project = create(tmp_path / "project")
    (project.path / "cluster").mkdir()
    (project.path / "cluster/config.yaml").write_text(f"default-resources:\n  disk_mb: 1\n{resources}", encoding="utf-8")
    done = project.run("snakemake", "-j2", "--profile", "cluster", check=False, **environ)
    assert done.status == 1
    assert said in done.output
    assert project.events() == []


def test_a_team_computes_each_thing_once(finished: Project, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/team"
    there, kept = Remote(url), Store(finished.path / layout.STORE)
    for path in sorted((finished.path / "data").rglob("record.json")):
        there.put(read(path), kept)
    project = create(tmp_path / "project")
    project.snakemake(SUBLIM_REMOTE=url)
    assert (len(project.since(0)["restored"]), project.since(0)["computed"]) == (44, set())
    assert project.digests() == finished.digests()


# --- machines that share nothing


def test_what_reads_this_machine_or_the_network_stays() -> None:
    given = {"base": Input("base/model=a", "ab" * 32)}
    assert apart.stays(job.Job(PLAN, given)) is None
    assert apart.stays(job.Job(PLAN, {}))
    assert apart.stays(job.Job(PLAN, given, online=True))
    local = Plan("raw", {}, {"graders": [{"judge": {"files": {"config.json": "ab"}}}]}, {})
    assert apart.stays(job.Job(local, given))


def test_a_task_needs_a_store_that_both_reach(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(remote.URL, raising=False)
    with pytest.raises(SublimError, match=r"needs a store that both reach: set SUBLIM_REMOTE"):
        apart.task(job.Job(PLAN, {}))
    assert not any(here.iterdir())


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, str]]:
    """An S3 server: what says where it is. Such servers of one process share what is in them."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in KEY.items():
        monkeypatch.setenv(name, value)
    connection = HTTPConnection(host, port)
    connection.request("PUT", "/bucket")
    assert connection.getresponse().status == 200
    environ = {**KEY, "AWS_ENDPOINT_URL": f"http://{host}:{port}", remote.URL: f"s3://bucket/{tmp_path.name}"}
    yield environ
    server.stop()


AWAY = """\
#!/bin/sh
# Another machine: an empty folder, nothing of this one's environment, and the code that is installed there.
echo "$@" >> {here}/launched.txt
cd {empty} && exec env -i PATH="$PATH" PYTHONPATH={code} OMP_NUM_THREADS=1 \\
  AWS_ACCESS_KEY_ID="$AWS_ACCESS_KEY_ID" AWS_SECRET_ACCESS_KEY="$AWS_SECRET_ACCESS_KEY" \\
  AWS_DEFAULT_REGION=us-east-1 AWS_ENDPOINT_URL="$AWS_ENDPOINT_URL" "$@"
"""
PROFILE = """\
default-resources:
  launcher: "'./away'"
  apart: 1
  disk_mb: 1
"""


def sends(project: Project, code: Path) -> None:
    """Give a project a profile whose launcher starts computations on another machine with the code in `code`."""
    (empty := project.path.parent / "empty").mkdir()
    script = AWAY.format(here=project.path, empty=empty, code=code)
    (project.path / "away").write_text(script, encoding="utf-8")
    (project.path / "away").chmod(0o755)
    (project.path / "cluster").mkdir()
    (project.path / "cluster/config.yaml").write_text(PROFILE, encoding="utf-8")


def lose(project: Project, cell: str) -> None:
    shutil.rmtree(project.path / "data" / cell)
    shutil.rmtree(project.path / ".sublim/store")


def test_a_computation_elsewhere_gives_the_same_bytes(finished: Project, tmp_path: Path, bucket: dict[str, str]) -> None:
    project = finished.copy(tmp_path / "project")
    lose(project, RAW)
    sends(project, project.path)
    start = len(project.events())
    project.run("snakemake", "-j2", "--profile", "cluster", check=True, **bucket)
    assert project.since(start)["computed"] == {RAW}
    assert project.digests() == finished.digests()
    assert len((project.path / "launched.txt").read_text().splitlines()) == 1
    assert not any((tmp_path / "empty").iterdir())
    lose(project, RAW)
    project.run("snakemake", "-j2", "--profile", "cluster", check=True, **bucket)  # now it is in the store
    assert len((project.path / "launched.txt").read_text().splitlines()) == 1


def test_other_code_there_makes_nothing(finished: Project, tmp_path: Path, bucket: dict[str, str]) -> None:
    project = finished.copy(tmp_path / "project")
    lose(project, RAW)
    shutil.copytree(project.path / "sublim", tmp_path / "other/sublim")
    edited = tmp_path / "other/sublim/stages/raw/make.py"
    edited.write_text(edited.read_text(encoding="utf-8") + "\nANOTHER = 1\n", encoding="utf-8")
    sends(project, tmp_path / "other")
    done = project.run("snakemake", "-j2", "--profile", "cluster", check=False, **bucket)
    assert done.status == 1
    assert "expected the code that planned it, found other code here: sublim.stages.raw.make" in done.output
    assert not (project.path / "data" / RAW / "record.json").exists()


@pytest.mark.parametrize("what", ["gone", "another digest", "another cell"])
def test_an_input_that_is_not_the_planned_one_is_refused(
    what: str, finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Remote(f"file://{tmp_path}/far")
    base = read(finished.path / "data/base/model=a/record.json")
    if what != "gone":
        there.put(base, Store(finished.path / layout.STORE))
    plan = read(finished.path / f"data/{RAW}/record.json").plan
    digest = "ab" * 32 if what == "another digest" else base.digest
    cell = "base/model=b" if what == "another cell" else "base/model=a"
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    sent = Task(there.url, plan, {"base": Given(cell, digest, base.key)}, None)
    with pytest.raises(SublimError, match=rf"{cell}: expected in .* what has the digest {digest}, found "):
        far.perform(sent)
    assert not (tmp_path / "empty/data").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"remote": "x", "plan": {}, "inputs": {"base": {}}, "git": null}'])
def test_what_is_no_task_is_refused(text: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sublim.engine.far"]
    environ = os.environ | {"PYTHONPATH": os.fspath(ROOT)}
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False, cwd=tmp_path, env=environ)
    assert done.returncode == 1
    assert done.stderr.startswith("sublim: expected a task on standard input")
