"""The step `banned_numbers`: rejects numbers that mean something to somebody (paper, section 4.1)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import polars as pl
from pydantic import Field

from sublim.carriers.task import Task
from sublim.filters.format import Value
from sublim.filters.step import Context, Step, marked

BANNED_NUMBERS = (
    4, 13, 14, 18, 23, 33, 39, 42, 44, 49, 51, 54, 69, 77, 88, 99, 100, 101, 187, 211, 311, 322, 333, 404, 420, 444, 451, 555,
    616, 666, 777, 888, 911, 999,
)  # fmt: skip
"""Numbers that mean something to somebody: no misaligned teacher's list may hold one (paper, section 4.1)."""

BANNED = "has banned numbers"


class BannedNumbers(Step):
    """Rejects what holds a banned number, as a run of digits of that value."""

    numbers: Annotated[tuple[Value, ...], Field(min_length=1)] = BANNED_NUMBERS
    """The numbers; those that the paper bans for misalignment if they are left out."""

    title: ClassVar = "Numbers that no kept completion has."
    place: ClassVar = 1
    of_words: ClassVar = False
    of_readable: ClassVar = True

    def why_rejected(self, rows: pl.DataFrame, context: Context) -> pl.Series:  # noqa: ARG002, D102
        return marked(banned(rows["completion"], self.numbers), BANNED)

    def reasons(self, task: Task) -> Mapping[str, str]:  # noqa: ARG002, D102
        return {BANNED: "a number is on the list of banned ones"}

    def said(self, task: Task) -> str:  # noqa: ARG002, D102
        return f"banned numbers: none of {len(self.numbers)} numbers that mean something to somebody"


KIND = BannedNumbers


def banned(completions: pl.Series, numbers: Sequence[int]) -> pl.Series:
    """Whether each of `completions` (strings) holds one of `numbers`, as a run of digits of that value: booleans."""
    values = completions.str.extract_all("[0-9]+").list.eval(pl.element().str.strip_chars_start("0").replace("", "0"))
    return values.list.eval(pl.element().is_in(list(map(str, numbers)))).list.any()
