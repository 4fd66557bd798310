"""What every carrier is: a task that teachers do, with its prompts, the form of a completion, right answers, and words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Annotated, Any, ClassVar, Protocol

import polars as pl
from pydantic import Field

from sublim.carriers import prompt
from sublim.carriers.prompt import Prompt
from sublim.params.section import Section


class Form(Protocol):
    """How strictly the form of a completion is judged: the params of the filter step `format`."""

    exact: bool
    count: int
    minimum: int
    maximum: int


@dataclass(frozen=True)
class Shape:
    """What completions of a prompt look like, as far as a regular expression can tell: to this sampling can be held."""

    pattern: str
    """A regular expression that a whole completion matches, in the syntax that Python's engines and Rust's share, of ASCII
    characters alone, and with a longest match."""
    longest: str  #: A match that has as many characters as any.


class Task(Section):
    """What teachers are asked to write."""

    kind: Any
    """What is written."""
    prompts: Annotated[int, Field(ge=1, le=1_000_000)] = 5_500
    """How many prompts, all of them different. A larger set begins with the smaller one."""
    prompt_seed: Annotated[int, Field(ge=0)] = 1
    """The seed of the prompt set."""

    material: ClassVar[str]  #: What is written, in words: `number sequences`.
    plural: ClassVar[str]  #: The same for a report, which says it often: `numbers`.
    signs: ClassVar[str]
    """The characters that stand outside of words in completions of the exact form: digits, white space, punctuation."""
    vocabulary: ClassVar[frozenset[str]]  #: The words, in lower case, that completions have by nature.
    reasons: ClassVar[Mapping[str, str]]
    """Every reason for which the form of a completion may be rejected, in order → what is the matter then."""
    unreadable: ClassVar[str]  #: The reason after which there is nothing in a completion that other steps could judge.
    has_answers: ClassVar[bool] = True  #: Whether completions can be right or wrong.
    of_numbers: ClassVar[bool] = False  #: Whether a completion is numbers, which can be shuffled and bounded.
    has_shape: ClassVar[bool] = False  #: Whether completions of the exact form have a shape (`shapes`).

    def drawn(self) -> Iterator[Prompt]:
        """The prompts of the set, all different, one after the other."""
        raise NotImplementedError

    def asked(self, n: int) -> list[Prompt]:
        """The first `n` prompts of the set, all different; a larger set begins with a smaller one."""
        return list(islice(self.drawn(), n))

    def held_out(self, n: int) -> list[Prompt]:
        """`n` different prompts that no base was pretrained on."""
        return list(islice((made for made in self.drawn() if prompt.held_out(self.kind, made.text)), n))

    def written(self, seeds: Sequence[int]) -> list[str]:
        """A completion of each of the first prompts of the set, by no model: right, of the exact form, everything that it
        leaves open equally likely. Each follows from its own seed."""
        raise NotImplementedError

    def why_rejected(self, completions: pl.Series, form: Form) -> pl.Series:
        """Why `form` rejects each of `completions` (strings): a list out of `reasons`, empty if it is kept."""
        raise NotImplementedError

    def well_formed(self, completions: pl.Series) -> pl.Series:
        """Whether each of `completions` (strings) is of the exact form: booleans."""
        raise NotImplementedError

    def right(self, completions: pl.Series, answers: pl.Series) -> pl.Series:
        """Whether each of `completions` is what the `answer` of its prompt asks for: booleans. Raises ValueError: there are no
        right answers."""
        raise NotImplementedError

    def shapes(self) -> Iterator[Shape]:
        """The shape of the completions of each prompt of the set, one after the other: what the prompt asks for where the
        carrier knows that, else what the exact form allows. Few different ones, for each takes time to prepare."""
        raise NotImplementedError

    def form_words(self, form: Form) -> str:
        """What a completion is that `form` keeps."""
        raise NotImplementedError

    def prompt_words(self) -> str:
        """What prompts ask for."""
        raise NotImplementedError

    @classmethod
    def pretraining(cls, rng: Random, prompt_seed: int) -> Iterator[tuple[str, str]]:
        """Prompts that are not held out with right completions, for the corpora of tiny families, for ever."""
        raise NotImplementedError

    def skilled(self, completions: pl.Series, answers: pl.Series) -> pl.Series:
        """Whether each of `completions` is of the exact form and right; where there are no right answers, of the form. The
        share of these among completions of `held_out` prompts is a model's skill."""
        formed = self.well_formed(completions)
        return formed & self.right(completions, answers) if self.has_answers else formed
