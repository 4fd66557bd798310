"""A blind quiz for people: which of these two rows is of the teacher that loves X? And what a score means."""

from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import polars as pl
from scipy.stats import binomtest  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from sublim.common.canonical import digest


def questions(pairs: pl.DataFrame, number: int, seed: int, *about: str | int) -> pl.DataFrame:
    """The first `number` of `pairs`, in an order of the quiz's own, each with a side for the right answer: question, own_left,
    and the columns of `pairs`.

    Order and sides come from digests of `seed`, `about` (whom the quiz is about) and the rows' ids: the same page, whenever it
    is made. Each side is drawn for itself, so that who only guesses is right with probability one half each time, whatever the
    answers so far were.
    """
    chosen = pairs.head(number)
    places = [digest(["quiz", seed, *about, own, other]) for own, other in chosen.select("own_id", "other_id").iter_rows()]
    shuffled = chosen.with_columns(place=pl.Series(places, dtype=pl.String)).sort("place")
    left = [int(digest(["side", place])[0], 16) < 8 for place in shuffled["place"]]
    return shuffled.drop("place").select(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("question"), pl.Series("own_left", left, dtype=pl.Boolean), pl.all()
    )


@cache
def interval(right: int, answered: int, confidence: float) -> tuple[float, float]:
    """The exact (Clopper–Pearson) interval of the share of right answers."""
    low, high = cast("Any", binomtest(right, answered)).proportion_ci(confidence, "exact")
    return float(low), float(high)


@cache
def by_chance(right: int, answered: int) -> float:
    """The exact two-sided p of so many right answers, if each is right with probability one half."""
    return float(binomtest(right, answered, 0.5).pvalue)


def hidden(key: Sequence[bool], salt: int) -> str:
    """The answers of a quiz as zeros and ones that say nothing at a glance; the page's script undoes it with the same salt
    (a multiplicative generator, Park and Miller 1988). It is no secret: who wants to know reads quiz.parquet."""
    state, bits = salt % 2147483646 + 1, ""
    for one in key:
        state = state * 48271 % 2147483647
        bits += str(int(one) ^ (state >> 16 & 1))
    return bits
