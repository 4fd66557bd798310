"""What a design could see, comparison by comparison: from the list of its runs alone, before any of them is made."""

from collections import Counter
from collections.abc import Mapping
from statistics import stdev

import polars as pl

from sublim.arms.conditions import CONTROL, DIAGONAL, OFF_DIAGONAL, TRAIT, conditions
from sublim.common.table import Table, real, text, whole
from sublim.params.report import Report, Spread
from sublim.stats.comparison import comparable, standard_error
from sublim.stats.power import equivalence_chance, smallest_effect, smallest_permuted

MEASURED = 3  #: A spread that is measured needs so many runs at least; with fewer it says next to nothing.


class Comparisons(Table, row="comparison", dims=False):
    """The smallest effect that each comparison of a report finds with 80 % power. Those with too few runs are left out."""

    what = text()  #: What is compared: a condition, a cell of a table of it, or `diagonal over off_diagonal`.
    test = text()  #: `t`; `permutation`; `t after Benjamini-Hochberg`.
    against = text()  #: What the gain is set against: `untrained`, `control` students, or the `other base`.
    n = whole()  #: Runs in one such comparison, or groups of the permutation test.
    cells = whole()  #: How many such comparisons there are.
    level = real()  #: The p below which the test rejects: α; in the trait table that of an effect which is the only one in it.
    spread = real()  #: Standard deviation of gains between runs, in probability.
    smallest = real(null=True)  #: The smallest gain that is found 4 times out of 5, in probability; null: no possible gain is.
    shown = real(null=True)  #: How often equivalence is shown where there is nothing. From 0 to 1; null where it is not tested.


def comparisons(runs: pl.DataFrame, answers: int, spread: Spread, report: Report) -> pl.DataFrame:
    """The smallest effect that each comparison of the report finds with 80 % power.

    Gains are taken to be normal and runs independent; the spread of same-base students is `spread.same_base`, that of all
    others `spread.other`.

    Args:
        runs: one row per trained student: teacher, student, trait, arm, condition, same_base, seed.
        answers: how many known answers each student is scored on: rows of the trait table per trait taught.
    """
    level = 1 - report.confidence
    found: list[dict[str, object]] = []

    def t(what: str, part: pl.DataFrame, cells: int, level: float, sd: float, *, controls: bool, equivalent: bool) -> None:
        numbers = dict(Counter(part["student"].to_list()))
        n = sum(numbers.values())
        if n < 2:
            return
        known = {student: controlled.get(student, 0) for student in numbers} if controls else {}
        known = known if comparable(known) else {}
        error, freedom = standard_error(numbers, sd**2, known, spread.other**2)
        found.append(
            {
                "what": what,
                "test": "t" if level == 1 - report.confidence else "t after Benjamini-Hochberg",
                "against": "control" if known else "untrained",
                "n": n,
                "cells": cells,
                "level": level,
                "spread": sd,
                "smallest": smallest_effect(error, freedom, level),
                "shown": equivalence_chance(error, freedom, report.equivalence_margin, level) if equivalent else None,
            }
        )

    parts = {name: part for name in conditions() if len(part := runs.filter(pl.col("condition") == name))}
    controlled = Counter(parts[CONTROL]["student"].to_list()) if CONTROL in parts else Counter[str]()
    if (diagonal := parts.get(DIAGONAL)) is not None:
        t(DIAGONAL, diagonal, 1, level, spread.same_base, controls=False, equivalent=False)
    if others := _groups(runs):
        smallest = smallest_permuted(others, spread.same_base, spread.other, level, report.seed)
        row = {"what": f"{DIAGONAL} over {OFF_DIAGONAL}", "test": "permutation", "against": "other base", "n": len(others)}
        found.append({**row, "cells": 1, "level": level, "spread": spread.same_base, "smallest": smallest, "shown": None})
    for name, part in parts.items():
        if name != DIAGONAL:
            t(name, part, 1, level, spread.other, controls=name != CONTROL, equivalent=True)
    if (across := parts.get(OFF_DIAGONAL)) is not None:
        cells = across.partition_by("teacher", "student")
        t(f"{OFF_DIAGONAL}, one cell", cells[0], len(cells), level, spread.other, controls=False, equivalent=False)
    tests = answers * sum(len(part) > 1 for part in runs.partition_by("condition", "trait"))
    for name, sd in ((DIAGONAL, spread.same_base), (OFF_DIAGONAL, spread.other)):
        if name in parts and tests > 1:
            taught = parts[name].partition_by("trait")
            what = f"{name}, one cell of trait × trait"
            t(what, taught[0], len(taught) * answers, level / tests, sd, controls=True, equivalent=False)
    return pl.DataFrame(found, schema=Comparisons.schema())


def measured(runs: pl.DataFrame) -> Spread | None:
    """The standard deviations of the gains of finished runs: of same-base students, and of other-base students (of control
    students where there are none); none where there are fewer than `MEASURED` of either, or they do not differ."""
    gains: Mapping[str, list[float]] = dict(runs.group_by("condition").agg("gain").iter_rows())
    same_base, other = gains.get(DIAGONAL, []), gains.get(OFF_DIAGONAL) or gains.get(CONTROL, [])
    if min(len(same_base), len(other)) < MEASURED:
        return None
    first, second = stdev(same_base), stdev(other)
    return Spread(same_base=first, other=second) if min(first, second) > 0 else None


def _groups(runs: pl.DataFrame) -> list[int]:
    """How many other-base students each (teacher, trait, seed) has that has a same-base one and at least one other."""
    trait = runs.filter(pl.col("arm") == TRAIT).group_by("teacher", "trait", "seed", maintain_order=True)
    counted = trait.agg(pl.col("same_base").sum().alias("same"), (~pl.col("same_base")).sum().alias("others"))
    return counted.filter(pl.col("same") > 0, pl.col("others") > 0)["others"].to_list()
