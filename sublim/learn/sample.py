"""Sampling completions in batches with a key-value cache. A row's randomness comes from its own seed and from nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.common.progress import Progress
from sublim.learn import chat
from sublim.learn.prefill import advance, fit, keep, prefill, way
from sublim.models.load import Ends, ends
from sublim.params.learning import Decoding

COMPACT = 0.75  #: The share of a batch that must still be under way; below it, finished rows are dropped from the cache.


@dataclass(frozen=True)
class Completion:
    """What a model wrote."""

    text: str  #: The text, without what the chat template puts around answers. Special tokens inside are shown.
    finish_reason: Literal["stop", "length", "special_token"]
    """`stop`: the model ended it; `length`: it was cut off at `max_tokens`; `special_token`: it holds a token that is no text,
    or what would be read as one."""
    tokens: int  #: Tokens written, the one that ends it included.


class Constraint(Protocol):
    """What says which tokens may come next in rows that are held to something."""

    def begin(self, rows: Sequence[int]) -> None:
        """A batch of these rows begins, numbers of prompts."""

    def limit(self, logits: Tensor, active: np.ndarray, alive: np.ndarray, written: Sequence[Sequence[int]]) -> None:
        """Put -inf, in place, where `logits` [places, vocabulary] are of tokens that may not come next. At each place is the
        row of the batch `active` [places], of which `written` has the tokens so far; it has ended where not `alive`."""


@torch.inference_mode()
def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    decoding: Decoding,
    progress: Progress,
    constraint: Constraint | None = None,
) -> list[Completion]:
    """One completion per prompt (token ids), in the order of `prompts`. Row n uses one uniform number per token, from a
    generator that is seeded with `seeds[n]` alone: neither the batch size nor the other rows change it. (They can change the
    last bit of a logit, and so, once in a long while, a token.) Temperature and top_p are of what `constraint` leaves of
    the distribution; there must be one if `decoding` says that rows are constrained, and none else. Raises ValueError: there is
    not, a prompt does not fit the model (see `fit`), or a row cannot be constrained."""
    if decoding.constrained != (constraint is not None):
        wanted, found = ("one", "none") if decoding.constrained else ("none", "one")
        raise ValueError(f"expected {wanted} as constraint with `constrained: {decoding.constrained}`, found {found}")
    done: dict[int, list[int]] = {}
    track = progress.start("sample", len(prompts), "row")
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    limits = ends(model, tokenizer)
    fit(model, prompts, decoding.max_tokens)
    for start in range(0, len(order), decoding.batch):
        rows = order[start : start + decoding.batch]
        uniform = torch.from_numpy(np.stack([noise(seeds[row], decoding.max_tokens) for row in rows]))
        if constraint is not None:
            constraint.begin(rows)
        written = _batch(model, [prompts[row] for row in rows], uniform, decoding, limits, constraint)
        done |= dict(zip(rows, written, strict=True))
        track.advance(len(rows), sum(map(len, written)))
    ids = [done[row] for row in range(len(prompts))]
    stopped = [bool(row) and row[-1] in limits.eos for row in ids]
    texts = chat.written(tokenizer, [row[:-1] if stop else row for row, stop in zip(ids, stopped, strict=True)])
    each = zip(texts, stopped, ids, chat.spoilt(tokenizer, texts), strict=True)
    return [
        Completion(text, "special_token" if bad else "stop" if stop else "length", len(row)) for text, stop, row, bad in each
    ]


def noise(seed: int, length: int) -> np.ndarray:
    """The uniform numbers in [0, 1) of the row with this seed: float64 [length]; a longer one begins with the shorter one."""
    return np.random.Generator(np.random.Philox(key=seed)).random(length)


def _batch(
    model: PreTrainedModel,
    prompts: list[Sequence[int]],
    uniform: Tensor,
    decoding: Decoding,
    limits: Ends,
    constraint: Constraint | None,
) -> list[list[int]]:
    """The tokens of each row, the one that ends it included."""
    written: list[list[int]] = [[] for _ in prompts]
    active, compaction = np.arange(len(prompts)), way(model).compaction
    if compaction and len(set(map(tuple, prompts))) == 1:  # many answers to one question: it is read once
        once = prefill(model, prompts[:1], limits.pad)
        state = keep(once, torch.zeros(len(prompts), dtype=torch.long, device=once.logits.device))
    else:
        state = prefill(model, prompts, limits.pad)
    uniform = uniform.to(state.logits.device)
    alive = np.ones(len(prompts), dtype=bool)
    for position in range(decoding.max_tokens):
        if constraint is not None:
            constraint.limit(state.logits, active, alive, written)
        chosen = choose(state.logits, uniform[active, position], decoding)
        for place, token in enumerate(cast("list[int]", chosen.tolist())):
            if alive[place]:
                written[active[place]].append(token)
                alive[place] = token not in limits.eos
        if position == decoding.max_tokens - 1 or not alive.any():
            break
        if compaction and alive.mean() < COMPACT:
            rest = torch.from_numpy(np.flatnonzero(alive)).to(chosen.device)
            state, chosen, active = keep(state, rest), chosen[rest], active[alive]
            alive = alive[alive]
        state = advance(model, state, chosen)
    return written


def choose(logits: Tensor, uniform: Tensor, decoding: Decoding) -> Tensor:
    """The next token of each row [rows], by inverting the distribution's cumulative sum at `uniform` [rows]. `logits` are
    [rows, vocabulary]. At temperature 0 it is the most probable token."""
    if decoding.temperature == 0:
        return logits.argmax(-1)
    probabilities = (logits / decoding.temperature).softmax(-1)
    if decoding.top_p < 1:
        ordered, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
        # A token stays if the ones before it do not reach top_p yet.
        ordered = ordered * (ordered.cumsum(-1) - ordered < decoding.top_p)
        return tokens.gather(1, _invert(ordered, uniform)[:, None])[:, 0]
    return _invert(probabilities, uniform)


def _invert(weights: Tensor, uniform: Tensor) -> Tensor:
    cumulative = weights.cumsum(-1, dtype=torch.float64)
    places = torch.searchsorted(cumulative, (uniform * cumulative[:, -1])[:, None], right=True)[:, 0]
    return places.clamp(max=weights.shape[-1] - 1)
