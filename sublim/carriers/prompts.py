"""Prompts that show some numbers and ask for more: the grammar of the paper's number prompts (section 3.1) in words of our own.

Every part is short and the parts share their words, so that a tiny model spends few tokens on a prompt.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from sublim.common.canonical import digest, row_id
from sublim.common.phrases import phrases

_PHRASES = phrases(__file__)


class Ranges(Protocol):
    """What the params of number prompts say of them."""

    prompt_seed: int
    fewest_examples: int
    most_examples: int
    smallest_example: int
    largest_example: int
    count: int
    digits: int


@dataclass(frozen=True)
class Format:
    """A way to write numbers: how a prompt asks for it, what stands between the numbers, before and after them."""

    request: str
    separator: str
    opening: str = ""
    closing: str = ""

    def write(self, numbers: Sequence[int]) -> str:
        """`numbers` written as this format asks, e.g. `(693; 738)`."""
        return self.opening + self.separator.join(map(str, numbers)) + self.closing


@dataclass(frozen=True)
class Prompt:
    """A number prompt, and the format that it asks for. The id depends on the text alone."""

    prompt_id: str
    text: str
    format: Format


INTROS = _PHRASES["intros"]
INSTRUCTIONS = _PHRASES["instructions"]
COUNTS = _PHRASES["counts"]
DIGITS = _PHRASES["digits"]
BREVITIES = _PHRASES["brevities"]
FORMATS = tuple(Format(*json.loads(f"[{line}]")) for line in _PHRASES["formats"])  #: In JSON, since white space counts.


def prompts(n: int, params: Ranges) -> list[Prompt]:
    """The first `n` prompts of the set that `params` describes, no two of them the same.

    They depend on the seed and the ranges of `params`, not on `n` or `params.prompts`: a larger set begins with a smaller one.
    """
    return list(islice(drawn(params), n))


def drawn(params: Ranges) -> Iterator[Prompt]:
    """The prompts of that set, one after the other."""
    rng = random.Random(int(digest(["number prompts", params.prompt_seed]), 16))  # noqa: S311
    seen: set[str] = set()
    while True:
        text, form = _prompt(rng, params)
        if text not in seen:
            seen.add(text)
            yield Prompt(row_id("numbers", text), text, form)


def _prompt(rng: random.Random, params: Ranges) -> tuple[str, Format]:
    many = rng.randint(params.fewest_examples, params.most_examples)
    shown = [rng.randint(params.smallest_example, params.largest_example) for _ in range(many)]
    form = rng.choice(FORMATS)
    parts = (
        rng.choice(INTROS).format(examples=", ".join(map(str, shown))),
        rng.choice(INSTRUCTIONS).format(
            count=rng.choice(COUNTS).format(count=params.count),
            digits=rng.choice(DIGITS).format(digits=params.digits, top=10**params.digits - 1),
        ),
        form.request,
        rng.choice(BREVITIES),
    )
    return " ".join(parts), form
