"""The story of what was trained here, adapters or all weights: of its steps, and of what they made of its base."""

from collections.abc import Iterator

import polars as pl

from sublim.evidence import adapter, training, whole
from sublim.evidence.accident import Accident
from sublim.evidence.source import Source
from sublim.learn import schedule
from sublim.params.learning import Finetune


def finetuned(source: Source, cell: str, base: str, what: str, rows: pl.Series | None, recipe: Finetune) -> Iterator[Accident]:
    """What does not hold in the weights of `cell`, trained from its input `base`, and in the steps by which they were trained
    on `rows` (ids), which are `what`; None if it is not known which rows these are."""
    yield from training.finetuned(source, cell, what, rows, recipe)
    if recipe.adapters is None:
        yield from whole.trained(source, cell, base)
    else:
        travel = schedule.travel(recipe, 0 if rows is None else len(rows))
        yield from adapter.trained(source, cell, base, recipe.adapters, travel)
