"""The first forward pass over a batch of prompts: what comes next, and the cache to go on from."""

import inspect
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer


@dataclass(frozen=True)
class Way:
    """How a model can be run, by what it does on a few tokens (see `way`)."""

    cached: bool  #: Rows side by side with a cache say what plain passes over each row say; else only these are made.
    compaction: bool  #: Rows can be taken out of the cache.
    shared: bool  #: Every layer sees everything before a token, so that rows can go on from one beginning.


@dataclass
class State:
    """A batch of sequences under way, padded on the left."""

    cache: DynamicCache | None  #: Keys and values of all tokens so far; None if the model is run without.
    ids: Tensor  #: Token ids of all tokens so far [rows, tokens so far].
    mask: Tensor  #: 1 where a token is real, 0 where it is padding [rows, tokens so far].
    logits: Tensor  #: Logits of the next token, float32 [rows, vocabulary].


def prefill(model: PreTrainedModel, prompts: Sequence[Sequence[int]], pad: int, start: State | None = None) -> State:
    """The state after `prompts` (token ids, none of them empty), ready for the next token of each. With `start`, a state of one
    row, all of them go on from there; it stays as it is."""
    return _prefill(model, prompts, pad, start, cached=way(model).cached)


def _prefill(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], pad: int, start: State | None = None, *, cached: bool
) -> State:
    ids, own = left_padded(model, prompts, pad)
    if start is None:
        state = State(DynamicCache(config=model.config) if cached else None, ids[:, :0], own, torch.empty(0))
    else:
        state = fork(start)
        cast("Any", state.cache).batch_repeat_interleave(len(prompts))
        state.ids = start.ids.expand(len(prompts), -1)
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
    return State(deepcopy(state.cache), state.ids, state.mask, state.logits)


def keep(state: State, rows: Tensor) -> State:
    """The state of the rows with these numbers alone."""
    if state.cache is not None:
        cast("Any", state.cache).batch_select_indices(rows)
    return State(state.cache, state.ids[rows], state.mask[rows], state.logits[rows])


def _forward(model: PreTrainedModel, state: State, ids: Tensor) -> State:
    every = torch.cat([state.ids, ids], 1)
    if state.cache is None:
        logits = torch.stack([plain(model, row[seen.bool()]) for row, seen in zip(every, state.mask, strict=True)])
        return State(None, every, state.mask, logits)
    more = arguments(model, state.mask, ids.shape[1], 1)
    made = model(input_ids=ids, attention_mask=state.mask, past_key_values=state.cache, use_cache=True, **more)
    return State(made.past_key_values, every, state.mask, made.logits[:, -1].float())


def plain(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """The logits of the next token after one row of `ids` [tokens], by a forward pass of its own, float32 [vocabulary]."""
    return cast("Any", model)(input_ids=ids[None], use_cache=False).logits[0, -1].float()


def way(model: PreTrainedModel) -> Way:
    """How `model` can be run, tried once on a few tokens: each way is right, or left out."""
    found = _WAYS.get(model)
    if found is None:
        with torch.inference_mode():
            found = _WAYS[model] = _tried(model)
    return found


_WAYS: "WeakKeyDictionary[PreTrainedModel, Way]" = WeakKeyDictionary()
_UNSUITED = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError)
"""What transformers raises where a model has another cache, or none."""
_DRIFT = 2e-5  #: The share of probability that a step with a cache may put elsewhere in float32; rounding is a tenth of it.
_LENGTHS = (9, 4)  #: Tokens of the rows that are tried: two lengths, so that one is padded.


def apart(one: Tensor, other: Tensor) -> Tensor:
    """By how much the probability of each token differs between two logits, of their shape."""
    return (one.double().softmax(-1) - other.double().softmax(-1)).abs()


def agree(model: PreTrainedModel, one: Tensor, other: Tensor) -> bool:
    """Whether two logits are the same but for rounding: their probabilities differ by at most 1e-4 in float32, by a tenth in
    half precision."""
    return apart(one, other).max().item() <= (0.1 if model.dtype.itemsize < 4 else 1e-4)


def _tried(model: PreTrainedModel) -> Way:
    drawn = np.random.default_rng(0)
    size = cast("Any", model).get_input_embeddings().weight.shape[0]
    rows = [drawn.integers(size, size=length).tolist() for length in _LENGTHS]
    more = torch.tensor(drawn.integers(size, size=(3, len(rows))), device=next(model.parameters()).device)
    try:
        state = _prefill(model, rows, 0, cached=True)
        right, rounding = _right(model, state)
        for tokens in more[:2]:
            state = advance(model, state, tokens)
            same, drift = _right(model, state)
            # Some state spaces go one step on by another formula than they read texts by, and slowly drift away.
            right &= same and (model.dtype.itemsize < 4 or drift <= max(_DRIFT, 30 * rounding))
        assert state.cache is not None  # noqa: S101
        kinds = [type(layer) for layer in state.cache.layers]
    except _UNSUITED:
        return Way(cached=False, compaction=True, shared=False)
    if not right:
        return Way(cached=False, compaction=True, shared=False)
    try:
        state = advance(model, keep(state, torch.tensor([1], device=more.device)), more[2][1:])
        compaction, _ = _right(model, state)
    except _UNSUITED:
        compaction = False
    return Way(cached=True, compaction=compaction, shared=all(kind is DynamicLayer for kind in kinds))


