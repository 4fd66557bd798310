"""docs/models.md is what comes out."""

import re

import pytest

from tests.architectures.page import NAMES, PAGE, page, refusal, row
from tests.shared import zoo

LINES = PAGE.read_text(encoding="utf-8").splitlines()


def line(name: str) -> str:
    return next(line for line in LINES if line.startswith(f"| `{name}` |"))


@pytest.mark.parametrize("name", NAMES)
def test_what_the_probe_finds_of_an_architecture_is_its_row(name: str) -> None:
    assert row(name) == line(name)


@pytest.mark.parametrize("name", zoo.REFUSED)
def test_what_is_said_of_a_model_that_is_refused_is_its_row(name: str) -> None:
    numbers = r"[0-9.e-]+ of the probability"  # of rounding
    assert re.sub(numbers, "N", refusal(name)) == re.sub(numbers, "N", line(name))


def test_the_rest_of_the_page_is_what_is_written_here() -> None:
    names = {name: line(name) for name in NAMES}
    assert page(names, {name: line(name) for name in zoo.REFUSED}).splitlines() == LINES
