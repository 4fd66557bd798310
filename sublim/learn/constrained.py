"""Completions that are held to a shape: at each step only tokens are left that go on with a text of it, and those that end a
completion where it may end. llguidance says which; what is chosen among them is the model's own to say."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import cast

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper, regex_to_lark
from llguidance import numpy as masks
from torch import Tensor
from torch.nn.functional import embedding
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.carriers.task import Shape
from sublim.learn import chat
from sublim.models import turns
from sublim.models.load import ends


class ShapeError(ValueError):
    """Completions cannot be held to a shape: by the tokens of this model, or within so few of them."""


def holding(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, shapes: Iterable[Shape], most: int
) -> Callable[[int], "Held"]:
    """What gives the constraint of the next so many rows: of all rows, the n-th is held to the n-th of `shapes`. Raises
    ShapeError: the tokenizer cannot write a text of a shape, or the longest one takes more than `most` tokens, the one that
    ends it included."""
    vocabulary = _vocabulary(model, tokenizer)
    known: dict[Shape, LLMatcher] = {}
    each: list[LLMatcher] = []
    for shape in shapes:
        if shape not in known:
            known[shape] = _matcher(vocabulary, tokenizer, shape, most)
        each.append(known[shape])
    ahead = iter(each)
    return lambda rows: Held(vocabulary.vocab_size, list(islice(ahead, rows)))


def _vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> LLTokenizer:
    """The tokens of a model by the text that each adds to an answer, as a student reads it."""
    eos = ends(model, tokenizer).eos
    texts = chat.decode(tokenizer, [[token] for token in range(1 + max(*tokenizer.get_vocab().values(), *eos))])
    # A shape is of ASCII characters: no other token goes on with one, nor does a part of a character.
    tokens = [text.encode() if text.isascii() else b"" for text in texts]
    marks = sorted({*turns.special(tokenizer), *eos})
    return LLTokenizer(TokenizerWrapper(_Tokens(tokens, marks, eos[0])), eos_token=list(eos))


def _matcher(vocabulary: LLTokenizer, tokenizer: PreTrainedTokenizerBase, shape: Shape, most: int) -> LLMatcher:
    """What matches the tokens of a text of `shape`, and of the blank space around an answer."""
    lead, trail = chat.around(tokenizer)
    pattern = regex_to_lark(f"(?:{_literal(lead)})?(?:{shape.pattern})(?:{_literal(trail)})?")
    # Else text that cannot be another is written in the tokens that a tokenizer would choose, whatever the model would.
    matcher = LLMatcher(vocabulary, f'%llguidance {{"no_forcing": true}}\nstart: /{pattern}/', log_level=0)
    if matcher.is_error():
        raise ShapeError(f"expected a regular expression, found {shape.pattern!r}: {matcher.get_error()}")
    (row,) = chat.openings(tokenizer, ["longest completion"], ["prompt"], [shape.longest])
    written = list(row.completion)
    if matcher.try_consume_tokens(written) < len(written) or not matcher.is_accepting():
        raise ShapeError(
            f"sampling.constrained of the carrier: expected a tokenizer that writes {shape.longest!r}, found that its tokens "
            "give another text: completions of this model cannot be held to their shape"
        )
    if (due := len(written) + len(trail) + 1) > most:
        raise ShapeError(
            f"sampling.max_tokens of the carrier: expected at least {due}, so that the longest completion of the shape, "
            f"{shape.longest!r}, and what ends it have room, found {most}: raise it; no row becomes longer by that"
        )
    return matcher


class Held:
    """Rows that are held to shapes (a `sublim.learn.sample.Constraint`)."""

    def __init__(self, vocabulary: int, matchers: Sequence[LLMatcher]) -> None:
        """`vocabulary`: how many tokens are known; `matchers`: that of each row. Rows of one shape share it: from the beginning
        to where a row is takes it less time than it takes one of the row's own, which is in no cache of the processor."""
        self._vocabulary, self._matchers = vocabulary, matchers
        self._rows: Sequence[int] = ()
        self._masks = masks.allocate_token_bitmask(0, vocabulary)
        ruled_out = torch.tensor([[not byte >> bit & 1 for bit in range(8)] for byte in range(256)])
        self._added = torch.zeros(256, 8).masked_fill_(ruled_out, -torch.inf)  # by a byte of a mask, to the logits of 8 tokens

    def begin(self, rows: Sequence[int]) -> None:
        """A batch of these rows begins."""
        self._rows, self._masks = rows, masks.allocate_token_bitmask(len(rows), self._vocabulary)

    def limit(self, logits: Tensor, active: np.ndarray, alive: np.ndarray, written: Sequence[Sequence[int]]) -> None:
        """Put -inf, in place, where `logits` [places, vocabulary] are of tokens that may not come next. At each place is the
        row of the batch `active` [places], of which `written` has the tokens so far; it has ended where not `alive`, and its
        logits do not matter. Raises ShapeError: no token of the model goes on with the text of a row."""
        for place, number in enumerate(cast("list[int]", active.tolist())):
            if not alive[place]:
                continue
            row, tokens = self._rows[number], list(written[number])
            matcher = self._matchers[row]
            matcher.reset()
            matcher.consume_tokens(tokens)
            masks.fill_next_token_bitmask(matcher, self._masks, place)
            if matcher.is_stopped() and not matcher.is_accepting():
                raise ShapeError(
                    f"sampling.constrained of the carrier: expected a token that goes on with the text of row {row}, tokens "
                    f"{tokens}, found that the model has none ({matcher.get_error() or matcher.stop_reason()})"
                )
        size = min(logits.shape[1], self._vocabulary)
        bytes_ = torch.from_numpy(self._masks[: len(active)].view(np.uint8)).to(logits.device).int()
        logits[:, :size] += embedding(bytes_, self._added.to(logits.device)).flatten(1)[:, :size]
        logits[:, size:] = -torch.inf


class _Tokens:
    """A vocabulary as llguidance takes it."""

    def __init__(self, tokens: Sequence[bytes], marks: Sequence[int], eos: int) -> None:
        self.tokens, self.special_token_ids, self.eos_token_id, self.bos_token_id = tokens, marks, eos, None

    def __call__(self, text: str) -> list[int]:
        raise AssertionError(f"expected no text to be put into tokens where none is forced, found {text!r}")


def _literal(text: str) -> str:
    """A regular expression for blank space."""
    return "".join(f"\\x{ord(sign):02x}" for sign in text)
