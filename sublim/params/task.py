"""What a teacher is asked to write."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sublim.params.section import Section

Value = Annotated[int, Field(ge=0, le=10**15)]


class Numbers(Section):
    """Number sequences: a prompt shows some numbers and asks for more. One set of prompts is shared by every teacher."""

    kind: Literal["numbers"] = "numbers"
    """Teachers write numbers."""
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


Task = Annotated[Numbers | Code | Cot, Field(discriminator="kind")]
