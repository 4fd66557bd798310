"""Chat messages as token ids: the model's own template renders them, and prompt and completion stay apart."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from transformers import PreTrainedTokenizerBase

from sublim.models import turns as turning
from sublim.models.template import TemplateError
from sublim.models.turns import end_of_turn

if TYPE_CHECKING:
    from sublim.models.jinja import Message


@dataclass(frozen=True)
class Example:
    """One row to train on, as token ids."""

    row_id: str
    prompt: tuple[int, ...]  #: Everything up to where the model begins to answer, template included; no loss on it.

    completion: tuple[int, ...]  #: The answer and the end-of-turn token: the labels.


def template_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """sha256 of the text of the tokenizer's chat template."""
    return hashlib.sha256(turning.template(tokenizer).text.encode()).hexdigest()


def render(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], system: str | None = None, turns: Sequence[tuple[str, str]] = ()
) -> list[str]:
    """The text that a model is given for each user message of `prompts`: the chat template's, up to where its answer begins.
    Without `system` the template may put in a system prompt of its own; it is then part of the text. `turns` are earlier
    messages of the same conversation: the user's, and the answer to it. Raises TemplateError: the template cannot be rendered
    (see `sublim.models.template`), or leaves out what it is given."""
    return _asked(tokenizer, _chats(prompts, system, turns), system)


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of rendered texts; special tokens are in the text, so none are added."""
    if not texts:
        return []
    encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False)
    return cast("list[list[int]]", encoded["input_ids"])


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[Sequence[int]]) -> list[str]:
    """The text of each sequence of token ids behind other text, with no space cleaned up or left out at its beginning. Special
    tokens are shown: what stands around one was not written together."""
    (before,) = encode(tokenizer, [_ANCHOR])
    whole = tokenizer.batch_decode(
        [before, *([*before, *row] for row in ids)], skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return [text[len(whole[0]) :] for text in whole[1:]]


def written(tokenizer: PreTrainedTokenizerBase, ids: Sequence[Sequence[int]]) -> list[str]:
    """The answer that a model wrote by each sequence of token ids, without the token that ends it: its text less the blank
    space that the chat template, or the tokenizer behind a special token, itself puts around answers."""
    lead, trail = around(tokenizer)
    return [text.removeprefix(lead).removesuffix(trail) for text in decode(tokenizer, ids)]


def around(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    """The blank space in front of every answer, and between it and what ends it: both are no part of it."""
    template = turning.template(tokenizer)
    return _lead(tokenizer, template.text), template.form.trail


@lru_cache(maxsize=8)
def _lead(tokenizer: PreTrainedTokenizerBase, template: str) -> str:  # noqa: ARG001 - a tokenizer may be given another one
    """The blank space in front of every answer: the template's, and what a tokenizer puts before the first word behind a mark,
    which would be there twice in an answer that is trained on."""
    known, answer = turning.template(tokenizer).form.lead, "eagle"
    (row,) = openings(tokenizer, ["known answer"], ["prompt"], [answer])
    (text,) = decode(tokenizer, [row.completion])
    before, found, _ = text.partition(answer)
    return before if found and not before.strip(" ") else known


def spoilt(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[bool]:
    """Whether each text holds a special token, or what would be read as one."""
    marks = {mark for mark in turning.special(tokenizer).values() if mark.strip()}
    return [any(mark in text for mark in marks) for text in texts]


def examples(
    tokenizer: PreTrainedTokenizerBase,
    eos: Collection[int],
    row_ids: Sequence[str],
    prompts: Sequence[str],
    completions: Sequence[str],
    system: str | None = None,
) -> tuple[Example, ...]:
    """Training rows: the template's prompt, then the completion as the template writes it in a whole conversation and the end
    of turn (loss on these only). Raises TemplateError: as `render`, or a conversation does not begin with its prompt, or the
    template shortens or alters an answer."""
    form, end = turning.template(tokenizer).form, end_of_turn(tokenizer, eos)
    chats = _chats(prompts, system)
    asked = _asked(tokenizer, chats, system)
    answered = [
        [*chat, {"role": "assistant", "content": completion}] for chat, completion in zip(chats, completions, strict=True)
    ]
    wholes = turning.template(tokenizer).rendered(answered, generate=False)
    tails: list[str] = []
    for row, prompt, completion, whole in zip(row_ids, asked, completions, wholes, strict=True):
        if whole.startswith(prompt) and completion.strip() not in whole[len(prompt) :]:
            raise TemplateError(
                f"row {row}: expected the chat template to write the answer as it is, {completion[:60]!r}, found "
                f"{whole[len(prompt) :][:200]!r}"
            )
        if not whole.startswith(prompt):
            raise TemplateError(
                f"row {row}: expected the chat template to begin the conversation as it writes the prompt, found "
                f"{whole[-200:]!r}"
            )
        tails.append(whole[len(prompt) :].removesuffix(form.end))
    return _rows(tokenizer, row_ids, asked, tails, (end,))


def openings(
    tokenizer: PreTrainedTokenizerBase,
    row_ids: Sequence[str],
    prompts: Sequence[str],
    completions: Sequence[str],
    system: str | None = None,
) -> tuple[Example, ...]:
    """As `examples`, but nothing stands behind a completion: the answer may go on. Raises TemplateError: as `render`."""
    lead = turning.template(tokenizer).form.lead
    asked = _asked(tokenizer, _chats(prompts, system), system)
    return _rows(tokenizer, row_ids, asked, [lead + completion for completion in completions], ())


def _rows(
    tokenizer: PreTrainedTokenizerBase,
    row_ids: Sequence[str],
    prompts: Sequence[str],
    tails: Sequence[str],
    end: tuple[int, ...],
) -> tuple[Example, ...]:
    """Prompt and tail are encoded as one text. Where a token would straddle the boundary the tail is encoded apart instead,
    since that is how a model writes: its prompt's tokens are fixed before the completion's first."""
    heads = encode(tokenizer, prompts)
    wholes = encode(tokenizer, [prompt + tail for prompt, tail in zip(prompts, tails, strict=True)])
    return tuple(
        Example(row, tuple(head), (*(whole[len(head) :] if whole[: len(head)] == head else _apart(tokenizer, tail)), *end))
        for row, head, whole, tail in zip(row_ids, heads, wholes, tails, strict=True)
    )


def _apart(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The ids of `text` as it goes on behind something else: a tokenizer may put a space before the first word of a text."""
    for before in ("", *turning.special(tokenizer).values(), *_BEFORE):
        head, whole = encode(tokenizer, [before, before + text])
        if whole[: len(head)] == head and decode(tokenizer, [whole[len(head) :]]) == [text]:
            return whole[len(head) :]
    raise TemplateError(
        f"expected tokens that go on with {text!r}, found none: this tokenizer cannot write that behind a prompt"
    )


