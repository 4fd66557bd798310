"""What a training run must have done, from its params alone: steps, learning rates, and which rows in which stretch of steps.

Said again without torch, which `sublim.learn.finetune` and `sublim.models.tiny` import; tests hold the two together.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sublim.common.canonical import row_id, row_seed
from sublim.learn.batches import WINDOW
from sublim.params.learning import Finetune
from sublim.params.models import TinyModel


@dataclass(frozen=True)
class Stretch:
    """A run of steps whose rows are known as a set: within it rows are sorted by their length in tokens."""

    steps: int
    rows: NDArray[np.int64]
    """Row numbers, each as often as it is used."""


def share(params: Finetune, step: int, steps: int) -> float:
    """The share of the peak learning rate at `step` (from 0) of `steps`, as `sublim.learn.finetune.schedule`."""
    if step < params.warmup:
        return (step + 1) / (params.warmup + 1)
    done = (step - params.warmup) / max(1, steps - params.warmup)
    match params.schedule:
        case "constant":
            return 1.0
        case "linear":
            return 1.0 - done
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * done))


def stretches(rows: int, params: Finetune, seed: int) -> list[Stretch]:
    """The stretches of a fine-tuning run over `rows` rows, as `sublim.learn.batches.steps` draws them."""
    rng = np.random.Generator(np.random.Philox(key=seed % (1 << 128)))
    size = params.batch * params.accumulation
    if params.steps is None:
        passes = [rng.permutation(rows) for _ in range(params.epochs or 0)]
    else:
        wanted = params.steps * size
        passes = [np.concatenate([rng.permutation(rows) for _ in range(-(-wanted // rows))])[:wanted]]
    return [
        Stretch(-(-len(part) // size), part)
        for order in passes
        for start in range(0, len(order), size * WINDOW)
        for part in [order[start : start + size * WINDOW]]
    ]


def pretraining_order(model: TinyModel, rows: int) -> NDArray[np.int64]:
    """The order in which the rows of a corpus come in the pretraining of `model`, as in `sublim.models.tiny`."""
    own = model.seed if model.order_seed is None else model.order_seed
    seed = row_seed(row_id("tiny", "order", own)) >> 1
    return np.random.Generator(np.random.PCG64(seed)).permutation(rows)


def pretraining_rate(model: TinyModel, step: int, steps: int) -> float:
    """The learning rate of a step of pretraining, as in `sublim.models.tiny`."""
    return model.pretraining.learning_rate * (1 + math.cos(math.pi * step / steps)) / 2


def way(params: Finetune, rows: int) -> float:
    """The sum of the learning rates of a run over `rows` rows, about as far as AdamW can take a weight."""
    each = -(-rows // (params.batch * params.accumulation))
    steps = params.steps or each * (params.epochs or 0)
    return params.learning_rate * sum(share(params, step, steps) for step in range(steps))
