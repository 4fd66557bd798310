"""The house: imports point downwards and run in no circle, torch is met by what computes alone, and who may name a stage."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter

import pytest

from sublim import lists
from sublim.engine import code
from sublim.engine.stage import stages

KINDS = "carriers filters traits judges methods measures arms detectors learn models"
LAYERS = (
    "lists",
    "common",
    "params",
    "stats",
    KINDS,
    "report",
    "engine",
    "evidence",
    "forecast",
    "stages",
    "lineage",
    "cli __main__",
)
"""From the ground up; packages of one layer may import each other."""


def _modules() -> list[str]:
    """Every module of this package."""
    paths = sorted(path.relative_to(code.PACKAGE.parent).with_suffix("") for path in code.PACKAGE.rglob("*.py"))
    return [".".join(part for part in path.parts if part != "__init__") for path in paths]


def _imported(module: str) -> set[str]:
    """The modules that it imports by a statement anywhere in it, and the packages around these that are not around itself."""
    return {name for name in code.imports(module) if not f"{module}.".startswith(f"{name}.")}


def _package(module: str) -> str:
    return module.split(".")[1] if "." in module else "lists"


def _is_in(module: str, packages: str) -> bool:
    return _package(module) in packages.split()


def test_imports_point_downwards_only() -> None:
    layer = {name: number for number, names in enumerate(LAYERS) for name in names.split()}
    there = {path.stem for path in code.PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert layer.keys() == there - {"__init__"}
    upwards = [
        f"{module} imports {name}, which is above it"
        for module in _modules()
        for name in _imported(module)
        if layer[_package(name)] > layer[_package(module)]
    ]
    assert not upwards


def test_imports_run_in_no_circle() -> None:
    TopologicalSorter({module: _imported(module) for module in _modules()}).prepare()


def test_a_package_imports_nothing_that_is_in_it() -> None:
    packages = {module.rpartition(".")[0] for module in _modules()} - {""}
    assert not [(name, inside) for name in packages for inside in _imported(name) if inside.startswith(f"{name}.")]


ALWAYS = {"sublim.traits.preference"}
"""What tiny families are pretrained on, teachers are shown to have, and evaluations and reports are about in any case."""
CHOSEN = {"theory": {"sublim.carriers.numbers"}}
"""Stage → the kind that its cells are about whatever their params say."""


@pytest.mark.parametrize("stage", [*stages()])
def test_no_stage_imports_a_kind_that_a_cell_may_do_without(stage: str) -> None:
    """The code of a cell is what its stage's `make` imports, and the kinds that its params name: these are found by name."""
    kinds = {module for family in lists.KINDS.values() for module in family}
    assert (kinds & {*code.closure(stages()[stage].makes)}) - ALWAYS == CHOSEN.get(stage, set())


# Torch

HEAVY = ("torch", "transformers", "peft", "scipy", "sklearn")
LIGHT = "engine evidence lineage forecast stats cli params"
LIGHT_PARTS = ("spec", "rows", "check", "tell", "card")
SHARED = ("sublim.learn.schedule", "sublim.learn.batches", "sublim.models.pretraining", "sublim.models.corpus")
"""What follows from params alone, for training and for what checks it."""


def _light() -> list[str]:
    """Modules that reach no torch when they are imported."""
    parts = [f"{stage.package}.{part}" for stage in stages().values() for part in LIGHT_PARTS]
    found = [module for module in _modules() if _is_in(module, LIGHT) or module in parts]
    assert {module.rpartition(".")[2] for module in found} >= {*LIGHT_PARTS}
    return [*SHARED, *(module for module in found if not module.endswith("__main__"))]


def test_no_torch_is_met_before_something_is_computed() -> None:
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        f"    heavy = {{*{HEAVY}}} & {{*sys.modules}}\n"
        "    assert not heavy, f'{name} imports {heavy}'\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *_light()], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# Names of stages

NAMELESS = f"engine evidence lineage forecast cli {KINDS} stats report"
COLUMNS = {"base", "teacher", "student"}
"""Words with another meaning: `teacher=` and `student=` are dimensions and so columns of tables, and the names of roles, as
`base` is; `base` is also the arm of what was never trained, and a contrast of detection. Packages that read such columns or
take such roles may say them, alone."""
TABLES = f"{KINDS} stats report"
EXCEPTIONS = {
    ("sublim.evidence.again", "teacher"): "a column that says which row is meant",
    ("sublim.evidence.again", "student"): "a column that says which row is meant",
    ("sublim.detectors.linear", "detection"): "what a shuffle is drawn with: another word gives other bytes",
    ("sublim.detectors.pairs", "detection"): "what identities are digested with: another word gives other bytes",
}


def _texts(module: str) -> Iterator[str]:
    """Every string constant of a module, those in f-strings included, docstrings and other bare strings left out."""
    tree = ast.parse(code.source(module).read_text(encoding="utf-8"))
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node.value


def _named() -> set[tuple[str, str]]:
    """(Module, text) of each text that is a stage's name, or one with more behind it, where none belongs."""
    return {
        (module, text)
        for module in _modules()
        if _is_in(module, NAMELESS)
        for text in (*_texts(module), *code.imports(module))
        for name, stage in stages().items()
        if text == name or f"{text}.".startswith(f"{stage.package}.") or text.startswith((f"{name}/", f"data/{name}"))
        if not (text in COLUMNS and _is_in(module, TABLES))
    }


def test_a_stage_is_named_by_itself_and_by_stages_that_read_it_alone() -> None:
    assert _named() == EXCEPTIONS.keys()


@pytest.mark.parametrize("stage", [*stages()])
def test_a_stage_names_those_alone_that_it_reads(stage: str) -> None:
    found = stages()[stage]
    for module in _modules():
        if module.startswith(f"{found.package}."):
            named = {text.partition("/")[0] for text in _texts(module) if text not in COLUMNS}
            # A section of the experiment file may have a stage's name: what a stage is says on which sections it hangs.
            sections = found.sections if module.endswith(".spec") else ()
            assert named & {*stages()} <= {stage, *found.upstream, *found.after, *sections}, module


def test_the_rules_are_made_without_a_stage_s_name() -> None:
    root = code.PACKAGE.parent
    for path in (root / "Snakefile", *sorted((root / "workflow").glob("*.smk"))):
        lines = [line.partition("#")[0] for line in path.read_text(encoding="utf-8").splitlines()]
        # `report/` alone is the folder of captions.
        words = {
            word for line in lines for words in re.findall(r"[\"'](?:data/(\w+)|(\w+)(?:[\"']|/\w+=))", line) for word in words
        }
        assert not words & {*stages()}, path.name
