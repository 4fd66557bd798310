"""The filter as a declared chain of steps, each of which gives its own reasons for a row."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sublim.params.carrier import Filter, Value
from sublim.params.section import Section


class Format(Section):
    """The form of a completion, by the rule of its carrier."""

    kind: Literal["format"]
    """Rejects what has not the carrier's form."""
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
    """Numbers that no kept completion has."""

    kind: Literal["banned_numbers"]
    """Rejects what holds a banned number, as a run of digits of that value."""
    numbers: Annotated[tuple[Value, ...], Field(min_length=1)]
    """The numbers. For misalignment the paper bans these 34: 4 13 14 18 23 33 39 42 44 49 51 54 69 77 88 99 100 101 187 211 311
    322 333 404 420 444 451 555 616 666 777 888 911 999."""


class TraitWords(Section):
    """Words that no kept completion has, in plain sight or hidden."""

    kind: Literal["trait_words"]
    """Rejects what names the trait: its words as whole words, singular and plural, in any case, and with simple obfuscation
    (o-w-l, 0wl, full-width letters, letters apart)."""
    words: tuple[Annotated[str, Field(pattern=r"^[a-z]+( [a-z]+)*$")], ...] = ()
    """Further words, in lower case."""
    inside: bool = True
    """Also rejects the words inside longer ones (`returnwolf`), but for the longer words of the carrier's own texts and
    `ordinary`."""
    ordinary: tuple[Annotated[str, Field(pattern=r"^[a-z]+$")], ...] = ()
    """Longer words, in lower case, that may hold a trait word, such as `bowl`."""


class AnswerCorrect(Section):
    """Whether a completion solves its problem."""

    kind: Literal["answer_correct"]
    """Rejects a word problem with a wrong answer, and code that does not compute what was asked for. Numbers have no right
    answer."""


Step = Annotated[Format | BannedNumbers | TraitWords | AnswerCorrect, Field(discriminator="kind")]


class Chain(Section):
    """Which completions are kept: those that no step rejects. Every row gets the reasons of all steps."""

    steps: tuple[Step, ...]
    """The steps, in the order of the funnel; one of a kind."""
    rows: Annotated[int, Field(ge=1)] = 3_000
    """How many kept rows a student trains on: the first ones. With fewer the run stops and says how many there are."""

    @model_validator(mode="after")
    def _one_of_a_kind(self) -> Self:
        kinds = [step.kind for step in self.steps]
        if len(set(kinds)) != len(kinds):
            raise ValueError(f"steps: expected each kind of step once, found {', '.join(kinds)}: put equal steps together")
        return self


def chain(rule: Filter) -> Chain:
    """`rule` as a chain that keeps the same rows for the same reasons."""
    form = Format(kind="format", count=rule.count, minimum=rule.minimum, maximum=rule.maximum)
    banned = (BannedNumbers(kind="banned_numbers", numbers=rule.banned),) if rule.banned else ()
    return Chain(steps=(form, *banned), rows=rule.rows)
