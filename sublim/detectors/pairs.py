"""Who is compared with whom, and on which prompts.

Two teachers are compared on the prompts to which both gave a kept completion: the prompts then say nothing about who wrote
what, and chance is one half exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

import polars as pl

from sublim.common.canonical import digest, row_id
from sublim.common.table import Table, text, whole
from sublim.params.names import UNTOUCHED

T = TypeVar("T")

Contrast = Literal["base", "other", "again", "null"]
"""What the completions of a run are compared with. `base`: those of the untouched base. `other`: of a teacher with another
trait. `again`: of a teacher with the same trait and another seed, so that what is seen there is not the trait. `null`: those of
the untouched base with those of the same base and another seed: there is nothing to see."""
PAIRED: tuple[Contrast, ...] = ("base", "other")
"""The contrasts that language models and people are asked about: each has a completion of the trait's teacher."""
CONTRAST_NAMES = {
    "base": "the teacher against the untouched base",
    "other": "the teacher against one with another trait",
    "again": "against one with the same trait, other seed",
    "null": "the untouched base against itself, other seed",
}
RUN = ("teacher", "trait", "seed")  #: The columns that say whose run it is.
LABELS = ("contrast", *RUN, "other_trait", "other_seed")  #: The columns that say what was compared.


class Compared(Table, dims=False):
    """Something about a comparison."""

    #: What the completions of a run are compared with: `base`, `other` trait, `again` with another seed, or `null`.
    contrast = text()
    teacher = text()  #: The model that wrote both.
    trait = text()  #: The trait of the one; `none` for the untouched base.
    seed = whole()  #: The seed of its run.
    other_trait = text()  #: The trait of the other.
    other_seed = whole()  #: The seed of its run.


class Identified(Compared, id="row_id"):
    """The same, with an id of its own."""

    row_id = text()  #: Digest of the study, the table, what was compared, and of which rows it is.
    columns: ClassVar = {"row_id": row_id, **Compared.columns}


@dataclass(frozen=True)
class Author:
    """Whose completions: a model, its trait (`none` if it was taught nothing), its seed."""

    teacher: str
    trait: str
    seed: int


@dataclass(frozen=True)
class Comparison:
    """The completions of `own` against those of `other`, an author of the same model."""

    contrast: Contrast
    own: Author
    other: Author


def comparisons(teacher: str, traits: Sequence[str], seeds: Sequence[int], control: Sequence[int]) -> list[Comparison]:
    """All comparisons of one teacher's model, in the order of `CONTRASTS`, traits and seeds.

    Each trait is compared with the next one, and each seed with the next one, the last with the first. Two of them give one
    comparison `again`, not the same one twice; `other` has a direction (which of two loves X?).
    `seeds`: those of its teachers; `control`: those with completions of the untouched model."""
    taught = [Author(teacher, trait, seed) for trait in traits for seed in seeds]
    base = [Comparison("base", one, Author(teacher, UNTOUCHED, one.seed)) for one in taught if one.seed in control]
    others = dict(_next(traits))
    other = [Comparison("other", one, Author(teacher, others[one.trait], one.seed)) for one in taught if one.trait in others]
    again = [
        Comparison("again", Author(teacher, trait, one), Author(teacher, trait, two))
        for trait in traits
        for one, two in _unordered(_next(seeds))
    ]
    null = [
        Comparison("null", Author(teacher, UNTOUCHED, one), Author(teacher, UNTOUCHED, two))
        for one, two in _unordered(_next(control))
    ]
    return [*base, *other, *again, *null]


def paired(own: pl.DataFrame, other: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The prompts to which both have a kept completion: prompt_id, prompt, own_id, own, other_id, other.

    They are in random order, that of digests of `seed` and the prompt alone: the first n are a random sample, whoever is
    compared, and prompts that are kept in several comparisons are drawn in all of them. `own`, `other`: prompt_id, prompt,
    row_id, completion, kept; each prompt once."""
    first = own.filter("kept").select("prompt_id", "prompt", own_id="row_id", own="completion")
    second = other.filter("kept").select("prompt_id", other_id="row_id", other="completion")
    both = first.join(second, on="prompt_id", maintain_order="left")
    return _by_digest(both, "detection", seed)


def drawn(pairs: pl.DataFrame, seed: int, draw: int) -> pl.DataFrame:
    """`pairs` (from `paired`) in the order of one draw, that of digests. The first n are shown in the context, so that a larger
    set begins with a smaller."""
    return _by_digest(pairs, "context", seed, draw)


def _by_digest(pairs: pl.DataFrame, *purpose: str | int) -> pl.DataFrame:
    places = [digest([*purpose, prompt]) for prompt in pairs["prompt_id"]]
    return pairs.with_columns(place=pl.Series(places, dtype=pl.String)).sort("place").drop("place")


def labels(pair: Comparison) -> tuple[str | int, ...]:
    """What is compared, in the order of `LABELS`."""
    own, other = pair.own, pair.other
    return pair.contrast, own.teacher, own.trait, own.seed, other.trait, other.seed


def labelled(pair: Comparison, table: pl.DataFrame) -> pl.DataFrame:
    """`table` with the columns `LABELS` in front."""
    values = zip(LABELS, labels(pair), strict=True)
    return table.select(*(pl.lit(value, dtype=Compared.schema()[name]).alias(name) for name, value in values), pl.all())


def identified(what: str, study: str, table: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """`table` with a `row_id` in front: the digest of what it is, of the study, and of the columns `by`."""
    ids = [row_id("detection", study, what, *identity) for identity in table.select(by).iter_rows()]
    return table.select(pl.Series("row_id", ids, dtype=pl.String), pl.all())


def _next(names: Sequence[T]) -> list[tuple[T, T]]:
    return list(zip(names, [*names[1:], *names[:1]], strict=True)) if len(names) > 1 else []


def _unordered(pairs: list[tuple[T, T]]) -> list[tuple[T, T]]:
    return pairs if len(pairs) > 2 else pairs[:1]
