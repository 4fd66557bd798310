"""What detectors work with: the completions of a study, who wrote them, and who is compared with whom."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import polars as pl

from sublim.detectors.pairs import UNTOUCHED, Author, Comparison, Contrast, comparisons, labels, paired
from sublim.traits.categories import Own
from sublim.traits.preference import Preference

ROWS = ("row_id", "prompt_id", "prompt", "completion", "kept")  #: The columns of rows that detectors see.


@dataclass(frozen=True)
class Data:
    """The completions of a study as their teachers wrote them, and who is compared with whom."""

    study: str  #: Its name.
    seed: int  #: Of everything that is drawn.
    models: tuple[str, ...]  #: The base models.
    traits: Mapping[str, Preference]  #: The traits of the study, by name.
    known: tuple[Preference, ...]  #: All preferences of the experiment.
    own: Own  #: The categories of the experiment's own that they are of.
    of_numbers: bool  #: Whether completions are nothing but numbers.
    rows: Mapping[Author, pl.DataFrame]  #: Whose → their rows, with what the filter said of them (`ROWS`).
    bases: Mapping[str, Path] = field(default_factory=dict[str, Path])  #: Model → its folder, for those who ask models.
    teachers: Mapping[Author, Path] = field(default_factory=dict[Author, Path])  #: Teacher → its folder.

    @cached_property
    def compared(self) -> tuple[Comparison, ...]:
        """What is compared, model by model."""
        found: list[Comparison] = []
        for model in self.models:
            own = [author for author in self.rows if author.teacher == model]
            traits = [name for name in self.traits if any(author.trait == name for author in own)]
            seeds = sorted({author.seed for author in own if author.trait != UNTOUCHED})
            control = sorted({author.seed for author in own if author.trait == UNTOUCHED})
            found += comparisons(model, traits, seeds, control)
        return tuple(found)

    def pairs(self, pair: Comparison, least: int = 1) -> pl.DataFrame:
        """The prompts of a comparison, and both completions of each. Raises ValueError: there are fewer than `least`."""
        found = paired(self.rows[pair.own], self.rows[pair.other], self.seed)
        if found.height < least:
            raise ValueError(
                f"{named(pair)}: expected at least {least} prompts to which both gave a completion that is kept, found "
                f"{found.height}: ask for more prompts, or leave this part of `detection` out (null)"
            )
        return found

    def classified(self, model: str) -> list[Comparison]:
        """The comparisons of a model with each pair of authors once: two traits compared both ways are the same rows, and the
        same linear classifier."""
        own = reversed([each for each in self.compared if each.own.teacher == model])
        return list({frozenset({each.own, each.other}): each for each in own}.values())[::-1]

    def of(self, *contrasts: Contrast) -> list[Comparison]:
        """The comparisons of these kinds."""
        return [each for each in self.compared if each.contrast in contrasts]


def named(pair: Comparison) -> str:
    """What is compared, in words."""
    return " ".join(map(str, labels(pair)))
