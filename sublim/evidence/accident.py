"""What is wrong with the story that an artifact tells, in a sentence that says what was expected and what was found."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from sublim.evidence.finding import CORRUPTED


@dataclass(frozen=True)
class Accident:
    """One thing in the tables of an artifact that does not hold, however often it occurs there."""

    kind: str  #: What it is about, in a word or two: `prompts`, `reasons`, `row ids` …
    text: str  #: What was expected, what was found, and the first example.
    status: int = CORRUPTED
    also: tuple[str, ...] = ()  #: Cells that may be the ones at fault as well as this one.


class UnfitError(Exception):
    """A file that cannot be taken at its word at all: nothing else of the artifact can be checked."""

    def __init__(self, kind: str, text: str, status: int = CORRUPTED) -> None:
        super().__init__(text)
        self.accident = Accident(kind, text, status)


def short(value: object, longest: int = 60) -> str:
    """`value` as it is written in Python, cut to `longest` characters."""
    text = repr(value.to_list() if isinstance(value, pl.Series) else value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def same_rows(kind: str, what: str, expected: pl.Series, found: pl.Series) -> list[Accident]:
    """What is wrong with the ids `found` if they should be `expected`, which are all different: each once, in this order.
    `what` says what each is, e.g. `a prompt of the params`."""
    if len(expected) == len(found) and (expected == found).all():
        return []
    said: list[str] = []
    if again := found.filter(found.is_duplicated()).unique(maintain_order=True).to_list():
        said.append(f"{len(found) - found.n_unique():,} are there again, first {again[0]}")
    for more, fewer, words in ((expected, found, "are missing"), (found, expected, "are none")):
        lost = more.filter(~more.is_in(fewer.implode()))
        if len(lost):
            said.append(f"{lost.n_unique():,} {words}, first {lost[0]}")
    if not said:
        place = int((expected != found).arg_max() or 0)
        said.append(f"they stand in another order from row {place:,} on, which is {found[place]}")
    return [Accident(kind, f"expected {what} once, {len(expected):,} in all, found {len(found):,}: {'; '.join(said)}")]


def same_values(
    kind: str, column: str, expected: pl.Series, found: pl.Series, names: pl.Series, also: tuple[str, ...] = ()
) -> list[Accident]:
    """How many values of `found` are not those of `expected`, of the same length; `names` says which row each is of."""
    if _equal(expected, found):
        return []
    differ = found.ne_missing(expected)
    count, place = int(differ.sum()), int(differ.arg_max() or 0)
    others = f", and other values in {count - 1:,} more of {len(found):,} rows" if count > 1 else ""
    said = f"{column}: expected {short(expected[place])}, found {short(found[place])} in row {names[place]}{others}"
    return [Accident(kind, said, also=also)]


def same_columns(
    kind: str, columns: Iterable[str], expected: pl.DataFrame, found: pl.DataFrame, names: pl.Series
) -> list[Accident]:
    """The same of each of these columns of two tables."""
    return [wrong for column in columns for wrong in same_values(kind, column, expected[column], found[column], names)]


def _equal(expected: pl.Series, found: pl.Series) -> bool:
    if expected.dtype != pl.List(pl.String) or found.dtype != expected.dtype:
        return found.equals(expected, null_equal=True)
    # Of lists of text, their lengths and everything in them: much faster than list by list.
    texts = [each.explode(empty_as_null=False) for each in (expected, found)]
    return found.list.len().equals(expected.list.len()) and texts[0].equals(texts[1], null_equal=True)


def constant(kind: str, column: str, expected: object, found: pl.Series) -> list[Accident]:
    """Whether all of `found` are `expected`, which may be None."""
    others = found.filter((found.is_not_null() if expected is None else found != expected).fill_null(value=True))
    said = f"in {len(others):,} of {len(found):,} rows"
    return [Accident(kind, f"{column}: expected {short(expected)}, found {short(others[0])} {said}")] if len(others) else []
