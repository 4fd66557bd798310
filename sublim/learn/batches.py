"""Which rows each optimizer step sees: an order from a seed, rows of like length together so that little is padding."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from sublim.learn import schedule
from sublim.params.learning import Finetune

Step = tuple[tuple[int, ...], ...]  #: The row numbers of each forward pass of a step.


def steps(lengths: Sequence[int], params: Finetune, seed: int, *, paired: bool = False) -> tuple[Step, ...]:
    """The steps of a training run over rows of `lengths` tokens: row numbers per forward pass, in order. Within each of its
    `schedule.stretches` like lengths come together, in steps of random order. Raises ValueError: there are no rows."""
    if not lengths:
        raise ValueError("expected rows to train on, found none")
    drawn = schedule.generator(seed)
    stretches = schedule.stretches(len(lengths), params, drawn, paired=paired)
    return tuple(step for stretch in stretches for step in _bucketed(stretch.rows, np.asarray(lengths), params, drawn))


def _bucketed(window: np.ndarray, lengths: np.ndarray, params: Finetune, drawn: np.random.Generator) -> list[Step]:
    size, batch = params.batch * params.accumulation, params.batch
    window = window[np.argsort(lengths[window], kind="stable")]
    chunks = [window[n : n + size] for n in range(0, len(window), size)]
    ordered = (cast("list[int]", chunks[chunk].tolist()) for chunk in drawn.permutation(len(chunks)))
    return [tuple(tuple(rows[n : n + batch]) for n in range(0, len(rows), batch)) for rows in ordered]
