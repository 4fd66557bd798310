"""The first forward pass over a batch of prompts: what comes next, and the cache to go on from."""

import inspect
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel


@dataclass
class State:
    """A batch of sequences under way, padded on the left."""

    cache: DynamicCache  #: Keys and values of all tokens so far.
    mask: Tensor  #: 1 where a token is real, 0 where it is padding [rows, tokens so far].
    logits: Tensor  #: Logits of the next token, float32 [rows, vocabulary].


def prefill(model: PreTrainedModel, prompts: Sequence[Sequence[int]], pad: int, start: State | None = None) -> State:
    """The state after `prompts` (token ids, none of them empty), ready for the next token of each. With `start`, a state of one
    row, all of them go on from there; it stays as it is."""
    ids, own = left_padded(model, prompts, pad)
    if start is None:
        state = State(DynamicCache(config=model.config), own, torch.empty(0))
    else:
        state = fork(start)
        cast("Any", state.cache).batch_repeat_interleave(len(prompts))
        state.mask = torch.cat([start.mask.expand(len(prompts), -1), own], 1)
    return _forward(model, state, ids)


def left_padded(model: PreTrainedModel, texts: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Token ids filled up with `pad` on the left, and 1 where they are real, 0 elsewhere, where `model` is [texts, longest]."""
    longest = max(map(len, texts))
    ids = np.full((len(texts), longest), pad, dtype=np.int64)
    mask = np.zeros((len(texts), longest), dtype=np.int64)
    for row, text in enumerate(texts):
        ids[row, longest - len(text) :] = text
        mask[row, longest - len(text) :] = 1
    device = next(model.parameters()).device
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def shared(prompts: Sequence[Sequence[int]]) -> Sequence[int]:
    """The longest beginning that all `prompts` share and that leaves at least one token of each."""
    shortest = min(map(len, prompts))
    end = next((place for place in range(shortest) if len({prompt[place] for prompt in prompts}) > 1), shortest)
    return prompts[0][: min(end, shortest - 1)]


def advance(model: PreTrainedModel, state: State, tokens: Tensor) -> State:
    """The state after one more token per row [rows]."""
    state.mask = torch.cat([state.mask, state.mask.new_ones(len(tokens), 1)], 1)
    return _forward(model, state, tokens[:, None])


def fork(state: State) -> State:
    """A copy to go on from in another way; `state` stays as it is."""
    return State(deepcopy(state.cache), state.mask, state.logits)


def keep(state: State, rows: Tensor) -> State:
    """The state of the rows with these numbers alone."""
    cast("Any", state.cache).batch_select_indices(rows)
    return State(state.cache, state.mask[rows], state.logits[rows])


def _forward(model: PreTrainedModel, state: State, ids: Tensor) -> State:
    more = arguments(model, state.mask, ids.shape[1], 1)
    made = model(input_ids=ids, attention_mask=state.mask, past_key_values=state.cache, use_cache=True, **more)
    return State(made.past_key_values, state.mask, made.logits[:, -1].float())


def arguments(model: PreTrainedModel, mask: Tensor, tokens: int, logits: int) -> dict[str, Any]:
    """Where the last `tokens` tokens of the left-padded rows of `mask` stand and how many `logits` at their ends are wanted, as
    far as the forward pass of `model` takes that."""
    more = {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)[:, -tokens:], "logits_to_keep": logits}
    return {name: value for name, value in more.items() if name in _accepted(type(model))}


@cache
def _accepted(model: type[PreTrainedModel]) -> frozenset[str]:
    return frozenset(inspect.signature(model.forward).parameters)
