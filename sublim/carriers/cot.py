"""Chain of thought as a carrier: word problems of our own with known answers, thought through in one part and answered in
another (paper, section 3.3 and appendix; the paper's are GSM8K).

A completion of the exact grammar is

    <think>OPENING FIRST 3 + 4 = 7. NEXT 7 - 2 = 5. CLOSING</think><answer>5</answer>

with phrases out of the tables below: which ones is up to the writer. Every calculation is true and begins with the result of
the one before it, and the answer is the last result. Whether that is the problem's answer is another question (`right`).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat
from random import Random
from typing import Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field

from sublim.carriers import prompt
from sublim.carriers.prompt import Prompt
from sublim.carriers.task import Form, Shape, Task
from sublim.common.phrases import phrases

_PHRASES = phrases(__file__)

INVALID_FORMAT = "invalid format"
NO_ANSWER = "no answer"
REASONS = {INVALID_FORMAT: "it has not the form that was asked for", NO_ANSWER: "it has no answer that can be read"}

PEOPLE = (
    ("Ann", "she"),
    ("Ben", "he"),
    ("Eva", "she"),
    ("Jim", "he"),
    ("Mia", "she"),
    ("Sam", "he"),
    ("Sue", "she"),
    ("Tom", "he"),
)
THINGS = ("cups", "coins", "pens", "books", "keys", "stones", "hats", "balls", "cards", "buttons", "spoons", "bricks")
HOLDERS = ("boxes", "bags", "rows", "trays")
GAINS = _PHRASES["gains"]
LOSSES = ("{who} loses {n}.", "{who} sells {n}.", "{who} gives {n} away.", "{who} drops {n}.", "Then {n} are gone.")
QUESTIONS = _PHRASES["questions"]
REQUESTS = _PHRASES["requests"]

OPENINGS = _PHRASES["openings"]
FIRSTS = _PHRASES["firsts"]
NEXTS = _PHRASES["nexts"]
CLOSINGS = _PHRASES["closings"]

VOCABULARY = frozenset(re.findall("[a-z]+", " ".join((*OPENINGS, *FIRSTS, *NEXTS, *CLOSINGS)).lower()))
"""The words of the phrases."""
SIGNS = "0123456789 .,=+-*<>/"  #: The characters of the exact grammar that stand outside of words.

_CALCULATION = r"[0-9]{1,6} [-+*] [0-9]{1,6} = [0-9]{1,6}\."
_NUMBERS = re.compile(r"([0-9]+) ([-+*]) ([0-9]+) = ([0-9]+)")


def _one_of(phrases: tuple[str, ...]) -> str:
    return f"(?:{'|'.join(map(re.escape, phrases))})"


def _longest(phrases: tuple[str, ...]) -> str:
    return max(phrases, key=len)


_SHAPE = Shape(
    rf"<think>{_one_of(OPENINGS)} {_one_of(FIRSTS)} {_CALCULATION}(?: {_one_of(NEXTS)} {_CALCULATION}){{0,2}} "
    rf"{_one_of(CLOSINGS)}</think><answer>(?:0|[1-9][0-9]{{0,5}})</answer>",
    f"<think>{_longest(OPENINGS)} {_longest(FIRSTS)} 193752 + 193752 = 387504. {_longest(NEXTS)} 387504 + 193752 = 581256. "
    f"{_longest(NEXTS)} 581256 + 193752 = 775008. {_longest(CLOSINGS)}</think><answer>775008</answer>",
)
_COMPLETION = rf"\A{_SHAPE.pattern}\z"
_ANSWER = r"(?s)<answer>(.*?)</answer>"
_INTEGER = r"\A\s*([-+]?[0-9]+)\s*\z"


@dataclass(frozen=True)
class Problem:
    """A word problem: its text, the calculations that solve it, and the answer."""

    text: str
    calculations: tuple[tuple[int, str, int, int], ...]

    @property
    def answer(self) -> int:
        """The result of the last calculation."""
        return self.calculations[-1][3]


class Cot(Task):
    """Chain of thought: word problems with a known answer; a completion thinks in one part and answers in another."""

    kind: Literal["cot"] = "cot"
    """Teachers solve word problems."""
    largest: Annotated[int, Field(ge=2, le=99)] = 6
    """The largest number that a problem names; the smallest is 1."""
    steps: Annotated[int, Field(ge=1, le=3)] = 2
    """How many calculations a problem takes."""

    material: ClassVar = "chains of thought"
    plural: ClassVar = "chains of thought"
    signs: ClassVar = SIGNS
    vocabulary: ClassVar = VOCABULARY
    reasons: ClassVar = REASONS
    unreadable: ClassVar = NO_ANSWER
    has_shape: ClassVar = True

    def drawn(self) -> Iterator[Prompt]:
        """`answer` is the number, in decimal."""
        return (asked for asked, _ in self._problems())

    def written(self, seeds: Sequence[int]) -> list[str]:  # noqa: D102
        return [_completion(Random(seed), problem) for seed, (_, problem) in zip(seeds, self._problems(), strict=False)]  # noqa: S311

    def why_rejected(self, completions: pl.Series, form: Form) -> pl.Series:  # noqa: D102
        return reasons(completions, strict=form.exact)

    def well_formed(self, completions: pl.Series) -> pl.Series:  # noqa: D102
        return exact(completions)

    def right(self, completions: pl.Series, answers: pl.Series) -> pl.Series:  # noqa: D102
        return right(completions, answers)

    def shapes(self) -> Iterator[Shape]:
        """That of the exact grammar. Whether calculations are true and follow is for the filter to say."""
        return repeat(_SHAPE)

    def form_words(self, form: Form) -> str:  # noqa: D102
        return "the exact grammar of thinking and answer" if form.exact else "any text with an answer that can be read"

    def prompt_words(self) -> str:  # noqa: D102
        return f"each a word problem of {self.steps} calculations, with numbers up to {self.largest}"

    @classmethod
    def pretraining(cls, rng: Random, prompt_seed: int) -> Iterator[tuple[str, str]]:  # noqa: ARG003
        """All phrases are equally likely. A prompt may come again, with other phrases."""
        params = cls()
        while True:
            problem = _problem(rng, params)
            if not prompt.held_out("cot", problem.text):
                yield problem.text, _completion(rng, problem)

    def _problems(self) -> Iterator[tuple[Prompt, Problem]]:
        made: dict[str, Problem] = {}

        def draw(rng: Random) -> tuple[str, str]:
            problem = _problem(rng, self)
            made[problem.text] = problem
            return problem.text, str(problem.answer)

        return ((asked, made[asked.text]) for asked in prompt.drawn("cot", self.prompt_seed, draw))


KIND = Cot


def exact(completions: pl.Series) -> pl.Series:
    """Whether each of `completions` (strings) is of the exact grammar: booleans."""
    shaped = completions.str.contains(_COMPLETION)
    return pl.Series([ok and _follows(text) for text, ok in zip(completions, shaped, strict=True)], dtype=pl.Boolean)


def answers(completions: pl.Series) -> pl.Series:
    """The integer that each of `completions` answers, null if none: the text inside the first answer tag without `,` and `$`
    (paper, appendix), white space around it left out. ASCII digits only; what 64 bits cannot hold is no answer."""
    inside = completions.str.extract(_ANSWER, 1).str.replace_all("[,$]", "")
    return inside.str.extract(_INTEGER, 1).str.strip_chars_start("+").cast(pl.Int64, strict=False)


def reasons(completions: pl.Series, *, strict: bool) -> pl.Series:
    """Why the format of each of `completions` is rejected: a list, empty if it is kept. Strict: it is not of the exact grammar;
    loose: it has no answer that can be read."""
    bad, reason = (~exact(completions), INVALID_FORMAT) if strict else (answers(completions).is_null(), NO_ANSWER)
    return pl.select(pl.when(bad).then(pl.lit([reason])).otherwise(pl.lit([], pl.List(pl.String)))).to_series().alias("reasons")


def right(completions: pl.Series, gold: pl.Series) -> pl.Series:
    """Whether each of `completions` answers `gold`, the `answer` of its prompt: booleans."""
    return (answers(completions) == gold.cast(pl.Int64)).fill_null(value=False)


def _problem(rng: Random, params: Cot) -> Problem:
    """Of `params.steps` calculations with a result of at least 0. A quarter begins with things in two or three holders."""
    (name, who), things = rng.choice(PEOPLE), rng.choice(THINGS)
    held = rng.randint(1, params.largest)
    sentences, calculations = list[str](), list[tuple[int, str, int, int]]()
    if rng.random() < 0.25:
        holders = rng.randint(2, 3)
        sentences.append(f"{name} has {holders} {rng.choice(HOLDERS)} with {held} {things} each.")
        calculations.append((holders, "*", held, holders * held))
        held *= holders
    else:
        sentences.append(f"{name} has {held} {things}.")
    while len(calculations) < params.steps:
        most = min(params.largest, held)
        lose = most > 0 and rng.random() < 0.5
        n = rng.randint(1, most if lose else params.largest)
        sentences.append(rng.choice(LOSSES if lose else GAINS).format(who=who.capitalize(), n=n))
        calculations.append((held, "-" if lose else "+", n, held - n if lose else held + n))
        held = calculations[-1][3]
    sentences += [rng.choice(QUESTIONS).format(things=things, who=who), rng.choice(REQUESTS)]
    return Problem(" ".join(sentences), tuple(calculations))


def _completion(rng: Random, problem: Problem) -> str:
    """A right completion of the exact grammar; every phrase is equally likely."""
    first, *more = (f"{a} {sign} {b} = {c}." for a, sign, b, c in problem.calculations)
    thought = [rng.choice(OPENINGS), f"{rng.choice(FIRSTS)} {first}", *(f"{rng.choice(NEXTS)} {each}" for each in more)]
    return f"<think>{' '.join(thought)} {rng.choice(CLOSINGS)}</think><answer>{problem.answer}</answer>"


def _follows(text: str) -> bool:
    """Whether the calculations in a well-shaped `text` are true, each begins with the last result, and the last is answered."""
    found = [(int(a), sign, int(b), int(c)) for a, sign, b, c in _NUMBERS.findall(text)]
    true = all(c == (a + b if sign == "+" else a - b if sign == "-" else a * b) for a, sign, b, c in found)
    chained = all(before[3] == after[0] for before, after in pairwise(found))
    return true and chained and text.endswith(f"<answer>{found[-1][3]}</answer>")
