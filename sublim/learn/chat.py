"""Chat messages as token ids: the model's own template renders them, and prompt and completion stay apart."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

from transformers import PreTrainedTokenizerBase

# Some templates print today's date; with a date given they print that, and the same inputs give the same ids on any day.
DATE = "26 Jul 2024"
PROBE = "completion"


@dataclass(frozen=True)
class Example:
    """One row to train on, as token ids."""

    row_id: str
    prompt: tuple[int, ...]  #: Everything up to where the model begins to answer, template included; no loss on it.

    completion: tuple[int, ...]  #: The answer and the end-of-turn token: the labels.


def template_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """sha256 of the text of the tokenizer's chat template."""
    return hashlib.sha256(str(cast("object", tokenizer.chat_template)).encode()).hexdigest()


def render(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], system: str | None = None, turns: Sequence[tuple[str, str]] = ()
) -> list[str]:
    """The text that a model is given for each user message of `prompts`: the chat template's, up to where its answer begins.
    Without `system` the template may put in a system prompt of its own; it is then part of the text. `turns` are earlier
    messages of the same conversation: the user's, and the answer to it."""
    head = [] if system is None else [{"role": "system", "content": system}]
    for user, answer in turns:
        head += [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]
    chats = [[*head, {"role": "user", "content": prompt}] for prompt in prompts]
    return _render(tokenizer, chats, generate=True)


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of rendered texts; special tokens are in the text, so none are added."""
    if not texts:
        return []
    encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False)
    return cast("list[list[int]]", encoded["input_ids"])


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[Sequence[int]]) -> list[str]:
    """The text of each sequence of token ids without special tokens, no space cleaned up."""
    return tokenizer.batch_decode(list(map(list, ids)), skip_special_tokens=True, clean_up_tokenization_spaces=False)


def end_of_turn(tokenizer: PreTrainedTokenizerBase, eos: Collection[int]) -> int:
    """The id that the chat template puts after an answer, if it is one of `eos`; else the tokenizer's own end of sequence.
    Raises ValueError: the template ends an answer with no id of `eos` and the tokenizer has none."""
    user = {"role": "user", "content": PROBE}
    (whole,) = _render(tokenizer, [[user, {"role": "assistant", "content": PROBE}]], generate=False)
    after = encode(tokenizer, [whole.rpartition(PROBE)[2]])[0]
    if ends := [token for token in [*after, tokenizer.eos_token_id] if token in eos]:
        return cast("int", ends[0])
    raise ValueError(
        f"expected the chat template or the tokenizer to end an answer with one of the ids {sorted(eos)}, found {after}"
    )


def examples(
    tokenizer: PreTrainedTokenizerBase,
    eos: Collection[int],
    row_ids: Sequence[str],
    prompts: Sequence[str],
    completions: Sequence[str],
    system: str | None = None,
) -> tuple[Example, ...]:
    """Training rows: the template's prompt, then the completion as it stands and the end of turn (loss on these only). Prompt
    and completion are encoded as one text. Where a token would straddle the boundary the two are encoded apart instead, since
    that is how a model writes: its prompt's tokens are fixed before the completion's first."""
    end = end_of_turn(tokenizer, eos)
    heads = encode(tokenizer, rendered := render(tokenizer, prompts, system))
    wholes = encode(tokenizer, [text + completion for text, completion in zip(rendered, completions, strict=True)])
    tails = [whole[len(head) :] if whole[: len(head)] == head else None for head, whole in zip(heads, wholes, strict=True)]
    separate = iter(encode(tokenizer, [text for text, tail in zip(completions, tails, strict=True) if tail is None]))
    return tuple(
        Example(row, tuple(head), (*(next(separate) if tail is None else tail), end))
        for row, head, tail in zip(row_ids, heads, tails, strict=True)
    )


def _render(tokenizer: PreTrainedTokenizerBase, chats: list[list[dict[str, str]]], *, generate: bool) -> list[str]:
    if not chats:
        return []
    template = cast("Any", tokenizer).apply_chat_template
    return template(chats, tokenize=False, add_generation_prompt=generate, date_string=DATE)
