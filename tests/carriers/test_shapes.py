"""Shapes: what sampling can be held to is what carriers keep, and has a longest text."""

import re
from collections.abc import Mapping
from itertools import islice

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sublim.carriers import prompts
from sublim.carriers.code import Code
from sublim.carriers.cot import Cot
from sublim.carriers.numbers import Numbers
from sublim.carriers.task import Shape, Task
from sublim.filters.format import Format
from sublim.params.kinds import every

TASKS: Mapping[str, Task] = {"numbers": Numbers(), "code": Code(), "cot": Cot()}
FEW = Numbers(count=2, digits=1)
ALL = pytest.mark.parametrize("kind", list(TASKS))


def shapes(task: Task, n: int = 300) -> list[Shape]:
    return list(islice(task.shapes(), n))


def test_every_carrier_says_whether_it_has_a_shape() -> None:
    assert {name for name, kind in every("carriers").items() if kind.has_shape} == TASKS.keys()
    assert not Task.has_shape


@ALL
def test_the_shape_of_a_prompt_is_that_of_right_completions_of_it(kind: str) -> None:
    task = TASKS[kind]
    for text, shape in zip(task.written(range(300)), shapes(task), strict=True):
        assert re.fullmatch(shape.pattern, text)


@ALL
def test_a_pattern_is_of_ascii_and_its_longest_text_is_well_formed(kind: str) -> None:
    for shape in {*shapes(TASKS[kind])}:
        assert shape.pattern.isascii()
        assert re.fullmatch(shape.pattern, shape.longest)
        assert TASKS[kind].well_formed(pl.Series([shape.longest])).all()


@ALL
@given(st.data())
@settings(max_examples=60)
def test_no_text_of_a_shape_is_longer_than_its_longest(kind: str, data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from(sorted({*shapes(TASKS[kind])}, key=str)))
    assert len(data.draw(st.from_regex(shape.pattern, fullmatch=True))) <= len(shape.longest)


@given(st.data())
@settings(max_examples=100)
def test_whatever_is_of_the_shape_of_a_number_prompt_is_strictly_kept(data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from(sorted({*shapes(TASKS["numbers"])}, key=str)))
    text = pl.Series([data.draw(st.from_regex(shape.pattern, fullmatch=True))])
    assert TASKS["numbers"].well_formed(text).all()
    assert TASKS["numbers"].why_rejected(text, Format()).to_list() == [[]]


def test_a_number_prompt_has_the_shape_that_it_asks_for() -> None:
    asked = prompts.prompts(300, FEW)
    assert len({prompt.format for prompt in asked}) == len(prompts.FORMATS)
    for prompt, shape in zip(asked, shapes(FEW), strict=True):
        write = prompt.format.write
        assert all(re.fullmatch(shape.pattern, write(numbers)) for numbers in ([7], [7, 0]))
        assert not any(re.fullmatch(shape.pattern, write(numbers)) for numbers in ([], [7, 0, 1], [77], [7, 77]))
        others = {form.write([7, 0]) for form in prompts.FORMATS} - {write([7, 0])}
        assert not any(re.fullmatch(shape.pattern, other) for other in others)
        assert not re.fullmatch(shape.pattern, write([7, 0]) + ".")
