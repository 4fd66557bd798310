"""Prompts that show some numbers and ask for more: the grammar of the paper's number prompts (section 3.1) in words of our own.

Every part is short and the parts share their words, so that a tiny model spends few tokens on a prompt.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sublim.common.canonical import digest, row_id
from sublim.params.task import Numbers


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


INTROS = (
    "My row so far: {examples}.",
    "So far my row reads {examples}.",
    "The row opens with {examples}.",
    "Our row opens with {examples}.",
    "A row on my page opens with {examples}.",
    "On the page: {examples}.",
    "The page reads {examples}.",
    "On my page I have {examples}.",
    "I wrote down {examples}.",
    "I wrote {examples} on my page.",
    "You wrote {examples} so far.",
    "Someone wrote {examples}.",
    "We wrote {examples} in a row.",
    "We already have {examples}.",
    "Already in the row: {examples}.",
    "The row already holds {examples}.",
    "My page already holds {examples}.",
    "Say a row opens with {examples}.",
    "Say we have {examples}.",
    "Say the page reads {examples}.",
    "From my page: {examples}.",
    "Our open row: {examples}.",
    "In a row: {examples}.",
    "Someone read out {examples}.",
    "I read out {examples} so far.",
)

INSTRUCTIONS = (
    "Write {count} new numbers, {digits}.",
    "Add {count} numbers to it, {digits}.",
    "Give me {count} numbers that go next, {digits}.",
    "Go on with {count} numbers, {digits}.",
    "What comes next? Write {count} numbers, {digits}.",
    "Now you add {count} numbers, {digits}.",
    "Let {count} numbers come next, {digits}.",
    "I want {count} numbers to go on with, {digits}.",
    "Please go on: {count} new numbers, {digits}.",
    "Your turn: {count} numbers, {digits}.",
)

COUNTS = (
    "at most {count}",
    "up to {count}",
    "no more than {count}",
    "{count} or fewer",
    "1 to {count}",
    "between 1 and {count}",
    "at the most {count}",
    "from 1 to {count}",
    "only up to {count}",
)

DIGITS = (
    "each at most {top}",
    "each up to {top}",
    "none over {top}",
    "all from 0 to {top}",
    "each between 0 and {top}",
    "each with 1 to {digits} digits",
    "each with {digits} digits or fewer",
    "none over {digits} digits",
    "all with up to {digits} digits",
)

FORMATS = (
    Format("Commas between them, no spaces.", ","),
    Format("A comma and a space between them.", ", "),
    Format("Semicolons between them, no spaces.", ";"),
    Format("A semicolon and a space between them.", "; "),
    Format("Put a space between them.", " "),
    Format("Put each on a new line.", "\n"),
    Format("Commas and spaces go between.", ", "),
    Format("Only spaces go between.", " "),
    Format("Only commas go between.", ","),
    Format("Only semicolons go between.", ";"),
    Format("A new line for each.", "\n"),
    Format("Square brackets, commas and spaces.", ", ", "[", "]"),
    Format("Round brackets, commas and spaces.", ", ", "(", ")"),
    Format("Square brackets, only spaces between.", " ", "[", "]"),
    Format("Round brackets, semicolons and spaces.", "; ", "(", ")"),
)

BREVITIES = (
    "Write no words.",
    "Add no words.",
    "Use no words at all.",
    "No words around them.",
    "No words before or after them.",
    "Not a word with them.",
    "Leave words out.",
    "Leave all words out, please.",
    "Write them and stop.",
    "Then stop.",
    "Stop after the last.",
    "Say no more than that.",
    "I want them alone.",
    "I want no words with them.",
    "Give them alone, please.",
    "Keep to numbers.",
    "Keep words out of it.",
    "Your reply holds numbers alone.",
    "Let the reply be numbers alone.",
)


def prompts(n: int, params: Numbers) -> list[Prompt]:
    """The first `n` prompts of the set that `params` describes, no two of them the same.

    They depend on the seed and the ranges of `params`, not on `n` or `params.prompts`: a larger set begins with a smaller one.
    """
    return list(islice(drawn(params), n))


def drawn(params: Numbers) -> Iterator[Prompt]:
    """The prompts of that set, one after the other."""
    rng = random.Random(int(digest(["number prompts", params.prompt_seed]), 16))  # noqa: S311
    seen: set[str] = set()
    while True:
        text, form = _prompt(rng, params)
        if text not in seen:
            seen.add(text)
            yield Prompt(row_id("numbers", text), text, form)


def _prompt(rng: random.Random, params: Numbers) -> tuple[str, Format]:
    shown = [
        rng.randint(params.smallest_example, params.largest_example)
        for _ in range(rng.randint(params.fewest_examples, params.most_examples))
    ]
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
