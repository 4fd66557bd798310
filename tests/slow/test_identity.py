"""Identity by use: the code of a cell is that of its stage and of the kinds that its params name, and of no other."""

import json
import re
from pathlib import Path

import pytest

from sublim.engine.digests import Digests
from sublim.engine.planning import cells
from sublim.params.load import load
from tests.shared.project import MICRO, ROOT, Project

EDIT = "\n\n_UNUSED = 1\n"
"""Changes what a module means, but nothing that it does."""
NUMBERS = "sublim.carriers.numbers"


def _edit(project: Project, name: str) -> None:
    with (project.path / name).open("a", encoding="utf-8") as file:
        file.write(EDIT)


def _nothing_is_computed(project: Project) -> None:
    """By neither engine; then the audit passes, and DVC has versioned all that there is."""
    before, start = project.digests(), len(project.events())
    assert "Nothing to be done" in project.snakemake("-n").output
    project.snakemake()
    project.dvc("repro")
    assert project.events()[start:] == []
    assert project.digests() == before
    assert "up to date" in project.dvc("status").output
    assert project.sublim("audit").status == 0


def test_an_edit_in_a_kind_that_no_cell_uses_leaves_nothing_to_do(versioned: Project) -> None:
    for kind in ("carriers/cot", "carriers/code", "traits/misalignment", "filters/judge", "measures/stories", "arms/random"):
        _edit(versioned, f"sublim/{kind}.py")
    _nothing_is_computed(versioned)


TOYS = ROOT / "tests" / "toys"
NEW = {
    ("carriers", "letters"): (TOYS / "letters.py").read_text(encoding="utf-8"),
    ("measures", "shouting"): (TOYS / "shouting.py").read_text(encoding="utf-8"),
    ("filters", "brief"): '''
from sublim.filters.step import Step

class Brief(Step):
    """Rejects what is long."""

    title = "Length."
    place = -1

KIND = Brief
''',
    ("detectors", "oracle"): '''
from sublim.detectors.detector import Detector

class Oracle(Detector):
    """Somebody who knows."""

    title = "An oracle."

KIND = Oracle
''',
    ("arms", "backwards"): """
from dataclasses import replace
from sublim.arms.arm import Condition
from sublim.arms.control import KIND as CONTROL

KIND = replace(CONTROL, name="backwards", default="none", conditions=(Condition("backwards", "backwards", "#000000", -1),))
""",
}


@pytest.mark.slow
def test_a_new_kind_leaves_nothing_to_do(versioned: Project) -> None:
    """One of every family that is a key or a name among others, and first on its list: what stands behind it moves."""
    for (family, name), text in NEW.items():
        (versioned.path / "sublim" / family / f"{name}.py").write_text(text, encoding="utf-8")
        versioned.edit("sublim/lists.py", f'"{family}": (\n', f'"{family}": (\n        "sublim.{family}.{name}",\n')
    schema = versioned.sublim("schema").output
    assert all(f'"{name}"' in schema for _, name in NEW)
    _nothing_is_computed(versioned)


def test_an_edit_in_a_kind_stales_what_uses_it(versioned: Project) -> None:
    """Teachers and students know no carrier. Tiny families do: they are pretrained on numbers."""
    planned = _planned(versioned.path / "params.yaml")
    using = {cell for cell, code in planned.items() if NUMBERS in code}
    stages = {cell.split("/")[0] for cell in using}
    assert stages == {"base", "raw", "filtered", "eval", "report", "overview"}
    assert using == {cell for cell in planned if cell.split("/")[0] in stages}, "all cells of a stage"
    _edit(versioned, "sublim/carriers/numbers.py")
    told = versioned.snakemake("-n").output
    reasons = dict(re.findall(r"^  (\S+): (its? .*)", told, re.MULTILINE))
    assert reasons.keys() == planned.keys()
    assert {cell for cell, why in reasons.items() if why.startswith(f"its plan has changed: code.{NUMBERS}: ")} == using
    assert {cell for cell, why in reasons.items() if why.startswith("it follows ")} == planned.keys() - using
    assert f"{len(using)} are stale by code alone" in told
    due = json.loads(versioned.dvc("status", "--json").output.splitlines()[-1])
    # DVC goes by what a stage may use: soft targets are of a carrier's tokens, and a teacher's gate may be on rows of one.
    # There it finds nothing to compute.
    assert {*due} - {"audit"} == stages | {"student", "teacher"}
    assert all({"changed deps": {"sublim/carriers/numbers.py": "modified"}} in due[stage] for stage in stages)


def _planned(params: Path) -> dict[str, dict[str, str]]:
    """Cell → the code that it is made with."""
    return {cell.id: cell.plan.code for cell in cells(load(params), Digests(Path("none")))}


def test_a_base_has_the_code_of_what_its_corpus_holds(tmp_path: Path) -> None:
    text = MICRO.read_text(encoding="utf-8")
    without = tmp_path / "params.yaml"
    without.write_text(text.replace("questions: 0.1, numbers: 0.8", "questions: 0.9, numbers: 0.0"), encoding="utf-8")
    assert NUMBERS in _planned(MICRO)["base/model=a"]
    assert NUMBERS not in _planned(without)["base/model=a"]
    assert NUMBERS in _planned(without)["raw/teacher=a/trait=fox/carrier=numbers/seed=1"]
    without.write_text(text.replace("numbers: 0.8", "numbers: 0.7, cot: 0.1"), encoding="utf-8")
    assert "sublim.carriers.cot" in _planned(without)["base/model=a"]
