"""What is computed after which change: the table of docs/architecture.md, on real snakemake and dvc."""

import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.shared.project import Project

TEACHER = "teacher/teacher=a/trait=fox/seed=1"
RAW = "raw/teacher=a/trait=fox/carrier=numbers/seed=1"
STUDENTS_OF_B = {
    f"student/teacher={teacher}/trait={trait}/carrier=numbers/filter=strict/arm={arm}/method=hard/student=b/seed=1"
    for teacher, trait, arm in (
        ("a", "fox", "trait"),
        ("b", "fox", "trait"),
        ("a", "none", "control"),
        ("b", "none", "control"),
        ("b", "fox", "shuffled_within"),
        ("b", "fox", "shuffled_across"),
    )
}


def _nothing_to_do(project: Project) -> None:
    start = len(project.events())
    project.snakemake()
    assert project.events()[start:] == []
    assert project.sublim("audit").status == 0


def _below(project: Project, *cells: str) -> set[str]:
    """The cells whose params or inputs lead back to one of `cells`, themselves included, from the published plans."""
    import json

    plans = {
        path.relative_to(project.path / ".sublim/plan").with_suffix("").as_posix(): json.loads(path.read_text())["inputs"]
        for path in (project.path / ".sublim/plan").rglob("*.json")
        if path.name not in ("git.json", "experiment.json", "judges.json")
    }
    found = set(cells)
    while True:
        more = {cell for cell, inputs in plans.items() if found & set(inputs.values())} | found
        if more == found:
            return found
        found = more


def _scramble_times(path: Path, seed: int) -> None:
    order = random.Random(seed)
    for file in sorted(path.rglob("*")):
        if file.is_file() and ".git" not in file.relative_to(path).parts:
            time = order.uniform(1, 4e9)
            os.utime(file, (time, time), follow_symlinks=False)


def test_nothing_changed_and_everything_touched(project: Project) -> None:
    _nothing_to_do(project)
    _scramble_times(project.path, 1)
    _nothing_to_do(project)
    shutil.rmtree(project.path / ".snakemake")
    _scramble_times(project.path, 2)
    _nothing_to_do(project)


def test_one_teachers_learning_rate(project: Project) -> None:
    start = len(project.events())
    project.edit("params.yaml", "a: {learning_rate: 0.005} # teacher a", "a: {learning_rate: 0.004} # teacher a")
    assert f"{TEACHER} is not up to date" in project.sublim("why", f"data/{TEACHER}/adapter_model.safetensors").output
    assert "params.finetune.learning_rate: 0.005 → 0.004" in project.sublim("why", f"data/{TEACHER}").output
    assert "params.finetune.learning_rate: 0.005 → 0.004" in project.snakemake("-n").output
    assert [project.sublim("valid", stage, check=False).status for stage in ("base", "teacher", "student")] == [0, 1, 1]
    assert "no such stage; expected one of base," in project.sublim("valid", "students", check=False).output
    assert "the smallest gain" not in project.snakemake("teacher_all").output, "no student is trained by that"
    project.snakemake()
    done = project.since(start)
    assert done["computed"] | done["valid"] | done["restored"] == _below(project, TEACHER)
    assert {TEACHER, RAW} <= done["computed"]
    _nothing_to_do(project)


def test_one_students_learning_rate_and_back(project: Project) -> None:
    before, start = project.digests(), len(project.events())
    project.edit("params.yaml", "b: {learning_rate: 0.005} # student b", "b: {learning_rate: 0.003} # student b")
    foreseen = "the smallest gain that is found in 80 % of such experiments"
    assert foreseen not in project.snakemake("-n").output
    assert foreseen in project.snakemake().output
    done = project.since(start)
    assert done["computed"] == _below(project, *STUDENTS_OF_B)
    middle = len(project.events())
    project.edit("params.yaml", "b: {learning_rate: 0.003} # student b", "b: {learning_rate: 0.005} # student b")
    project.snakemake()
    done = project.since(middle)
    assert not done["computed"]
    assert done["restored"] == _below(project, *STUDENTS_OF_B)
    assert project.digests() == before


def test_two_values_swapped_between_a_teacher_and_a_student(project: Project) -> None:
    project.edit("params.yaml", "a: {learning_rate: 0.005} # teacher a", "a: {learning_rate: 0.002} # teacher a")
    project.snakemake()
    start = len(project.events())
    project.edit("params.yaml", "a: {learning_rate: 0.002} # teacher a", "a: {learning_rate: 0.005} # teacher a")
    project.edit("params.yaml", "b: {learning_rate: 0.005} # student b", "b: {learning_rate: 0.002} # student b")
    project.snakemake()
    done = project.since(start)
    assert done["computed"] | done["restored"] | done["valid"] == _below(project, TEACHER, *STUDENTS_OF_B)
    assert done["computed"] == _below(project, *STUDENTS_OF_B)


