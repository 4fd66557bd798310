"""Bundles: what is exported verifies, by our own checks and by tools of others; whatever is done to one is found and named."""

import base64
import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from sublim.cli.handover import app
from sublim.common.canonical import digest
from sublim.common.errors import SublimError
from sublim.evidence.tree import Tree, working
from sublim.lineage.handover import archive, signature
from sublim.lineage.handover.bundle import FOLLOWING, following, output
from sublim.lineage.handover.card import card
from sublim.lineage.handover.content import About
from sublim.lineage.handover.examine import plan
from sublim.lineage.handover.export import Exported, at, export, here
from sublim.lineage.handover.verify import Verified, verify
from sublim.lineage.revision import revision
from tests.shared.project import Project, environment

STUDENT = "student/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=b/seed=1"
FILTERED = "filtered/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/seed=1"
RAW = "raw/teacher=a/trait=fox/carrier=numbers/seed=1"
TEACHER = "teacher/teacher=a/trait=fox/seed=1"
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
FOREIGN = Ed25519PrivateKey.from_private_bytes(b"f" * 32)

Members = dict[str, bytes]


@dataclass(frozen=True)
class Bundles:
    """Bundles of the finished experiment."""

    all: Path
    student: Path
    signed: Path


@pytest.fixture(scope="module")
def bundles(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    folder = tmp_path_factory.mktemp("bundles")
    found = Bundles(folder / "all.zip", folder / "student.zip", folder / "signed.zip")
    _export(finished, "all", found.all)
    _export(finished, STUDENT, found.student)
    _export(finished, STUDENT, found.signed, key=KEY)
    return found


def _export(project: Project, what: str, to: Path, **options: Any) -> Exported:
    with chdir(project.path):
        return export(what, to, here(None), **options)


def _copy(path: Path, to: Path) -> Path:
    to.write_bytes(path.read_bytes())
    return to


def _read(path: Path) -> Members:
    with zipfile.ZipFile(path) as bundle:
        return {name: bundle.read(name) for name in bundle.namelist()}


def _packed(members: Members, path: Path, *, summed: bool = True) -> Path:
    """A bundle of `members` as a forger writes it: with `summed`, the list of digests is that of the new bytes."""
    if summed:
        apart = ("SHA256SUMS", "statement.json", "statement.dsse.json")
        lines = [f"{_sha256(text)}  {name}\n" for name, text in sorted(members.items()) if name not in apart]
        members = members | {"SHA256SUMS": "".join(lines).encode()}
    archive.write(dict(members), path)
    return path


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _said(found: Verified) -> str:
    return "\n".join(f"{finding.status} {finding.artifact}: {finding.found}" for finding in found.findings)


def _status(found: Verified) -> int:
    return sum({finding.status for finding in found.findings})


# What is exported


def test_the_whole_experiment_verifies_with_nothing_but_the_file(bundles: Bundles, finished: Project, tmp_path: Path) -> None:
    alone = _copy(bundles.all, tmp_path / "alone.zip")
    with chdir(tmp_path):
        found = verify(Path(alone.name), None)
    assert _said(found) == ""
    members = _read(bundles.all)
    for name, sha256 in finished.digests().items():
        assert _sha256(members[f"data/{name}"]) == sha256
    assert found.artifacts == sum(name.endswith("record.json") for name in finished.digests())
    assert found.notes[-1].startswith("not signed")


def test_the_same_experiment_gives_the_same_bytes_wherever_it_is(bundles: Bundles, finished: Project, tmp_path: Path) -> None:
    copy = finished.copy(tmp_path / "copy")
    for path in copy.path.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    _export(copy, STUDENT, tmp_path / "again.zip", key=KEY)
    assert (tmp_path / "again.zip").read_bytes() == bundles.signed.read_bytes()


def test_a_bundle_of_one_artifact_has_what_it_was_made_from_and_nothing_else(bundles: Bundles) -> None:
    members = _read(bundles.student)
    cells = {name.removeprefix("data/").removesuffix("/record.json") for name in members if name.endswith("/record.json")}
    assert cells == {"base/model=a", "base/model=b", TEACHER, RAW, FILTERED, STUDENT}
    statement = json.loads(members["statement.json"])
    named = {subject["name"] for subject in statement["subject"]}
    assert named == {name for name in members if name.startswith(f"data/{STUDENT}/") and not name.endswith("record.json")}
    for subject in statement["subject"]:
        assert _sha256(members[subject["name"]]) == subject["digest"]["sha256"]
    definition = statement["predicate"]["buildDefinition"]
    upstream = [entry for entry in definition["resolvedDependencies"] if "artifact" in entry.get("annotations", {})]
    assert len(upstream) == 5
    assert definition["externalParameters"]["experiment"]["traits"]["fox"]["target"] == "fox"


def test_by_digests_only_the_report_is_there_and_the_rest_is_named(finished: Project, tmp_path: Path) -> None:
    done = _export(finished, "all", tmp_path / "digests.zip", data=False)
    members = _read(done.path)
    held = {name for name in members if name.startswith("data/") and not name.endswith("record.json")}
    assert "data/report/study=numbers/report.html" in held
    assert all(name.startswith("data/report/study=numbers/") for name in held)
    assert _said(verify(done.path, None)) == ""
    assert len(json.loads(members["statement.json"])["subject"]) == sum(
        not name.endswith("record.json") for name in finished.digests()
    )


def test_a_revision_is_exported_and_described_without_a_checkout(
    bundles: Bundles, finished: Project, fresh_copy: Callable[[], Project], tmp_path: Path
) -> None:
    project = fresh_copy()
    project.dvc("commit", "--force", "-q")
    project.git("add", "-A")
    project.git("commit", "-qm", "computed")
    shutil.rmtree(project.path / "data")
    project.edit("params.yaml", "maximum: 999", "maximum: 998")
    with chdir(project.path):
        done = export("all", tmp_path / "rev.zip", at("HEAD", None))
        described = card(revision("HEAD"), STUDENT, "HEAD")
    assert _said(verify(done.path, None)) == ""
    with chdir(finished.path):
        assert described.replace(" --rev HEAD", "") == card(working(), STUDENT)
    old, new = _read(bundles.all), _read(done.path)
    assert {name: old[name] for name in old if name.startswith("data/")} == {
        name: new[name] for name in new if name.startswith("data/")
    }


@pytest.mark.parametrize("lacking", ["git", "dvc"])
def test_a_revision_cannot_be_seen_without_git_and_dvc_which_is_said(versioned: Project, lacking: str, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in {"git", "dvc"} - {lacking}:
        (tools / tool).symlink_to(str(shutil.which(tool, path=environment()["PATH"])))
    for command in (
        ("export", "all", "--rev", "HEAD", "--to", os.fspath(tmp_path / "bundle.zip")),
        ("card", STUDENT, "--rev", "HEAD"),
        ("lineage", "overview", "--rev", "HEAD"),
        ("diff", "HEAD"),
        ("audit", "--rev", "HEAD"),
        ("gc",),
        ("offline",),
    ):
        done = versioned.run(sys.executable, "-m", "sublim", *command, check=False, PATH=os.fspath(tools))
        if command == ("offline",) and lacking == "git":
            continue  # DVC may do without
        assert done.status == 1, done.output
        assert f"expected {lacking}, which " in done.output, done.output
        assert "Traceback" not in done.output, done.output
    assert not (tmp_path / "bundle.zip").exists()


def test_tools_of_others_accept_what_is_exported(bundles: Bundles, finished: Project, tmp_path: Path) -> None:
    _export(finished, STUDENT, tmp_path / "digests.zip", data=False, key=KEY)
    broken = _read(bundles.student)
    crate = json.loads(broken["ro-crate-metadata.json"])
    crate["@graph"] = [entity for entity in crate["@graph"] if entity["@id"] != "#run"]
    broken["ro-crate-metadata.json"] = json.dumps(crate).encode()
    broken["statement.json"] = broken["statement.json"].replace(b'"resolvedDependencies"', b'"resolved"')
    _packed(broken, tmp_path / "broken.zip")
    complaints = _third_party(tmp_path, bundles.all, bundles.signed, tmp_path / "digests.zip", tmp_path / "broken.zip")
    assert complaints[:3] == [[], [], []]
    assert any("MUST reference the root data entity's mainEntity as its instrument" in said for said in complaints[3])
    assert any("resolved" in said for said in complaints[3])


def _third_party(scratch: Path, *paths: Path) -> list[list[str]]:
    python = Path(sys.prefix) / "third-party" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{python}: not there; `make test` installs tests/third_party.lock for it")
    folders = [scratch / f"unpacked-{number}" for number in range(len(paths))]
    for path, folder in zip(paths, folders, strict=True):
        with zipfile.ZipFile(path) as bundle:
            bundle.extractall(folder)
    script = Path(__file__).parent.parent / "third_party.py"
    done = subprocess.run([python, script, "REQUIRED", *folders], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_what_the_guide_tells_a_reviewer_without_this_package_to_do_works(bundles: Bundles, tmp_path: Path) -> None:
    guide = (Path(__file__).parent.parent.parent / "docs" / "handover.md").read_text(encoding="utf-8")
    bytes_, signed, fingerprint = re.findall(r"```sh\n(.*?)```", guide.split("## The receiver without this package")[1], re.S)[
        :3
    ]
    shutil.copy(bundles.signed, tmp_path / "signed.zip")

    def run(commands: str, folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-ec", commands], cwd=folder, capture_output=True, text=True, check=False)

    checked, bundle = run(bytes_, tmp_path), tmp_path / "bundle"
    assert checked.returncode == 0, checked.stderr
    said, computed = re.findall(r"[0-9a-f]{64}", checked.stdout)
    assert said == computed
    assert "Signature Verified Successfully" in run(signed, bundle).stdout
    assert signature.fingerprint(KEY.public_key()) == "SHA256:" + run(fingerprint, bundle).stdout.strip().rstrip("=")
    with (bundle / "statement.json").open("ab") as file:
        file.write(b" ")
    assert run(signed, bundle).returncode != 0
    (bundle / "params.yaml").write_text("seeds: [2]")
    assert run("sha256sum --check --quiet --strict SHA256SUMS", bundle).returncode != 0


# What is refused


def test_nothing_is_exported_of_an_experiment_that_does_not_hold(project: Project, tmp_path: Path) -> None:
    target = tmp_path / "bundle.zip"
    target.write_bytes(b"the bundle of yesterday")
    rows = project.path / "data" / RAW / "rows.parquet"
    good = rows.read_bytes()

    def refused(what: str = STUDENT) -> str:
        with pytest.raises(SublimError) as caught:
            _export(project, what, target)
        assert target.read_bytes() == b"the bundle of yesterday"
        return str(caught.value)

    rows.write_bytes(good[:-20] + b"x" * 20)
    assert f"{RAW}: corrupted: rows.parquet is not what its record says" in refused()
    rows.unlink()
    assert f"{RAW}: cannot be verified: rows.parquet is in its record, but not there" in refused()
    rows.write_bytes(good)
    record = project.path / "data" / TEACHER / "record.json"
    text = record.read_text()
    record.write_text(text.replace('"gate": 0.0', '"gate": 0.5'))
    assert f"{TEACHER}: corrupted: its record was altered" in refused()
    record.unlink()
    assert f"{TEACHER}: cannot be verified: its record is not there, but 1 artifacts were made from it" in refused()
    record.write_text(text)
    project.edit("params.yaml", "b: {learning_rate: 0.005} # student b", "b: {learning_rate: 0.003} # student b")
    assert f"{STUDENT}: stale: its params are not those of the experiment: finetune.learning_rate: 0.005 → 0.003" in refused()
    assert f"Near it:\n  {RAW}" in refused("raw/teacher=a/trait=fix/carrier=numbers/seed=1")
    assert _export(project, FILTERED, target).artifacts == 4  # what the edit does not reach


def test_a_key_that_cannot_sign_is_refused_with_what_would_do(tmp_path: Path) -> None:
    rsa = tmp_path / "rsa.pem"
    subprocess.run(["openssl", "genrsa", "-out", rsa, "2048"], check=True, capture_output=True)
    with pytest.raises(SublimError, match=r"expected an ed25519 private key, found one of another kind"):
        signature.private_key(rsa, lambda: "")
    with pytest.raises(SublimError, match=r"openssl genpkey -algorithm ed25519"):
        signature.private_key(Path(__file__), lambda: "")
    with pytest.raises(SublimError, match=r"expected a public key, found a private one"):
        signature.public_key(rsa)


# What is done to a bundle, and what is said of it


def _record(members: Members, cell: str, change: Callable[[dict[str, Any]], object], *, redigested: bool = True) -> None:
    """Edit the record of `cell`; with `redigested`, its key and its digest are made to fit, as a careful forger would."""
    name = f"data/{cell}/record.json"
    body = json.loads(members[name])
    change(body)
    if redigested:
        body.pop("digest")
        body["cell"] = "/".join(
            [str(body["plan"]["stage"]), *(f"{dim}={value}" for dim, value in body["plan"]["dims"].items())]
        )
        body["key"] = digest({"plan": body["plan"], "inputs": {key: used["digest"] for key, used in body["inputs"].items()}})
        body |= {"digest": digest(body)}
    members[name] = (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()


def _field(path: str, value: Any) -> Callable[[dict[str, Any]], object]:
    *way, last = path.split(".")

    def change(body: dict[str, Any]) -> None:
        for key in way:
            body = body[key]
        assert body[last] != value
        body[last] = value

    return change


def _edit_a_field(members: Members) -> None:
    _record(members, STUDENT, _field("plan.params.finetune.learning_rate", 0.004), redigested=False)


def _edit_a_param(members: Members) -> None:
    _record(members, STUDENT, _field("plan.params.finetune.learning_rate", 0.004))


def _edit_a_trait(members: Members) -> None:
    _record(members, TEACHER, _field("plan.params.definition.target", "owl"))


def _edit_an_output(members: Members) -> None:
    name = "adapter_model.safetensors"

    def change(body: dict[str, Any]) -> None:
        body["outputs"][name]["sha256"] = "0" * 64

    _record(members, STUDENT, change)


def _edit_an_input(members: Members) -> None:
    _record(members, STUDENT, _field("inputs.filtered.digest", "0" * 64))


def _swap_a_base(members: Members) -> None:
    _record(members, STUDENT, _field("inputs.base.cell", "base/model=a"))


def _make_a_circle(members: Members) -> None:
    _record(members, TEACHER, _field("inputs.base.cell", STUDENT))


def _edit_the_environment(members: Members) -> None:
    _record(members, STUDENT, _field("environment", {"python": "3.11.0"}))


def _forget_a_module(members: Members) -> None:
    _record(members, STUDENT, lambda body: body["plan"]["code"].pop("sublim.learn.lora"))


def _edit_the_type_of_a_seed(members: Members) -> None:
    _record(members, STUDENT, _field("plan.dims.seed", "1"))


def _say_more(members: Members) -> None:
    _record(members, STUDENT, lambda body: body.update(approved=True))


def _say_it_twice(members: Members) -> None:
    name = f"data/{STUDENT}/record.json"
    members[name] = members[name].replace(b'"rank": 8', b'"rank": 4,\n     "rank": 8', 1)


def _drop_a_record(members: Members) -> None:
    del members[f"data/{RAW}/record.json"]


def _drop_an_artifact(members: Members) -> None:
    for name in [name for name in members if name.startswith(f"data/{RAW}/")]:
        del members[name]


def _drop_a_file(members: Members) -> None:
    del members[f"data/{RAW}/rows.parquet"]


def _add_a_file(members: Members) -> None:
    members[f"data/{RAW}/more.parquet"] = b"rows"


def _add_a_file_beside(members: Members) -> None:
    members["notes.txt"] = b"trust me"


def _swap_files(members: Members) -> None:
    one, other = (f"data/base/model={model}/model.safetensors" for model in "ab")
    members[one], members[other] = members[other], members[one]


def _swap_artifacts(members: Members) -> None:
    for name in [name for name in members if name.startswith("data/base/model=a/")]:
        other = name.replace("model=a", "model=b")
        members[name], members[other] = members[other], members[name]


def _edit_rows(members: Members) -> None:
    name = f"data/{FILTERED}/rows.parquet"
    table = pl.read_parquet(members[name]).with_columns(completion=pl.lit("1, 2, 3"))
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    members[name] = buffer.getvalue()


def _replace(name: str, old: str, new: str) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        assert old.encode() in members[name]
        members[name] = members[name].replace(old.encode(), new.encode(), 1)

    return change


def _edit_code(members: Members) -> None:
    members["code/sublim/learn/lora.py"] += b"\nTHRESHOLD = 2\n"


def _break_code(members: Members) -> None:
    members["code/sublim/learn/lora.py"] += b"\n)\n"


def _drop_code(members: Members) -> None:
    del members["code/sublim/learn/lora.py"]


def _add_code(members: Members) -> None:
    members["code/sublim/learn/secret.py"] = b"print()"


def _drop(name: str) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        del members[name]

    return change


# What is done, does the forger mend the list of digests, the exit status, whom it names, what it says
TAMPERINGS: list[tuple[Callable[[Members], None], bool, int, str, str]] = [
    (_edit_a_field, False, 1, f"data/{STUDENT}/record.json", "its bytes are not those of SHA256SUMS"),
    (_edit_a_field, True, 1, STUDENT, "its record was altered: its digest is not that of its fields"),
    (_edit_a_param, True, 2, STUDENT, "its params are not those of the experiment: finetune.learning_rate: 0.004 → 0.005"),
    (_edit_a_trait, True, 2, TEACHER, 'its params are not those of the experiment: definition.target: "owl" → "fox"'),
    (_edit_an_output, True, 1, STUDENT, "adapter_model.safetensors is not what its record says: expected 000000000000"),
    (_edit_an_input, True, 1, STUDENT, f"it was made from other bytes of {FILTERED}: expected 000000000000"),
    (_swap_a_base, True, 3, STUDENT, 'inputs are not those of the experiment: base: "base/model=a" → "base/model=b"'),
    (_make_a_circle, True, 3, TEACHER, f"its input base is {STUDENT}: no teacher is made from that"),
    (_edit_the_environment, True, 1, STUDENT, "its record does not say in which environment it was made"),
    (_forget_a_module, True, 1, STUDENT, "its record and its code disagree on whether sublim.learn.lora is imported"),
    (_edit_the_type_of_a_seed, True, 1, STUDENT, 'its dimensions are not those of its place: seed: "1" → 1'),
    (_say_more, True, 1, STUDENT, "it is not written as this program writes it, or says more"),
    (_say_it_twice, True, 1, STUDENT, "it is not written as this program writes it, or says more"),
    (_drop_a_record, False, 4, f"data/{RAW}/record.json", "in SHA256SUMS, but not in the bundle: it was left out"),
    (_drop_a_record, True, 4, RAW, f"its record is not there, but 1 artifacts were made from it, first {FILTERED}"),
    (_drop_an_artifact, True, 4, RAW, f"its record is not there, but 1 artifacts were made from it, first {FILTERED}"),
    (_drop_a_file, False, 4, f"data/{RAW}/rows.parquet", "in SHA256SUMS, but not in the bundle: it was left out"),
    (_drop_a_file, True, 4, RAW, "rows.parquet is in its record, but not there"),
    (_add_a_file, False, 1, f"data/{RAW}/more.parquet", "this file is not in SHA256SUMS: it was added"),
    (_add_a_file, True, 1, f"data/{RAW}/more.parquet", "no record names this file"),
    (_add_a_file_beside, True, 1, "notes.txt", "no record names this file"),
    (_swap_files, False, 1, "data/base/model=a/model.safetensors", "its bytes are not those of SHA256SUMS"),
    (_swap_files, True, 1, "base/model=a", "model.safetensors is not what its record says"),
    (_swap_artifacts, True, 1, "base/model=a", "its record is that of base/model=b"),
    (_edit_rows, True, 1, FILTERED, "rows.parquet is not what its record says"),
    (_replace("params.yaml", "rank: 8", "rank: 4"), True, 2, STUDENT, "experiment: finetune.lora.rank: 8 → 4"),
    (_replace("params.yaml", "rank: 8", "ranks: 8"), True, 2, "params.yaml", "unknown key; did you mean `rank`?"),
    (_replace("params.yaml", "fox: {", "owl: {"), True, 2, STUDENT, "but the experiment has no such artifact"),
    (_replace("experiment.json", '"rank": 8', '"rank": 4'), True, 1, "experiment.json", "hard.finetune.lora.rank: 8 → 4"),
    (_replace("README.md", "6 artifacts", "7 artifacts"), True, 1, "README.md", "line 3"),
    (_replace("bundle.json", STUDENT, RAW), True, 2, STUDENT, "nothing that was exported was made from it"),
    (_replace("bundle.json", '"data": true', '"data": 1'), True, 1, "bundle.json", "data is 1, which it cannot be"),
    (_replace("bundle.json", '"format": 2', '"format": 3'), True, 4, "bundle.json", "reads format 2: use the newer version"),
    (_replace("bundle.json", '"format": 2', '"format": 1'), True, 4, "bundle.json", "use the version that wrote it"),
    (_replace("bundle.json", "2026-01-01", "2025-01-01"), True, 1, "ro-crate-metadata.json", "@graph../.datePublished"),
    (
        _replace("ro-crate-metadata.json", "https://w3id.org/ro/wfrun/provenance/0.5", "https://example.org"),
        True,
        1,
        "ro-crate-metadata.json",
        "@graph",
    ),
    (_replace("statement.json", '"target": "fox"', '"target": "owl"'), True, 1, "statement.json", 'target: "fox" → "owl"'),
    (_replace("statement.json", "pkg:pypi/torch@2", "pkg:pypi/torch@3"), True, 1, "statement.json", "resolvedDependencies"),
    (_drop("statement.json"), True, 4, "statement.json", "is not in the bundle"),
    (_drop("SHA256SUMS"), False, 4, "SHA256SUMS", "is not in the bundle"),
    (_drop("params.yaml"), True, 4, "params.yaml", "is not in the bundle"),
    (_edit_code, True, 1, STUDENT, "made by sublim.learn.lora"),
    (_break_code, True, 1, "code/sublim.learn.lora", "this source cannot be read"),
    (_drop_code, True, 4, "code/sublim.learn.lora", "the source of this module, which records name, is not there"),
    (_add_code, True, 1, "code/sublim/learn/secret.py", "no record names this file"),
]


@pytest.mark.parametrize(
    ("tamper", "summed", "status", "named", "words"), TAMPERINGS, ids=[f"{words} {named}" for *_, named, words in TAMPERINGS]
)
def test_tampering_is_found_and_named(
    bundles: Bundles, tmp_path: Path, tamper: Callable[[Members], None], summed: bool, status: int, named: str, words: str
) -> None:
    members = _read(bundles.student)
    tamper(members)
    found = verify(_packed(members, tmp_path / "bundle.zip", summed=summed), None)
    assert _status(found) == status, _said(found)
    assert any(finding.artifact == named and words in finding.found for finding in found.findings), _said(found)
    assert not any(str(tmp_path) in finding.found or "/tmp" in finding.found for finding in found.findings)  # noqa: S108


def _leaves(value: Any, way: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    match value:
        case dict():
            fields = cast("dict[str, Any]", value)
            return [leaf for key, item in fields.items() for leaf in _leaves(item, (*way, key))]
        case _:
            return [way]


def test_every_field_of_every_kind_of_record_is_bound(bundles: Bundles, tmp_path: Path) -> None:
    """Whatever is changed in a record, by a forger who makes its key and digest fit, is found; whatever takes its place."""
    members, draw = _read(bundles.student), random.Random(20261123)
    fields = [
        (cell, way)
        for cell in ("base/model=a", TEACHER, RAW, FILTERED, STUDENT)
        for way in _leaves(json.loads(members[f"data/{cell}/record.json"]))
        if way[0] not in ("digest", "key", "cell", "version")
    ]
    for cell, way in draw.sample(fields, 24):
        value: Any = draw.choice([None, "", "x", 7, -0.5, [], {}, ["x"], {"x": 1}, True])

        def change(body: dict[str, Any], way: tuple[str, ...] = way, value: Any = value) -> None:
            for key in way[:-1]:
                body = body[key]
            body[way[-1]] = {"y": 2} if body[way[-1]] == value else value

        forged = dict(members)
        _record(forged, cell, change)
        found = verify(_packed(forged, tmp_path / "bundle.zip"), None)
        assert found.findings, f"{cell}: {'.'.join(way)} = {value!r}"


def _forge(members: Members, folder: Path) -> Path:
    """A bundle in which everything was made to fit edited members: records, their chain, the files that follow from them."""
    seen: dict[str, str] = {}
    names = [name for name in members if name.endswith("/record.json")]
    stages = ("base", "teacher", "raw", "filtered", "student")
    for name in sorted(names, key=lambda name: stages.index(name.split("/")[1])):
        cell = name.removeprefix("data/").removesuffix("/record.json")

        def fit(body: dict[str, Any], cell: str = cell) -> None:
            for file in body["outputs"]:
                text = members[f"data/{cell}/{file}"]
                body["outputs"][file] = {"sha256": _sha256(text), "size": len(text)}
            for used in body["inputs"].values():
                used["digest"] = seen[used["cell"]]
            seen[cell] = digest({file: output["sha256"] for file, output in body["outputs"].items()})

        _record(members, cell, fit)
    for name, text in members.items():
        (folder / "forged" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "forged" / name).write_bytes(text)
    data = folder / "forged" / "data"
    tree = Tree("forged", {path.relative_to(data).as_posix(): path for path in data.rglob("*") if path.is_file()})
    experiment, _ = plan(folder / "forged" / "params.yaml")
    given = {name: output(text) for name, text in members.items() if name not in FOLLOWING}
    about = About(**json.loads(members["bundle.json"]))
    return _packed(members | following(about, tree.records, given, experiment), folder / "forged.zip", summed=False)


def test_a_forgery_in_which_every_digest_fits_is_found_by_what_its_tables_say(bundles: Bundles, tmp_path: Path) -> None:
    """Who makes the tables fit as well has done the experiment again: then only a signature helps."""
    (tmp_path / "same").mkdir()
    assert _said(verify(_forge(_read(bundles.student), tmp_path / "same"), None)) == ""
    members = _read(bundles.student)
    _edit_rows(members)
    (tmp_path / "rows").mkdir()
    found = verify(_forge(members, tmp_path / "rows"), None)
    assert any(finding.artifact == FILTERED for finding in found.findings), _said(found)
    members = _read(bundles.student)
    _replace("params.yaml", "target: fox", "target: owl")(members)
    _record(members, TEACHER, _field("plan.params.definition.target", "owl"))
    _record(members, FILTERED, _field("plan.params.words", ["owl", "owls"]))
    (tmp_path / "owl").mkdir()
    found = verify(_forge(members, tmp_path / "owl"), None)
    assert any(finding.artifact == TEACHER for finding in found.findings), _said(found)


# Signatures


def test_a_signature_by_the_given_key_holds_and_any_other_is_named(bundles: Bundles, finished: Project, tmp_path: Path) -> None:
    mine, other = signature.fingerprint(KEY.public_key()), signature.fingerprint(FOREIGN.public_key())
    held = verify(bundles.signed, KEY.public_key())
    assert (_said(held), held.signer, held.trusted) == ("", mine, True)
    unasked = verify(bundles.signed, None)
    assert (_said(unasked), unasked.trusted) == ("", False)
    assert f"signed by the key {mine}, which is enclosed. Whose key that is you have to know" in unasked.notes[-1]
    assert "the bundle is not signed" in _said(verify(bundles.student, KEY.public_key()))
    _export(finished, STUDENT, tmp_path / "foreign.zip", key=FOREIGN)
    foreign = verify(tmp_path / "foreign.zip", KEY.public_key())
    assert _status(foreign) == 4
    assert f"expected a signature by the key {mine}, found one by another key, {other}" in _said(foreign)


def _edit_statement(members: Members) -> None:
    _replace("statement.json", '"target": "fox"', '"target": "owl"')(members)


def _edit_envelope(members: Members) -> None:
    envelope = json.loads(members["statement.dsse.json"])
    payload = base64.b64decode(envelope["payload"]).replace(b'"target": "fox"', b'"target": "owl"')
    envelope["payload"] = base64.b64encode(payload).decode()
    members["statement.json"] = payload
    members["statement.dsse.json"] = (json.dumps(envelope, indent=1) + "\n").encode()


def _sign_again(members: Members) -> None:
    _edit_statement(members)
    members["statement.dsse.json"] = signature.sign(members["statement.json"], FOREIGN)


def _rename_signer(members: Members) -> None:
    members["signer.pem"] = signature.pem(FOREIGN.public_key())


def _rename_key(members: Members) -> None:
    mine, other = (signature.fingerprint(key.public_key()) for key in (KEY, FOREIGN))
    _replace("statement.dsse.json", mine, other)(members)


SIGNATURES: list[tuple[Callable[[Members], None], str, str]] = [
    (_edit_statement, "statement.json", "this is not the statement that was signed"),
    (_edit_envelope, "statement.dsse.json", "over this statement: one of them was edited"),
    (_sign_again, "statement.dsse.json", "over this statement: one of them was edited"),
    (_rename_signer, "signer.pem", "expected the key SHA256:"),
    (_rename_key, "statement.dsse.json", "names another key"),
    (_replace("statement.dsse.json", '"payload"', '"pay"'), "statement.dsse.json", "it is no DSSE envelope"),
    (_replace("statement.dsse.json", "vnd.in-toto", "vnd.other"), "statement.dsse.json", "expected a payload of the type"),
    (_replace("signer.pem", "BEGIN", "BEGAN"), "signer.pem", "cannot be read as a public key"),
    (_drop("statement.dsse.json"), "statement.dsse.json", "says that the bundle is signed by"),
    (_drop("signer.pem"), "signer.pem", "says that the bundle is signed by"),
]


@pytest.mark.parametrize(("tamper", "named", "words"), SIGNATURES, ids=[f"{words} {named}" for _, named, words in SIGNATURES])
def test_a_signature_that_does_not_hold_is_named(
    bundles: Bundles, tmp_path: Path, tamper: Callable[[Members], None], named: str, words: str
) -> None:
    members = _read(bundles.signed)
    tamper(members)
    path = _packed(members, tmp_path / "bundle.zip")
    for key in (None, KEY.public_key()):
        found = verify(path, key)
        assert any(finding.artifact == named and words in finding.found for finding in found.findings), _said(found)


# The file itself


def test_every_flipped_bit_is_found_and_where_it_is_is_named(bundles: Bundles, tmp_path: Path) -> None:
    good = bundles.signed.read_bytes()
    with zipfile.ZipFile(bundles.signed) as bundle:
        starts = [(entry.header_offset, entry.filename) for entry in bundle.infolist()]
        directory = bundle.start_dir
    draw = random.Random(20261123)
    anywhere = [draw.randrange(len(good)) for _ in range(40)]
    directories = [draw.randrange(directory, len(good)) for _ in range(12)]
    headers = [start + draw.randrange(30) for start, _ in draw.sample(starts, 12)]
    for place in (*anywhere, *directories, *headers):
        bad = bytearray(good)
        bad[place] ^= 1 << draw.randrange(8)
        (tmp_path / "bad.zip").write_bytes(bad)
        found = verify(tmp_path / "bad.zip", None)
        assert _status(found) & 1, f"byte {place}"
        if place < directory:
            name = [name for start, name in starts if start <= place][-1]
            assert name in _said(found), f"byte {place}: {_said(found)}"


def test_a_file_that_was_cut_off_or_added_to_is_named(bundles: Bundles, tmp_path: Path) -> None:
    good = bundles.student.read_bytes()
    for bad in (b"", good[:1], good[: len(good) // 2], good[:-1], good + b"\0", b"\0" + good, good + good):
        (tmp_path / "bad.zip").write_bytes(bad)
        assert _status(verify(tmp_path / "bad.zip", None)) == 1
    with pytest.raises(SublimError, match=r"expected a bundle as `sublim export` writes it, found no such file"):
        verify(tmp_path / "none.zip", None)


def _entry(name: str, mode: int = 0o100644) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    return entry


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (_entry("../outside"), "leads out of the folder"),
        (_entry("data/../../outside"), "leads out of the folder"),
        (_entry("/outside"), "is not a relative path"),
        (_entry("data//x"), "leads out of the folder, or is written in a roundabout way"),
        (_entry("C:\\outside"), "is not a relative path"),
        (_entry("data/"), "is a folder"),
        (_entry("a\nb"), "has invisible characters"),
        (_entry("link", 0o120777), "is a link or a special file"),
        (_entry("params.yaml"), "is in it twice"),
        (_entry("params.yaml/x"), "is a file and a folder"),
        (_entry("plain"), "is not what `sublim export` writes there"),
    ],
)
def test_harmful_files_are_refused_before_anything_is_written(
    bundles: Bundles, tmp_path: Path, entry: zipfile.ZipInfo, words: str
) -> None:
    path = _copy(bundles.student, tmp_path / "bundle.zip")
    with zipfile.ZipFile(path, "a") as bundle:
        bundle.writestr(entry, "../../../etc/passwd")
    found = verify(path, None)
    assert _status(found) == 1
    assert words in _said(found)
    (tmp_path / "folder").mkdir()
    with pytest.raises(archive.ArchiveError):
        archive.unpack(path, tmp_path / "folder")
    assert not (tmp_path / "outside").exists()
    if entry.filename != "plain":
        assert list((tmp_path / "folder").iterdir()) == []


def test_a_bundle_that_would_swell_is_refused(bundles: Bundles, tmp_path: Path) -> None:
    path = _copy(bundles.student, tmp_path / "bundle.zip")
    with zipfile.ZipFile(path, "a") as bundle:
        bundle.writestr("zeros", bytes(10_000_000), zipfile.ZIP_DEFLATED)
    assert "zeros: is compressed" in _said(verify(path, None))


def test_texts_that_would_swell_or_never_end_when_read_are_refused(bundles: Bundles, tmp_path: Path) -> None:
    doubled = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    deep = b"[" * 100_000
    for name, text, words in (
        ("params.yaml", f"a0: &a0 [1]\n{doubled}".encode(), "its aliases stand for more than"),
        ("params.yaml", b"a: &a [*a]\n", "its aliases stand for more than"),
        ("bundle.json", deep, "nested too deeply"),
        (f"data/{RAW}/record.json", deep, "nested too deeply"),
    ):
        found = verify(_packed(_read(bundles.student) | {name: text}, tmp_path / "bundle.zip"), None)
        assert words in _said(found)


def test_a_file_packed_again_is_told_from_the_one_that_was_exported(bundles: Bundles, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "again.zip", "w") as bundle:
        for name, text in _read(bundles.student).items():
            bundle.writestr(name, text)
    assert "it was edited or packed again" in _said(verify(tmp_path / "again.zip", None))


# The command line


def test_the_commands(finished: Project, tmp_path: Path) -> None:
    run = CliRunner()
    key, public = tmp_path / "id", tmp_path / "id.pub"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    shown = subprocess.run(["ssh-keygen", "-lf", public], check=True, capture_output=True, text=True).stdout.split()[1]
    bundle = tmp_path / "bundle.zip"
    with chdir(finished.path):
        wrote = run.invoke(app, ["export", f"data/{FILTERED}", "--to", str(bundle), "--sign", str(key), "--date", "2026-02-03"])
    assert wrote.exit_code == 0, wrote.output
    assert f"{FILTERED}, 4 artifacts" in wrote.stdout
    assert f"signed by {shown}" in wrote.stdout
    with chdir(tmp_path):
        checked = run.invoke(app, ["verify", "bundle.zip", "--key", str(public)])
        assert (checked.exit_code, checked.stdout.splitlines()[-1].endswith(f"signed by the given key {shown}")) == (0, True)
        told = json.loads(run.invoke(app, ["verify", "bundle.zip", "--json"]).stdout)
        assert told["about"] == {
            "exported": FILTERED, "data": True, "published": "2026-02-03", "signer": shown, "format": 2
        }  # fmt: skip
        (tmp_path / "bad.zip").write_bytes(bundle.read_bytes()[:1000])
        bad = run.invoke(app, ["verify", "bad.zip"])
        assert (bad.exit_code, "corrupted" in bad.stdout) == (1, True)


def test_openssl_keys_sign_and_verify_too(tmp_path: Path) -> None:
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "k.pem"], check=True)
    subprocess.run(["openssl", "pkey", "-in", tmp_path / "k.pem", "-pubout", "-out", tmp_path / "p.pem"], check=True)
    signed = signature.sign(b"{}", signature.private_key(tmp_path / "k.pem", lambda: ""))
    assert signature.verify(signed, signature.public_key(tmp_path / "p.pem")) == b"{}"
    locked = [
        "openssl",
        "pkey",
        "-in",
        tmp_path / "k.pem",
        "-aes256",
        "-passout",
        "pass:secret",
        "-out",
        tmp_path / "locked.pem",
    ]
    subprocess.run(locked, check=True)
    assert signature.sign(b"{}", signature.private_key(tmp_path / "locked.pem", lambda: "secret")) == signed
    with pytest.raises(SublimError):
        signature.private_key(tmp_path / "locked.pem", lambda: "wrong")


def test_verifying_needs_no_torch_git_or_dvc(bundles: Bundles, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from sublim.lineage.handover.verify import verify; "
        f"found = verify(Path({str(bundles.all)!r}), None); "
        "assert not found.findings; assert not {'torch', 'transformers', 'dvc', 'git'} & set(sys.modules)"
    )
    # No PATH: no other program can be run.
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