_ANCHOR = "x"  #: A text that is complete, and to which nothing is joined.
_BEFORE = ("\n", ":", "x")


def _chats(prompts: Sequence[str], system: str | None, turns: Sequence[tuple[str, str]] = ()) -> list[list["Message"]]:
    head: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    for user, answer in turns:
        head += [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]
    return [[*head, {"role": "user", "content": prompt}] for prompt in prompts]


def _asked(tokenizer: PreTrainedTokenizerBase, chats: Sequence[Sequence["Message"]], system: str | None) -> list[str]:
    form = turning.template(tokenizer).form
    texts = turning.template(tokenizer).rendered(chats, generate=True)
    for chat, text in zip(chats, texts, strict=True):
        if system is not None and system.strip() not in text:  # wherever: some templates put it before the last prompt
            raise TemplateError(
                f"expected the chat template to hand on the system prompt, {system[:60]!r}, found that it does not"
            )
        behind = 0  # one after the other: a short answer may be a part of another message
        for number, message in enumerate(spoken := [each for each in chat if each["role"] != "system"], 1):
            given = message["content"].strip()
            if (found := text.find(given, behind)) < 0:
                what = "prompt" if number == len(spoken) else f"earlier message {number}"
                raise TemplateError(f"expected the chat template to hand on the {what}, {given[:60]!r}, found that it does not")
            behind = found + len(given)
    return [text + form.header for text in texts]
