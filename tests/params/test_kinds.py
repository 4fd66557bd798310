"""The list of kinds: every module of it is there and is what its family takes it for, and none is named twice."""

from collections import Counter
from collections.abc import Callable
from copy import copy, deepcopy
from pathlib import Path

import pytest

from sublim import lists
from sublim.engine.digests import Digests
from sublim.engine.planning import cells, code_of
from sublim.engine.stage import stages
from sublim.params.kinds import KindName, every, kind, modules, possible
from sublim.params.load import load
from tests.shared.project import MICRO, ROOT

EXPERIMENTS = [MICRO, ROOT / "params.yaml", *sorted((ROOT / "experiments").glob("*.yaml"))]
NAMED = [(family, module) for family, listed in lists.KINDS.items() for module in listed]


@pytest.mark.parametrize(("family", "module"), NAMED)
def test_a_kind_is_found_by_the_name_of_its_module(family: str, module: str) -> None:
    name = module.rpartition(".")[2]
    found = kind(family, name)
    assert found is every(family)[name]
    assert KindName(family, name).module == module
    # What an experiment file calls it is the name of its module.
    if "kind" in getattr(found, "model_fields", {}):
        assert found.model_json_schema()["properties"]["kind"]["const"] == name
    elif not isinstance(found, type):
        assert found.name == name


@pytest.mark.parametrize("again", [copy, deepcopy])
def test_a_copy_knows_its_module(again: Callable[[KindName], KindName]) -> None:
    name = KindName("arms", "random")
    assert (again(name), again(name).module) == (name, name.module)


def test_no_kind_is_named_twice() -> None:
    assert [module for module, times in Counter(module for _, module in NAMED).items() if times > 1] == []
    assert {family: list(modules(family).values()) for family in lists.KINDS} == {
        family: list(listed) for family, listed in lists.KINDS.items()
    }, "two modules of one family have one name"


def test_no_stage_is_named_twice() -> None:
    assert len({module.rpartition(".")[2] for module in lists.STAGES}) == len(lists.STAGES)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_what_is_used_is_among_what_is_possible(path: Path, tmp_path: Path) -> None:
    """Or a stage of dvc.yaml would not depend on code that its artifacts hang on."""
    for cell in cells(load(path), Digests(tmp_path / "digests.json")):  # folders that some name are not everywhere
        about = stages()[cell.plan.stage]
        assert cell.plan.code.keys() <= code_of(about.makes, possible(about.params)).keys(), cell.id
