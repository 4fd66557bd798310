"""What sections share."""

from typing import ClassVar

from sublim.params.section import Grown


class _Recipe(Grown):
    since: ClassVar = frozenset({"momentum", "betas"})
    rate: float = 0.1
    momentum: float | None = None
    betas: tuple[float, ...] = (0.9, 0.999)


class _Outer(Grown):
    recipe: _Recipe = _Recipe()


def test_a_key_that_came_later_is_no_part_of_params_at_its_default() -> None:
    assert _Outer().model_dump(mode="json") == {"recipe": {"rate": 0.1}}
    assert _Outer(recipe=_Recipe(momentum=0.9)).model_dump(mode="json") == {"recipe": {"rate": 0.1, "momentum": 0.9}}
    assert _Outer.model_validate({"recipe": {"rate": 0.1}}) == _Outer()
    assert "betas" in _Recipe.model_json_schema()["properties"]
