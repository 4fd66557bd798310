"""Code digests: what changes the meaning of a stage, and what does not."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from sublim.plan import code

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
    found = code.closure("sublim.stages.filtered")
    assert {"sublim", "sublim.stages", "sublim.stages.filtered", "sublim.carriers.numbers", "sublim.common.canonical"} <= set(
        found
    )
    assert "sublim.learn.sample" in found, "a judge of this machine writes, and what it writes depends on how"
    assert not [name for name in found if name.startswith(("sublim.plan", "sublim.lineage"))]


LAYERS = ("common", "params", "carriers traits judges learn measure models", "stages", "plan", "lineage", "cli __main__")


def test_imports_point_downwards_only() -> None:
    layer = {name: number for number, names in enumerate(LAYERS) for name in names.split()}
    for path in code.PACKAGE.rglob("*.py"):
        parts = path.relative_to(code.PACKAGE).with_suffix("").parts
        if parts == ("__init__",):
            continue
        module = ".".join(["sublim", *(part for part in parts if part != "__init__")])
        for name in code.imports(module):
            target = name.split(".")[1:2]
            if target:
                assert layer[target[0]] <= layer[parts[0]], f"{module} imports {name}, which is above it"


HEAVY = ("torch", "transformers", "peft")


def _imports_anything_heavy(module: str) -> bool:
    tree = ast.parse(code.source(module).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return any(name.split(".")[0] in HEAVY for name in names)


LIGHT = ("sublim.stages.filtered", "sublim.stages.report", "sublim.plan.workflow", "sublim.plan.job", "sublim.cli.main")
DOORS = {"sublim.plan.job": "sublim.plan.compute", "sublim.stages.filtered": "sublim.judges.judge"}
"""Imported inside a function alone: where there is something to compute, where a judge is asked."""


@pytest.mark.parametrize("module", LIGHT)
def test_light_parts_reach_no_torch_but_by_their_doors(module: str) -> None:
    reached, waiting = set[str](), [module]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [other for other in code.imports(name) if other != DOORS.get(name)]
    assert not [name for name in sorted(reached) if _imports_anything_heavy(name)]


def test_the_doors_are_shut_at_first() -> None:
    program = f"import sys, {', '.join(LIGHT)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert set(LIGHT) <= set(loaded)
    assert not {*DOORS.values(), *HEAVY} & set(loaded)


def test_sources_are_files_of_this_package() -> None:
    for module in code.closure("sublim.stages.filtered"):
        assert code.source(module).is_file()
        assert Path(code.PACKAGE.parent) in code.source(module).parents
