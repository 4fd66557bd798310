"""What runs are compared as, from the arms: a *condition* is an arm and, where it matters, whether the student has the base
of the model that wrote its rows.

`diagonal`: a student of the teacher's base, trained on the trait teacher's rows; `off_diagonal`: of another base; `control`:
rows of an untouched base, any pair; for each shuffle its own name, with `_off_diagonal` behind it for a student of another
base; `random`: rows that no model wrote, teacher `none`.
"""

from collections.abc import Iterable, Mapping

import polars as pl

from sublim.arms.arm import Arm, Condition
from sublim.params.kinds import every

TRAIT = "trait"  #: The arm whose gains are asked about.
DIAGONAL, OFF_DIAGONAL = "diagonal", "off_diagonal"  #: Its conditions.
CONTROL = "control"  #: The arm, and the condition, that gains are set against.


def arms() -> Mapping[str, Arm]:
    """Name → arm, in order."""
    return every("arms")


def conditions() -> dict[str, Condition]:
    """Name → condition, in the order of tables and figures."""
    found = [condition for arm in arms().values() for condition in arm.conditions]
    return {condition.name: condition for condition in sorted(found, key=lambda each: each.place)}


def condition_words() -> dict[str, str]:
    """Name → what figures call it, of all conditions."""
    return {name: condition.words for name, condition in conditions().items()}


def condition() -> pl.Expr:
    """The condition of a run, from teacher, student and arm."""
    same = pl.col("teacher") == pl.col("student")
    found = pl.col("arm")
    for name, arm in arms().items():
        own, other = (pl.lit(arm.conditions[place].name) for place in (0, -1))
        found = pl.when(pl.col("arm") == name).then(pl.when(same).then(own).otherwise(other)).otherwise(found)
    return found.alias("condition")


def rank(column: str, names: Iterable[str]) -> pl.Expr:
    """The place of a column's value among `names`, to sort by; what is not among them comes last."""
    places = {name: place for place, name in enumerate(names)}
    return pl.col(column).replace_strict(places, default=len(places), return_dtype=pl.Int64)
