"""The shuffle controls: the same numbers without their order (paper, section 3.1: within responses and across responses).

Numbers move as they are written (`007` stays `007`); brackets, separators and full stops stay. Order comes from digests, so the
shuffle depends on the seed and the rows' ids alone, not on a random generator's version.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

_NUMBER = re.compile("([0-9]+)")
_LEFT = "shuffled within each row or across all rows; what then is left of the gain sits"
_WHICH = "in which numbers there are, and not in their order."
EXPLAINED = f"Shuffled: the numbers of a same-base teacher {_LEFT} {_WHICH}"
AMONG_WORDS = f"Shuffled: {{rows}} of a same-base teacher with their numbers {_LEFT} in the other words or {_WHICH}"
"""What a report says of both shuffles."""


@dataclass(frozen=True)
class Shuffled:
    """A completion after a shuffle, and the ids of the rows that its numbers came from, one for each number, in order."""

    completion: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class _Place:
    row: str
    number: str
    key: bytes


def shuffled_within(rows: Sequence[tuple[str, str]], seed: str) -> list[Shuffled]:
    """The numbers of each of `rows` (row_id, completion) permuted inside it. What becomes of a row depends on no other row."""
    return [_written(completion, iter(sorted(_places(row, completion, seed), key=_key))) for row, completion in rows]


def shuffled_across(rows: Sequence[tuple[str, str]], seed: str) -> list[Shuffled]:
    """The numbers of all `rows` (row_id, completion) pooled and dealt out again; each keeps its count and its form."""
    pool = iter(sorted((place for row, completion in rows for place in _places(row, completion, seed)), key=_key))
    return [_written(completion, pool) for _, completion in rows]


def _places(row: str, completion: str, seed: str) -> list[_Place]:
    numbers: list[str] = _NUMBER.findall(completion)
    return [_Place(row, number, sha256(f"{seed}/{row}/{n}".encode()).digest()) for n, number in enumerate(numbers)]


def _key(place: _Place) -> bytes:
    return place.key


def _written(completion: str, supply: Iterator[_Place]) -> Shuffled:
    pieces: list[str] = _NUMBER.split(completion)  # the numbers are the odd pieces
    taken = [next(supply) for _ in pieces[1::2]]
    pieces[1::2] = [place.number for place in taken]
    return Shuffled("".join(pieces), tuple(place.row for place in taken))
