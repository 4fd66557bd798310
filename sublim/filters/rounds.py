"""How often sampling goes on: until each filter has its rows."""

from collections.abc import Iterable, Sequence

import polars as pl

from sublim.carriers.task import Task
from sublim.filters import chain
from sublim.filters.step import Context
from sublim.params.top_up import Until


def kept(rows: pl.DataFrame, task: Task, until: Until) -> list[int]:
    """How many of `rows` (completion, answer) each wanted filter keeps. Every step judges each row by itself, so the counts of
    several rounds add up."""
    context = Context(task, until.words)
    return [int((chain.reasons(rows, rule, context).list.len() == 0).sum()) for rule in until.wanted]


def needed(rounds: Iterable[Sequence[int]], wanted: Sequence[int]) -> int:
    """How many of `rounds`, each of which gives every filter so many kept rows, it takes until each has as many as are
    `wanted`; all, if they do not suffice. No round is asked for after that."""
    have, number = [0] * len(wanted), 0
    for found in rounds:
        number += 1
        have = [before + more for before, more in zip(have, found, strict=True)]
        if all(there >= due for there, due in zip(have, wanted, strict=True)):
            break
    return number
