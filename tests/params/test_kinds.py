"""The list of kinds: every module of it is there and is what its family takes it for, and none is named twice."""

from collections import Counter

import pytest

from sublim import lists
from sublim.params.kinds import KindName, every, kind, modules

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


def test_no_kind_is_named_twice() -> None:
    assert [module for module, times in Counter(module for _, module in NAMED).items() if times > 1] == []
    assert {family: list(modules(family).values()) for family in lists.KINDS} == {
        family: list(listed) for family, listed in lists.KINDS.items()
    }, "two modules of one family have one name"


def test_no_stage_is_named_twice() -> None:
    assert len({module.rpartition(".")[2] for module in lists.STAGES}) == len(lists.STAGES)