def test_key_order_and_number_spelling_are_no_change(project: Project) -> None:
    project.edit("params.yaml", "finetune: {steps: 3, batch: 8, lora: {alpha: 16", "finetune: {lora: {alpha: 16.0")
    project.edit("params.yaml", "targets: mlp}} # student", "targets: mlp}, batch: 8, steps: 3} # student")
    _nothing_to_do(project)


def test_a_filter_bound_that_rejects_nothing_new(project: Project) -> None:
    start = len(project.events())
    project.edit("params.yaml", "maximum: 999", "maximum: 1000")
    project.snakemake()
    done = project.since(start)
    assert {cell.split("/")[0] for cell in done["computed"]} == {"filtered"}
    _nothing_to_do(project)


def test_a_comment_is_no_change_and_a_real_edit_reaches_exactly_its_stages(project: Project) -> None:
    before = project.digests()
    path = project.path / "sublim/filters/chain.py"
    path.write_text("# a comment\n" + path.read_text())
    _nothing_to_do(project)
    start = len(project.events())
    path.write_text(path.read_text() + "\n\n_UNUSED = 1\n")
    assert (
        "code.sublim.filters.chain"
        in project.sublim("why", "data/filtered/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/seed=1").output
    )
    project.snakemake()
    assert project.computed(start) == Counter(
        filtered=sum(cell.startswith("filtered/") for cell in _below(project, "base/model=a", "base/model=b"))
    )
    changed = {name for name, digest in project.digests().items() if before[name] != digest}
    assert {Path(name).name for name in changed} == {"record.json"}


def _flip(path: Path) -> None:
    """Flip a bit and put size and times back, as a failing disk or a careful forger would."""
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize(
    "name",
    [
        "base/model=a/model.safetensors",
        f"{TEACHER}/adapter_model.safetensors",
        f"{RAW}/rows.parquet",
        "report/study=numbers/runs.parquet",
        f"{RAW}/record.json",
    ],
)
def test_a_flipped_bit_is_named_and_mended_without_computing(project: Project, name: str) -> None:
    before, start = project.digests(), len(project.events())
    _flip(project.path / "data" / name)
    audit = project.sublim("audit", check=False)
    assert audit.status == 1
    assert str(Path(name).parent) in audit.output
    project.snakemake()
    assert not project.since(start)["computed"]
    assert project.digests() == before
    _nothing_to_do(project)


def test_a_lost_file_and_a_lost_record_are_restored(project: Project) -> None:
    before, start = project.digests(), len(project.events())
    (project.path / "data" / RAW / "rows.parquet").unlink()
    (project.path / "data" / TEACHER / "record.json").unlink()
    assert project.sublim("audit", check=False).status == 1 + 4
    project.snakemake()
    assert not project.since(start)["computed"]
    assert project.digests() == before


def test_a_removed_trait_leaves_no_artifact_behind_and_comes_back(project: Project) -> None:
    before, start = project.digests(), len(project.events())
    project.edit("params.yaml", "shuffled_across: same", "shuffled_across: none")
    project.snakemake()
    assert not list((project.path / "data").rglob("arm=shuffled_across"))
    assert project.computed(start) == Counter(report=1, overview=1)
    project.edit("params.yaml", "shuffled_across: none", "shuffled_across: same")
    middle = len(project.events())
    project.snakemake()
    assert not project.since(middle)["computed"]
    assert project.digests() == before


@pytest.mark.slow
def test_a_model_in_a_folder_is_a_base_like_any_other(project: Project) -> None:
    shutil.copytree(project.path / "data/base/model=a", project.path / "mine")
    for extra in ("record.json", "corpus.parquet", "steps.parquet", "tensors.parquet"):
        (project.path / "mine" / extra).unlink()
    yaml, path = YAML(typ="safe", pure=True), project.path / "params.yaml"
    params = yaml.load(path)
    params["models"]["a"] = {"kind": "hub", "path": "mine"}
    yaml.dump(params, path)
    start = len(project.events())
    project.snakemake()
    done = project.since(start)
    assert "base/model=a" in done["computed"]
    assert "base/model=b" not in done["computed"] | done["restored"] | done["valid"]
    assert (project.path / "data/base/model=a/source.json").exists()
    _nothing_to_do(project)
    tokenizer = project.path / "mine" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")  # still JSON: what is none is refused before any verdict
    assert "files.tokenizer.json" in project.sublim("why", "data/base/model=a").output


def test_a_stray_file_is_named(project: Project) -> None:
    (project.path / "data" / RAW / "more.parquet").write_bytes(b"x")
    audit = project.sublim("audit", check=False)
    assert audit.status == 1
    assert "more.parquet is not in its record" in audit.output
