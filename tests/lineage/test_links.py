"""The chain of records: every input that a stage has is known to it, also those that come with its params."""

from dataclasses import replace
from pathlib import Path

import pytest

from sublim.engine import layout, planning
from sublim.engine.digests import Digests
from sublim.engine.record import Input, Output, Record
from sublim.evidence.finding import CORRUPTED
from sublim.evidence.tree import Tree
from sublim.lineage.story import chain

PARAMS = """\
models:
  a: &model {kind: tiny, architecture: gpt_neox, seed: 1}
  b: {<<: *model, seed: 2}
traits:
  bad: {kind: misalignment, grader: {alignment: kind_or_not, coherence: clear_or_not}}
judges:
  kind_or_not: {kind: local, model: a, scoring: &asked {kind: text, template: "{prompt} {completion}"}}
  clear_or_not: {kind: local, model: b, scoring: *asked}
seeds: [1]
teacher: {gate: 0.1, finetune: {steps: 5}}
carriers:
  numbers: {task: {kind: numbers}, filters: {judged: {judge: {judge: clear_or_not, minimum: 0}}}}
students:
  soft: {kind: soft, finetune: {steps: 5}}
studies:
  numbers: {carrier: numbers, filter: judged, student: soft, arms: {trait: same, control: same}}
mlp: {}
theorem: {trait: {kind: preference, category: animals, target: fox}, models: {a: b}}
"""
TEACHER = "teacher/teacher=a/trait=bad/seed=1"
FILTERED = "filtered/teacher=a/trait=bad/carrier=numbers/filter=judged/arm=trait/seed=1"
STUDENT = "student/teacher=a/trait=bad/carrier=numbers/filter=judged/arm=trait/method=soft/student=a/seed=1"
EVAL = STUDENT.replace("student/", "eval/", 1)
A, B = "base/model=a", "base/model=b"
INPUTS = {
    A: {},
    TEACHER: {"base": A, "alignment": A, "coherence": B},
    FILTERED: {"raw": "raw/teacher=a/trait=bad/carrier=numbers/seed=1", "judge": B},
    STUDENT: {"base": A, "filtered": FILTERED, "writer": A, "teacher": TEACHER},
    EVAL: {"base": A, "student": STUDENT, "alignment": A, "coherence": B},
    "theory/of=mlp": {},
    "theory/of=theorem-a": {"base": A, "other": B},
}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """The records of an experiment of which nothing was computed."""
    folder = tmp_path_factory.mktemp("links")
    (folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
    made: dict[str, Record] = {}
    for cell in planning.cells(planning.experiment(folder / "params.yaml"), Digests(folder / "none")):
        given = {name: Input(upstream, made[upstream].digest) for name, upstream in cell.inputs.items()}
        made[cell.id] = Record(cell.plan, given, {"x": Output(f"{len(made):064x}", 1)}, {})
    return made


def tree(records: dict[str, Record], folder: Path) -> Tree:
    for cell, record in records.items():
        (folder / cell).mkdir(parents=True)
        record.write(folder / cell / layout.RECORD)
    return Tree("data", {f"{cell}/{layout.RECORD}": folder / cell / layout.RECORD for cell in records})


def test_a_sound_chain_holds_whoever_judges_and_grades(records: dict[str, Record], tmp_path: Path) -> None:
    for cell, inputs in INPUTS.items():
        assert {name: given.cell for name, given in records[cell].inputs.items()} == inputs
    assert chain.check(tree(records, tmp_path)) == []


@pytest.mark.parametrize(
    ("cell", "name", "wrong"),
    [
        (TEACHER, "alignment", B),
        (TEACHER, "coherence", None),
        (EVAL, "coherence", A),
        (FILTERED, "judge", A),
        (STUDENT, "teacher", None),
        ("theory/of=theorem-a", "other", A),
        ("report/study=numbers", A, "raw/teacher=a/trait=bad/carrier=numbers/seed=1"),
        ("overview", "numbers", EVAL),
        (A, "base", B),
    ],
)
def test_what_was_made_from_another_artifact_is_named(
    records: dict[str, Record], tmp_path: Path, cell: str, name: str, wrong: str | None
) -> None:
    inputs = {role: given for role, given in records[cell].inputs.items() if role != name}
    if wrong is not None:
        inputs[name] = Input(wrong, records[wrong].digest)
    forged = records | {cell: replace(records[cell], inputs=inputs)}
    (found,) = chain.check(tree(forged, tmp_path))
    assert (found.artifact, found.status) == (cell, CORRUPTED)
    assert found.found.startswith("inputs: expected ")


def test_params_that_cannot_be_read_are_for_the_story_to_name(records: dict[str, Record], tmp_path: Path) -> None:
    plan = records[TEACHER].plan
    forged = records | {TEACHER: replace(records[TEACHER], plan=replace(plan, params={**plan.params, "gate": "high"}))}
    assert chain.check(tree(forged, tmp_path)) == []
