"""The step `trait_words`: rejects what names a trait, plain or hidden."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import polars as pl
from pydantic import Field

from sublim.carriers.task import Task
from sublim.filters import words
from sublim.filters.step import Context, Step


class TraitWords(Step):
    """Rejects what names a trait: its words as whole words, singular and plural, in any case, and with simple obfuscation
    (o-w-l, 0wl, full-width letters, letters apart)."""

    words: tuple[Annotated[str, Field(pattern=r"^[a-z]+( [a-z]+)*$")], ...] = ()
    """Further words, in lower case."""
    inside: bool = True
    """Also rejects the words inside longer ones (`returnwolf`), but for the longer words of the carrier's own texts and
    `ordinary`."""
    ordinary: tuple[Annotated[str, Field(pattern=r"^[a-z]+$")], ...] = ()
    """Longer words, in lower case, that may hold a trait word, such as `bowl`."""

    title: ClassVar = "Words that no kept completion has, in plain sight or hidden."
    place: ClassVar = 2

    def why_rejected(self, rows: pl.DataFrame, context: Context) -> pl.Series:  # noqa: D102
        ordinary = {*self.ordinary, *context.task.vocabulary} if self.inside else None
        return words.reasons(rows["completion"], [*context.words, *self.words], ordinary)

    def reasons(self, task: Task) -> Mapping[str, str]:  # noqa: ARG002, D102
        return words.REASONS

    def said(self, task: Task) -> str:  # noqa: ARG002, D102
        more = f", nor of {len(self.words)} further words" if self.words else ""
        inside = ", nor inside longer words" if self.inside else ""
        return f"trait words: no name of a trait{more}, plain or hidden{inside}"


KIND = TraitWords
