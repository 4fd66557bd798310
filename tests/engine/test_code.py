"""Code digests: what changes the meaning of a stage, and what does not."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from sublim.engine import code
from sublim.engine.planning import code_of
from sublim.engine.stage import stages
from sublim.params.derived import DerivedModel
from sublim.params.elsewhere import HubModel
from sublim.params.kinds import used
from sublim.params.tiny import TinyModel
from sublim.stages.base.rows import Slice

SOURCE = '''
"""What it does."""
import math

def area(r):
    """The area."""
    # a comment
    return math.pi * r ** 2
'''


@pytest.mark.parametrize(
    "edited",
    [
        SOURCE.replace("# a comment", "# another comment"),
        SOURCE.replace('"""The area."""', '"""The area of a disc."""'),
        SOURCE.replace('"""What it does."""', ""),
        SOURCE.replace("math.pi * r ** 2", "(math.pi\n        * r**2)"),
        "\n\n\n" + SOURCE,
    ],
)
def test_comments_docstrings_and_layout_mean_nothing(edited: str) -> None:
    assert code.meaning(edited) == code.meaning(SOURCE)


@pytest.mark.parametrize(
    "edited",
    [
        SOURCE.replace("** 2", "** 3"),
        SOURCE.replace("math.pi", "3.14"),
        SOURCE.replace("def area(r)", "def area(r=1)"),
        SOURCE + "x = 1\n",
    ],
)
def test_any_other_edit_means_something(edited: str) -> None:
    assert code.meaning(edited) != code.meaning(SOURCE)


def test_field_descriptions_mean_nothing() -> None:
    before = 'class A:\n    x: int = 1\n    """The x."""\n'
    assert code.meaning(before) == code.meaning(before.replace("The x.", "What x is."))


def test_the_closure_follows_imports_and_runs_through_packages() -> None:
    found = code.closure("sublim.stages.filtered.make")
    packages = {"sublim", "sublim.stages", "sublim.stages.filtered"}
    assert packages | {"sublim.stages.filtered.rows", "sublim.filters.chain", "sublim.common.canonical"} <= set(found)


@pytest.mark.parametrize("stage", [*stages()])
def test_what_only_plans_and_checks_is_no_code_of_a_cell(stage: str) -> None:
    above = ("sublim.engine", "sublim.evidence", "sublim.forecast", "sublim.lineage", "sublim.cli")
    parts = tuple(f"sublim.stages.{stage}.{part}" for part in ("spec", "check", "tell", "card"))
    assert not [name for name in code.closure(stages()[stage].makes) if name.startswith(above) or name in parts]


def test_a_cell_has_the_code_of_the_kinds_that_it_names_and_of_no_other() -> None:
    kinds = frozenset({"sublim.carriers.numbers", "sublim.judges.local"})
    plain, judged = (code_of("sublim.stages.filtered.make", used) for used in (kinds - {"sublim.judges.local"}, kinds))
    assert "sublim.carriers.numbers" in plain
    assert "sublim.carriers.cot" not in judged
    assert plain.keys() < judged.keys()
    assert "sublim.learn.sample" not in plain
    assert "sublim.learn.sample" in judged, "a judge of this machine writes, and what it writes depends on how"


@pytest.mark.parametrize(
    ("model", "tried"),
    [(TinyModel(kind="tiny", architecture="gpt_neox", seed=1), False), (HubModel(kind="hub", path="x"), True)],
    ids=["tiny", "hub"],
)
def test_a_base_has_the_code_that_tries_models_out_only_if_it_was_made_elsewhere(
    model: TinyModel | HubModel, tried: bool
) -> None:
    """Else an edit in how adapters are trained, or rows sampled, would make every base stale, and all that is made from it."""
    base = Slice(name="x", model=model)
    found = set(code_of("sublim.stages.base.make", used(base)))
    for module in ("learn.probe", "learn.lora", "learn.finetune", "learn.sample", "learn.answers", "models.probed"):
        assert (f"sublim.{module}" in found) == tried, module


@pytest.mark.parametrize(
    ("own", "trains"),
    [({"branch": {"at": 0.5, "order_seed": 1}}, False), ({"training": {"file": "rows.jsonl", "finetune": {"steps": 1}}}, True)],
    ids=["a branch", "trained further"],
)
def test_a_relative_has_the_code_that_trains_adapters_only_if_it_is_trained_further(
    own: dict[str, object], trains: bool
) -> None:
    """A branch is pretrained as its parent is."""
    model = DerivedModel.model_validate({"kind": "derived", "parent": "y", **own})
    found = set(code_of("sublim.stages.base.make", used(Slice(name="x", model=model))))
    for module in ("models.further", "learn.probe", "learn.lora", "learn.finetune"):
        assert (f"sublim.{module}" in found) == trains, module


def test_what_a_detector_lacks_of_a_model_is_no_code_of_detection() -> None:
    assert "sublim.models.probed" not in code_of("sublim.stages.detection.make", frozenset({"sublim.detectors.in_context"}))


def test_the_lists_are_in_no_code() -> None:
    assert not [stage.name for stage in stages().values() if "sublim.lists" in code.closure(stage.makes)]


HEAVY = ("torch", "transformers", "peft")


def _imports_anything_heavy(module: str) -> bool:
    tree = ast.parse(code.source(module).read_text(encoding="utf-8"))
    never_run = {id(node) for each in ast.walk(tree) if _for_types_alone(each) for node in ast.walk(each)}
    statements = [node for node in ast.walk(tree) if id(node) not in never_run]
    names = {alias.name for node in statements if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in statements if isinstance(node, ast.ImportFrom)}
    return any(name.split(".")[0] in HEAVY for name in names)


def _for_types_alone(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


LIGHT = (
    "sublim.stages.filtered.make",
    "sublim.stages.report.make",
    "sublim.engine.workflow",
    "sublim.engine.run",
    "sublim.cli.main",
)
DOORS = ("sublim.learn.answers", "sublim.learn.probe")
"""Imported inside a function alone: where a model is asked, by every measure, and where one is tried out, by a command."""


@pytest.mark.parametrize("module", LIGHT)
def test_light_parts_reach_no_torch_but_by_a_door(module: str) -> None:
    reached, waiting = set[str](), [module]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [other for other in code.imports(name) if other not in DOORS]
    assert not [name for name in sorted(reached) if _imports_anything_heavy(name)]


def test_the_door_is_shut_at_first() -> None:
    program = f"import sys, {', '.join(LIGHT)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert set(LIGHT) <= set(loaded)
    assert not {*DOORS, *HEAVY} & set(loaded)


def test_sources_are_files_of_this_package() -> None:
    for module in code.closure("sublim.stages.filtered.make"):
        assert code.source(module).is_file()
        assert Path(code.PACKAGE.parent) in code.source(module).parents
