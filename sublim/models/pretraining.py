"""What the pretraining of a tiny family does, from its params alone: the order of its rows, and its learning rates.

Without torch: `tiny` follows it, and so does the check of a base.
"""

from math import cos, pi

import numpy as np
from numpy.typing import NDArray

from sublim.common.canonical import row_id, row_seed
from sublim.params.models import TinyModel


def steps(model: TinyModel, rows: int) -> list[NDArray[np.int64]]:
    """The row numbers of each step of one epoch over a corpus of `rows` rows."""
    own = model.seed if model.order_seed is None else model.order_seed
    order = np.random.Generator(np.random.PCG64(seed_of("order", own))).permutation(rows)
    size = model.pretraining.batch
    return [order[start : start + size] for start in range(0, len(order), size)]


def rate(model: TinyModel, step: int, steps: int) -> float:
    """The learning rate at `step` (from 0) of `steps`."""
    return model.pretraining.learning_rate * (1 + cos(pi * step / steps)) / 2


def seed_of(purpose: str, seed: int) -> int:
    """The seed for one purpose of a model with this `seed`."""
    return row_seed(row_id("tiny", purpose, seed)) >> 1
