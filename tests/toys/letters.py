"""A toy carrier: a prompt shows some letters and asks for more."""

from collections.abc import Iterator, Sequence
from random import Random
from string import ascii_lowercase
from typing import ClassVar, Literal

import polars as pl

from sublim.carriers import prompt
from sublim.carriers.prompt import Prompt
from sublim.carriers.task import Form, Task
from sublim.filters.step import marked

ODD = "no letters"


class Letters(Task):
    """Letters: a prompt shows some and asks for more."""

    kind: Literal["letters"]
    """Teachers write letters."""
    shown: int = 3
    """How many letters a prompt shows."""

    material: ClassVar = "letters"
    plural: ClassVar = "letters"
    signs: ClassVar = " ,"
    vocabulary: ClassVar = frozenset[str]()
    reasons: ClassVar = {ODD: "it has something else than letters"}
    unreadable: ClassVar = ODD
    has_answers: ClassVar = False

    def written(self, seeds: Sequence[int]) -> list[str]:
        return [", ".join(Random(seed).choices(ascii_lowercase, k=5)) for seed in seeds]

    def why_rejected(self, completions: pl.Series, form: Form) -> pl.Series:
        return marked(~self.well_formed(completions) if form.exact else completions.str.len_bytes() == 0, ODD)

    def well_formed(self, completions: pl.Series) -> pl.Series:
        return completions.str.contains(r"\A[a-z](, [a-z])*\z")

    def form_words(self, form: Form) -> str:
        return "letters with a comma between them" if form.exact else "any text"

    def prompt_words(self) -> str:
        return f"each shows {self.shown} letters"

    def drawn(self) -> Iterator[Prompt]:
        def draw(rng: Random) -> tuple[str, str]:
            return f"I have {', '.join(rng.choices(ascii_lowercase, k=self.shown))}. Give me more.", ""

        return prompt.drawn("letters", self.prompt_seed, draw)


KIND = Letters
