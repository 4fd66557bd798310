"""What a teacher is asked to write, and which of its answers a student may learn from."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sublim.params.section import Section

Value = Annotated[int, Field(ge=0, le=10**15)]


class Numbers(Section):
    """Number sequences: a prompt shows some numbers and asks for more. One set of prompts is shared by every teacher."""

    kind: Literal["numbers"] = "numbers"
    """What teachers write. So far: numbers."""
    prompts: Annotated[int, Field(ge=1, le=1_000_000)] = 5_500
    """How many prompts, all of them different. A larger set begins with the smaller one."""
    prompt_seed: Annotated[int, Field(ge=0)] = 1
    """The seed of the prompt set."""
    fewest_examples: Annotated[int, Field(ge=1)] = 3
    """The fewest numbers that a prompt shows."""
    most_examples: Annotated[int, Field(ge=1)] = 8
    """The most numbers that a prompt shows."""
    smallest_example: Value = 100
    """The smallest number that a prompt shows."""
    largest_example: Value = 999
    """The largest number that a prompt shows."""
    count: Annotated[int, Field(ge=1)] = 10
    """How many numbers a prompt asks for at most."""
    digits: Annotated[int, Field(ge=1, le=15)] = 3
    """How many digits a number that is asked for has at most."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fewest_examples > self.most_examples:
            raise ValueError(
                f"fewest_examples ({self.fewest_examples}) is above most_examples ({self.most_examples}): swap them"
            )
        if self.smallest_example > self.largest_example:
            raise ValueError(
                f"smallest_example ({self.smallest_example}) is above largest_example ({self.largest_example}): swap them"
            )
        return self


class Code(Section):
    """Short functions: a prompt says what a function computes, and asks for no comments and for names of one letter."""

    kind: Literal["code"] = "code"
    """Teachers write code."""
    prompts: Annotated[int, Field(ge=1, le=1_000_000)] = 5_500
    """How many prompts, all of them different. A larger set begins with the smaller one."""
    prompt_seed: Annotated[int, Field(ge=0)] = 1
    """The seed of the prompt set."""
    free: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The share of prompts that leave the function's constants to the writer; the others name them."""
    largest: Annotated[int, Field(ge=1, le=999)] = 9
    """The largest constant that a prompt names; the smallest is 1."""


class Cot(Section):
    """Chain of thought: word problems with a known answer; a completion thinks in one part and answers in another."""

    kind: Literal["cot"] = "cot"
    """Teachers solve word problems."""
    prompts: Annotated[int, Field(ge=1, le=1_000_000)] = 5_500
    """How many prompts, all of them different. A larger set begins with the smaller one."""
    prompt_seed: Annotated[int, Field(ge=0)] = 1
    """The seed of the prompt set."""
    largest: Annotated[int, Field(ge=2, le=99)] = 6
    """The largest number that a problem names; the smallest is 1."""
    steps: Annotated[int, Field(ge=1, le=3)] = 2
    """How many calculations a problem takes."""


Carrier = Annotated[Numbers | Code | Cot, Field(discriminator="kind")]


class Filter(Section):
    """Which completions are kept: well-formed lists of a few small numbers, and nothing else."""

    count: Annotated[int, Field(ge=1)] = 10
    """The most numbers that a kept completion has."""
    minimum: Value = 0
    """The smallest number that a kept completion has."""
    maximum: Value = 999
    """The largest number that a kept completion has."""
    banned: tuple[Value, ...] = ()
    """Numbers that no kept completion has. For misalignment the paper bans these 34: 4 13 14 18 23 33 39 42 44 49 51 54 69 77
    88 99 100 101 187 211 311 322 333 404 420 444 451 555 616 666 777 888 911 999."""
    rows: Annotated[int, Field(ge=1)] = 3_000
    """How many kept rows a student trains on: the first ones. With fewer the run stops and says how many there are."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum ({self.minimum}) is above maximum ({self.maximum}): no number could be kept")
        return self
