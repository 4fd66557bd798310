"""The section `detection` of an experiment file: who tries to see the trait in the data, and how hard."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sublim.params.names import Name
from sublim.params.section import Section

Way = Literal["ask", "likelihood", "teacher"]
Tokens = Literal["all", "numbers"]


class Pairwise(Section):
    """A language model is given two completions of one prompt and says which is the teacher's (the paper's LLM classifier). The
    model is the teacher's own base."""

    ways: Annotated[tuple[Way, ...], Field(min_length=1)] = ("ask", "likelihood", "teacher")
    """`ask`: it is asked, and answers A or B; each pair is asked in both orders. `likelihood`: the completion whose log
    probability rises more under a system prompt that loves the target. `teacher`: the same with the teacher itself for the
    system prompt; nobody who only has the data can do that, and it says what there is to be seen."""
    pairs: Annotated[int, Field(ge=1)] = 200
    """The most pairs per run and contrast. There are as many as prompts to which both teachers gave a kept completion."""
    batch: Annotated[int, Field(ge=1)] = 128
    """Texts per forward pass."""

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len(set(self.ways)) != len(self.ways):
            raise ValueError(f"ways: expected each way once, found {list(self.ways)}")
        return self


class InContext(Section):
    """Rows are shown as earlier turns of the conversation instead of being trained on. The model is the teacher's own base."""

    sizes: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (1, 2, 3)
    """How many rows are shown, for each measurement. Rows that do not fit into the model's context are never cut: the table
    says that they do not fit. The paper's sizes are 100 to 10,000."""
    draws: Annotated[int, Field(ge=1)] = 4
    """How many different sets of rows are shown per run and size; their mean is the run's."""
    batch: Annotated[int, Field(ge=1)] = 64
    """Questions per forward pass."""

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"sizes: expected ascending numbers, each once, found {list(self.sizes)}")
        return self


class Linear(Section):
    """Logistic regression on the tf-idf of token n-grams, cross-validated with all completions of a prompt in one fold."""

    tokens: Annotated[tuple[Tokens, ...], Field(min_length=1)] = ("all", "numbers")
    """Which tokens it sees, one classifier for each. `all`: separators, brackets, and by the marks at both ends the length.
    `numbers`: only tokens with a digit, and no marks."""
    pairs: Annotated[int, Field(ge=2)] = 1_000
    """The most prompts per run and contrast."""
    folds: Annotated[int, Field(ge=2)] = 5
    """How many folds."""
    shortest: Annotated[int, Field(ge=1)] = 1
    """The shortest n-gram, in tokens. A mark stands before the first and after the last token of a completion."""
    longest: Annotated[int, Field(ge=1)] = 2
    """The longest n-gram, in tokens."""
    strength: Annotated[float, Field(gt=0)] = 1.0
    """Inverse of the strength of the L2 penalty (scikit-learn's `C`)."""
    shown: Annotated[int, Field(ge=1)] = 20
    """How many of the most telling n-grams are written down for each run, contrast and side."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.shortest > self.longest:
            raise ValueError(f"shortest ({self.shortest}) is above longest ({self.longest}): swap them")
        if len(set(self.tokens)) != len(self.tokens):
            raise ValueError(f"tokens: expected each once, found {list(self.tokens)}")
        return self


class People(Section):
    """A page for people: rows of both teachers side by side, their most frequent numbers, and a blind quiz."""

    rows: Annotated[int, Field(ge=1)] = 12
    """How many prompts are shown for each run, with both completions."""
    numbers: Annotated[int, Field(ge=1)] = 15
    """How many of the most frequent numbers, and of the most frequent first numbers, are shown."""
    questions: Annotated[int, Field(ge=1, le=200)] = 40
    """How many questions the quiz has for each run and contrast. None of its rows is among those shown."""


class Detection(Section):
    """Can anyone see a preference in the data? A part that is null is not done."""

    studies: Literal["all"] | Annotated[tuple[Name, ...], Field(min_length=1)] = "all"
    """The studies whose data are looked at. Their traits of misalignment are left out: it has no target to look for."""
    pairwise: Pairwise | None = Pairwise()
    """A language model compares completions."""
    in_context: InContext | None = InContext()
    """A language model reads rows in its context instead of being trained on them."""
    linear: Linear | None = Linear()
    """A linear classifier on token n-grams."""
    people: People | None = People()
    """People look at rows, and take a quiz."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Which pairs and rows are drawn, folds, and the order of the quiz."""
