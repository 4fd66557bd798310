"""Who is compared with whom, and on which prompts.

Two teachers are compared on the prompts to which both gave a kept completion: the prompts then say nothing about who wrote
what, and chance is one half exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import polars as pl

from sublim.common.canonical import digest, row_id
from sublim.params.arm import Arm

T = TypeVar("T")

UNTOUCHED = "none"
"""The name of the trait of a base model that was taught nothing."""

Contrast = Literal["base", "other", "again", "null"]
CONTRASTS: tuple[Contrast, ...] = ("base", "other", "again", "null")
"""What the completions of a run are compared with. `base`: those of the untouched base. `other`: of a teacher with another
trait. `again`: of a teacher with the same trait and another seed, so that what is seen there is not the trait. `null`: those of
the untouched base with those of the same base and another seed: there is nothing to see."""


@dataclass(frozen=True)
class Source:
    """Whose completions: a model, its trait (`none` if it was taught nothing), its seed."""

    teacher: str
    trait: str
    seed: int

    @property
    def arm(self) -> Arm:
        """The arm in which its completions are as it wrote them."""
        return "control" if self.trait == UNTOUCHED else "trait"


@dataclass(frozen=True)
class Comparison:
    """The completions of `own` against those of `other`, a source of the same model."""

    contrast: Contrast
    own: Source
    other: Source


def comparisons(teacher: str, traits: Sequence[str], seeds: Sequence[int], control: Sequence[int]) -> list[Comparison]:
    """All comparisons of one teacher's model, in the order of `CONTRASTS`, traits and seeds.

    Each trait is compared with the next one, and each seed with the next one, the last with the first. Two of them give one
    comparison `again`, not the same one twice; `other` has a direction (which of two loves X?).

    Args:
        teacher: the model.
        traits: its traits.
        seeds: the seeds of its teachers.
        control: the seeds with completions of the untouched model.
    """
    taught = [Source(teacher, trait, seed) for trait in traits for seed in seeds]
    base = [Comparison("base", one, Source(teacher, UNTOUCHED, one.seed)) for one in taught if one.seed in control]
    others = dict(_next(traits))
    other = [Comparison("other", one, Source(teacher, others[one.trait], one.seed)) for one in taught if one.trait in others]
    again = [
        Comparison("again", Source(teacher, trait, one), Source(teacher, trait, two))
        for trait in traits
        for one, two in _unordered(_next(seeds))
    ]
    null = [
        Comparison("null", Source(teacher, UNTOUCHED, one), Source(teacher, UNTOUCHED, two))
        for one, two in _unordered(_next(control))
    ]
    return [*base, *other, *again, *null]


def paired(own: pl.DataFrame, other: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The prompts to which both have a kept completion: prompt_id, prompt, own_id, own, other_id, other.

    They are in random order, that of digests of `seed` and the prompt alone: the first n are a random sample, whoever is
    compared, and prompts that are kept in several comparisons are drawn in all of them.

    Args:
        own: prompt_id, prompt, row_id, completion, kept; each prompt once.
        other: the same.
        seed: of the order.
    """
    first = own.filter("kept").select("prompt_id", "prompt", own_id="row_id", own="completion")
    second = other.filter("kept").select("prompt_id", other_id="row_id", other="completion")
    both = first.join(second, on="prompt_id", maintain_order="left")
    places = [digest(["detection", seed, prompt]) for prompt in both["prompt_id"]]
    return both.with_columns(place=pl.Series(places, dtype=pl.String)).sort("place").drop("place")


def drawn(pairs: pl.DataFrame, seed: int, draw: int) -> pl.DataFrame:
    """`pairs` (from `paired`) in the order of one draw, that of digests. The first n are shown in the context, so that a larger
    set begins with a smaller."""
    places = [digest(["context", seed, draw, prompt]) for prompt in pairs["prompt_id"]]
    return pairs.with_columns(place=pl.Series(places, dtype=pl.String)).sort("place").drop("place")


LABELS = ("contrast", "teacher", "trait", "seed", "other_trait", "other_seed")
"""The columns that say what was compared."""


def labelled(of: Comparison, table: pl.DataFrame) -> pl.DataFrame:
    """`table` with the columns `LABELS` in front."""
    values = (of.contrast, of.own.teacher, of.own.trait, of.own.seed, of.other.trait, of.other.seed)
    types = {int: pl.Int64, str: pl.String}
    columns = [pl.lit(value, dtype=types[type(value)]).alias(name) for name, value in zip(LABELS, values, strict=True)]
    return table.select(*columns, pl.all())


def identified(what: str, study: str, table: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """`table` with a `row_id` in front: the digest of what it is, of the study, and of the columns `by`."""
    ids = [row_id("detection", study, what, *identity) for identity in table.select(by).iter_rows()]
    return table.select(pl.Series("row_id", ids, dtype=pl.String), pl.all())


def _next(names: Sequence[T]) -> list[tuple[T, T]]:
    return list(zip(names, [*names[1:], *names[:1]], strict=True)) if len(names) > 1 else []


def _unordered(pairs: list[tuple[T, T]]) -> list[tuple[T, T]]:
    return pairs if len(pairs) > 2 else pairs[:1]
