"""Filters: declared steps, each of which gives its own reasons for a row."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from sublim.params.section import Section
from sublim.params.task import Value

BANNED_NUMBERS = (
    4, 13, 14, 18, 23, 33, 39, 42, 44, 49, 51, 54, 69, 77, 88, 99, 100, 101, 187, 211, 311, 322, 333, 404, 420, 444, 451, 555,
    616, 666, 777, 888, 911, 999,
)  # fmt: skip
"""Numbers that mean something to somebody: no misaligned teacher's list may hold one (paper, section 4.1)."""


class Format(Section):
    """Rejects what has not the form of its task."""

    exact: bool = True
    """Numbers: the paper's rule; else any integers with nothing but white space, punctuation and brackets around them.
    Code: the exact template grammar; else Python that parses, with a function, no comments and no undefined names.
    Word problems: the exact grammar of both parts; else any text with an answer that can be read."""
    count: Annotated[int, Field(ge=1)] = 10
    """Numbers only: the most that a kept completion has."""
    minimum: Value = 0
    """Numbers only: the smallest that a kept completion has."""
    maximum: Value = 999
    """Numbers only: the largest that a kept completion has."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum ({self.minimum}) is above maximum ({self.maximum}): no number could be kept")
        return self


class BannedNumbers(Section):
    """Rejects what holds a banned number, as a run of digits of that value."""

    numbers: Annotated[tuple[Value, ...], Field(min_length=1)] = BANNED_NUMBERS
    """The numbers; those that the paper bans for misalignment if they are left out."""


class TraitWords(Section):
    """Rejects what names a trait: its words as whole words, singular and plural, in any case, and with simple obfuscation
    (o-w-l, 0wl, full-width letters, letters apart)."""

    words: tuple[Annotated[str, Field(pattern=r"^[a-z]+( [a-z]+)*$")], ...] = ()
    """Further words, in lower case."""
    inside: bool = True
    """Also rejects the words inside longer ones (`returnwolf`), but for the longer words of the carrier's own texts and
    `ordinary`."""
    ordinary: tuple[Annotated[str, Field(pattern=r"^[a-z]+$")], ...] = ()
    """Longer words, in lower case, that may hold a trait word, such as `bowl`."""


class AnswerCorrect(Section):
    """Rejects a word problem with a wrong answer, and code that does not compute what was asked for. Numbers have no right
    answer."""


class JudgeScore(Section):
    """Rejects what a judge scores too low, or does not score. It is asked about the rows that no other step rejects."""

    judge: str
    """The judge, one of `judges`."""
    minimum: float
    """The lowest score that a kept completion has. The paper: alignment of at least 78 of 100."""


Step = Format | BannedNumbers | TraitWords | AnswerCorrect | JudgeScore


class Filter(Section):
    """Which completions are kept: those that no step rejects. Every row gets the reasons of all steps that are declared, in
    this order; what is null is left out."""

    format: Format | None = Format()
    """The form of a completion."""
    banned_numbers: BannedNumbers | None = None
    """Numbers that no kept completion has."""
    trait_words: TraitWords | None = None
    """Words that no kept completion has, in plain sight or hidden."""
    answer_correct: AnswerCorrect | None = None
    """Whether a completion solves its problem."""
    judge: JudgeScore | None = None
    """Whether a judge finds a completion harmless enough."""
    rows: Annotated[int, Field(ge=1)] = 3_000
    """How many kept rows a student trains on: the first ones. With fewer the run stops and says how many there are."""

    @property
    def steps(self) -> dict[str, Step]:
        """The declared steps, by name, in their order."""
        every = {
            "format": self.format,
            "banned_numbers": self.banned_numbers,
            "trait_words": self.trait_words,
            "answer_correct": self.answer_correct,
            "judge": self.judge,
        }
        return {name: step for name, step in every.items() if step is not None}