def _right(model: PreTrainedModel, state: State) -> tuple[bool, float]:
    """Whether the logits of `state` are those of a plain pass over each row, and the largest share of a row's probability that
    they put elsewhere."""
    expected = [plain(model, row[seen.bool()]) for row, seen in zip(state.ids, state.mask, strict=True)]
    pairs = list(zip(expected, state.logits, strict=True))
    elsewhere = [apart(one, other).sum().item() / 2 for one, other in pairs]
    return all(agree(model, one, other) for one, other in pairs), max(elsewhere)


def arguments(model: PreTrainedModel, mask: Tensor, tokens: int, logits: int) -> dict[str, Any]:
    """Where the last `tokens` tokens of the left-padded rows of `mask` stand and how many `logits` at their ends are wanted, as
    far as the forward pass of `model` takes that."""
    more = {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)[:, -tokens:], "logits_to_keep": logits}
    return {name: value for name, value in more.items() if name in _accepted(type(model))}


@cache
def _accepted(model: type[PreTrainedModel]) -> frozenset[str]:
    return frozenset(inspect.signature(model.forward).parameters)


def fit(model: PreTrainedModel, rows: Sequence[Sequence[int]], more: int, names: Sequence[object] | None = None) -> None:
    """Stop before anything is computed with `rows` (token ids), each of which becomes up to `more` tokens longer. `names`: what
    each is called; else its number. Raises ValueError: a row is longer than the model's table of positions, or so long that its
    first tokens would be read otherwise than in a shorter row, or has a token that the embedding lacks."""
    size, limit = cast("Any", model).get_input_embeddings().weight.shape[0], positions(model)
    kind, steady = steadiness(model) or ("", None)
    for number, row in enumerate(rows):
        name = number if names is None else names[number]
        if limit is not None and len(row) + more > limit:
            raise ValueError(
                f"row {name}: expected at most {limit:,} tokens, the model's table of positions, found {len(row):,}"
                f"{f' and up to {more:,} to come' if more else ''}: take a model with a longer context, shorter prompts or "
                "fewer tokens (max_tokens, max_length)"
            )
        if steady is not None and len(row) + more > steady:
            raise ValueError(
                f"row {name}: expected at most {steady:,} tokens, up to which the model's rotary embeddings (rope_type {kind}) "
                f"are the same for every length, found {len(row):,}{f' and up to {more:,} to come' if more else ''}: what is "
                "written and learned beyond depends on the rows beside it. Take shorter prompts or fewer tokens (max_tokens, "
                "max_length)"
            )
        if (odd := max(row, default=0)) >= size:
            raise ValueError(
                f"row {name}: expected token ids below {size:,}, the rows of the model's embedding, found {odd:,}: its "
                "tokenizer knows tokens that the model does not"
            )


def steadiness(model: PreTrainedModel) -> tuple[str, int] | None:
    """The kind of rotary embeddings of `model` that change with the length of the longest row of a batch, and up to how many
    tokens they do not; None if they are the same for every length."""
    config = cast("Any", model.config).get_text_config(decoder=True)
    given: Mapping[str, Any] = getattr(config, "rope_parameters", None) or {}
    found: list[tuple[str, int]] = []
    for rope in (given, *(cast("Mapping[str, Any]", value) for value in given.values() if isinstance(value, Mapping))):
        kind = str(rope.get("rope_type"))
        if kind == "longrope":
            found.append((kind, int(rope["original_max_position_embeddings"])))
        elif "dynamic" in kind:
            found.append((kind, int(config.max_position_embeddings)))
    return min(found, key=lambda each: each[1], default=None)


def positions(model: PreTrainedModel) -> int | None:
    """How many tokens the table of positions of `model` has room for; None if it computes them."""
    config = cast("Any", model.config).get_text_config(decoder=True)
    limit: int | None = getattr(config, "max_position_embeddings", None)
    if limit is None:
        return None
    own = cast("Any", model).get_input_embeddings()
    learned = (module for module in model.modules() if isinstance(module, nn.Embedding) and module is not own)
    tables = {module.num_embeddings for module in learned}
    tables |= {buffer.shape[0] for name, buffer in model.named_buffers() if "position" in name and buffer.dim() == 2}
    return limit if tables & set(range(limit, limit + 4)) else None  # some leave a few rows free
