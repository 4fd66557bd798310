"""What a fine-tuning run does, from its params alone: learning rates, and which rows come in which stretch of steps.

Without torch: training follows it, and so do checks of what was trained.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sublim.common.canonical import row_id, row_seed
from sublim.params.learning import Finetune

WINDOW = 16
"""Steps whose rows are sorted by length among themselves: enough to leave little padding, few enough that every step stays a
random sample."""


@dataclass(frozen=True)
class Stretch:
    """A run of steps whose rows are known as a set: within it rows are sorted by their length in tokens."""

    steps: int
    rows: NDArray[np.int64]  #: Row numbers, each as often as it is used.


def share(params: Finetune, step: int, steps: int) -> float:
    """The share of the peak learning rate at `step` (from 0) of `steps`."""
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


_APART = ("teacher", "trait", "arm")  #: The dimensions in which paired runs differ.


def seed(stage: str, dims: Mapping[str, str | int], purpose: str, *, paired: bool = False) -> int:
    """The seed of a run's `purpose`: of its initial weights (`adapter`), or of the order of its rows (`order`). The run is the
    cell of `stage` with `dims`. Paired ones that differ only in who wrote their rows and what was done to these share it."""
    values = [value for name, value in dims.items() if not (paired and name in _APART)]
    return row_seed(row_id(stage, *values, purpose))


def generator(seed: int) -> np.random.Generator:
    """Where the order of a run comes from."""
    return np.random.Generator(np.random.Philox(key=seed % (1 << 128)))


def stretches(rows: int, params: Finetune, drawn: np.random.Generator, *, paired: bool = False) -> list[Stretch]:
    """The stretches of a run over `rows` rows, in order; `drawn` is a fresh `generator`. With `params.epochs` every row comes
    that many times (the last step of an epoch may be short); with `params.steps` shuffled passes over the rows follow each
    other until there are that many full steps. Of a paired run each step is a stretch of its own: which rows it has, by their
    numbers, then depends on no length."""
    window = 1 if paired else WINDOW
    size = params.batch * params.accumulation
    if params.steps is None:
        passes = [drawn.permutation(rows) for _ in range(params.epochs or 0)]
    else:
        wanted = params.steps * size
        passes = [np.concatenate([drawn.permutation(rows) for _ in range(-(-wanted // rows))])[:wanted]]
    return [
        Stretch(-(-len(part) // size), part)
        for order in passes
        for start in range(0, len(order), size * window)
        for part in [order[start : start + size * window]]
    ]


def length(params: Finetune, rows: int) -> int:
    """How many steps a run over `rows` rows has."""
    return params.steps or -(-rows // (params.batch * params.accumulation)) * (params.epochs or 0)


def travel(params: Finetune, rows: int) -> float:
    """About as far as a run over `rows` rows can take a weight; infinity where nothing bounds it. What decay takes from a
    weight is left out: it leaves sign and proportions as they were."""
    steps = length(params, rows)
    rates = params.learning_rate * sum(share(params, step, steps) for step in range(steps))
    return rates * _stride(params) if rates else 0.0


_USUAL = (1 - 0.9) / math.sqrt(1 - 0.999)


def _stride(params: Finetune) -> float:
    """About how far one update takes a weight at most, in learning rates."""
    if params.optimizer == "sgd":
        # An update is as long as the gradient, and momentum adds up those before it: only a bound of the gradient is one of it.
        return math.inf if params.max_grad_norm is None else params.max_grad_norm / (1 - params.momentum)
    # AdamW's bound is (1 - β₁)/√(1 - β₂), reached by a weight that has a gradient in one step alone. At the usual betas updates
    # stay below the learning rate, a third of it; others are taken to use as much of theirs.
    first, second = params.betas
    return max(1.0, (1 - first) / math.sqrt(1 - second) / _USUAL)
