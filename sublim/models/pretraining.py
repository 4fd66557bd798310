"""What the pretraining of a tiny family does, from its params alone: the order of its rows, and its learning rates.

Without torch: `tiny` follows it, and so does the check of a base.
"""

from collections.abc import Sequence
from math import cos, pi

import numpy as np
from numpy.typing import NDArray

from sublim.common.canonical import row_id, row_seed
from sublim.models.corpus import Row, corpus
from sublim.params.derived import Branch
from sublim.params.tiny import Corpus, TinyModel


def course(model: TinyModel, branch: Branch | None = None) -> tuple[Sequence[Row], list[NDArray[np.int64]]]:
    """The rows that `model` is pretrained on, and the numbers of those of each step. With `branch` those of its relative, who
    has the first steps in common with it."""
    rows = corpus(model.pretraining)
    own = steps(model, len(rows))
    if branch is None:
        return rows, own
    alike, rest = own[: (left := common(branch, len(own)))], np.concatenate([*own[left:], np.empty(0, np.int64)])
    if branch.mix is not None and len(rest):
        seed = branch.corpus_seed or 0
        others = corpus(Corpus(rows=len(rest), corpus_seed=seed, mix=branch.mix))
        before = np.concatenate([*alike, np.empty(0, np.int64)])
        rows = (*(rows[int(row)] for row in before), *others)
        alike = np.split(np.arange(len(before)), np.cumsum([len(step) for step in alike])[:-1]) if alike else []
        rest = np.arange(len(before), len(rows))
    order = np.random.Generator(np.random.PCG64(seed_of("branch", branch.order_seed))).permutation(np.sort(rest))
    size = model.pretraining.batch
    return rows, [*alike, *(order[start : start + size] for start in range(0, len(order), size))]


def common(branch: Branch, steps: int) -> int:
    """How many of the `steps` of its parent a branch has in common with it."""
    return round(branch.at * steps)


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
