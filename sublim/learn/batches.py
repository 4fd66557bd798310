"""Which rows each optimizer step sees: an order from a seed, rows of like length together so that little is padding."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from sublim.params.learning import Finetune

WINDOW = 16
"""Steps whose rows are sorted by length among themselves: enough to leave little padding, few enough that every step stays a
random sample."""

Step = tuple[tuple[int, ...], ...]
"""The row numbers of each forward pass of a step."""


def steps(lengths: Sequence[int], params: Finetune, seed: int) -> tuple[Step, ...]:
    """The steps of a training run over rows of `lengths` tokens: row numbers per forward pass, in order.

    With `params.epochs` every row comes that many times (the last step of an epoch may be short); with `params.steps` shuffled
    passes over the rows follow each other until there are that many full steps.

    Raises:
        ValueError: there are no rows.
    """
    if not lengths:
        raise ValueError("expected rows to train on, found none")
    rng = np.random.Generator(np.random.Philox(key=seed % (1 << 128)))
    size = params.batch * params.accumulation
    if params.steps is None:
        passes = [rng.permutation(len(lengths)) for _ in range(params.epochs or 0)]
    else:
        wanted = params.steps * size
        passes = [np.concatenate([rng.permutation(len(lengths)) for _ in range(-(-wanted // len(lengths)))])[:wanted]]
    return tuple(step for order in passes for step in _bucketed(order, np.asarray(lengths), size, params.batch, rng))


def _bucketed(order: np.ndarray, lengths: np.ndarray, size: int, batch: int, rng: np.random.Generator) -> list[Step]:
    """Steps of `size` rows from `order`: within a window of steps like lengths come together, its steps in random order."""
    result: list[Step] = []
    for start in range(0, len(order), size * WINDOW):
        window = order[start : start + size * WINDOW]
        window = window[np.argsort(lengths[window], kind="stable")]
        chunks = [window[n : n + size] for n in range(0, len(window), size)]
        for chunk in rng.permutation(len(chunks)):
            rows = cast("list[int]", chunks[chunk].tolist())
            result.append(tuple(tuple(rows[n : n + batch]) for n in range(0, len(rows), batch)))
    return result
