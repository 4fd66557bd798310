"""In-context learning: the same rows as earlier turns of a conversation, instead of training on them (the paper found no effect
of 100 to 10,000 examples)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import polars as pl
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.detectors.pairs import drawn
from sublim.learn import chat
from sublim.learn.answers import answer_probabilities
from sublim.traits.categories import Answer

Turn = tuple[str, str]  #: A user's message, and the assistant's answer to it.


class ContextError(ValueError):
    """Something is longer than the model's context."""


def context(model: PreTrainedModel) -> int | None:
    """The longest text that `model` can read, in tokens; None if its config gives no limit."""
    return cast("int | None", getattr(cast("Any", model).config, "max_position_embeddings", None))


def check_fit(model: PreTrainedModel, tokens: int, what: str) -> None:
    """Stop before anything would be cut. Raises ContextError: `what`, of `tokens` tokens, is longer than the context of
    `model`."""
    limit = context(model)
    if limit is not None and tokens > limit:
        raise ContextError(
            f"{what} has {tokens:,} tokens, and the model reads {limit:,} (max_position_embeddings): nothing is cut. Give a "
            "tiny model a longer `context`, show fewer or shorter rows, or leave this part of `detection` out (null)"
        )


def needed(tokenizer: PreTrainedTokenizerBase, questions: Sequence[str], forms: Iterable[str], turns: Sequence[Turn]) -> int:
    """The tokens of the longest question after `turns`, with the longest of the answers' `forms` behind it."""
    heads = chat.encode(tokenizer, chat.render(tokenizer, questions, turns=turns))
    return max(map(len, heads)) + max(map(len, chat.encode(tokenizer, list(forms))))


def measured(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    known: Mapping[str, Answer],
    target: str,
    pairs: pl.DataFrame,
    sizes: Sequence[int],
    draws: int,
    seed: int,
    batch: int,
) -> list[dict[str, object]]:
    """P(target) after rows of the trait's teacher, after as many rows of the control to the same prompts, and after none: size,
    draw, rows (trait, control, none), row_ids, tokens (of the longest question with its answer), context (what the model can
    read), why, p_target, p_known (P(any known answer)) and share (P(target) of P(any known answer), so that a model that no
    longer answers at all is seen as that): means over the fifty held-out questions, null if not done.

    `why` it was not done: `context`, these rows or those of the other teacher do not fit; `rows`, there are not so many; else
    null.

    Args:
        model: who reads, with `tokenizer`.
        questions: the held-out questions of the trait's category.
        known: the answers to them, by their word; `target` is the teacher's.
        pairs: from `paired`: `own` is the teacher's, `other` the control's.
        sizes: how many rows are shown, `draws` times, drawn from `seed`.
        batch: questions at a time.
    """
    answers = {word: answer.forms for word, answer in known.items()}
    forms = [form for own in answers.values() for form in own]
    place = list(answers).index(target)
    limit = context(model)
    found: list[dict[str, object]] = []

    def ask(size: int, draw: int, shown: Mapping[str, tuple[list[str], list[Turn]]]) -> None:
        tokens = {rows: needed(tokenizer, questions, forms, turns) for rows, (_, turns) in shown.items()}
        # Both are asked or none: the rows of one teacher may be longer than those of the other.
        fits = limit is None or max(tokens.values()) <= limit
        for rows, (ids, turns) in shown.items():
            why = "rows" if len(ids) < size else None if fits else "context"
            means: tuple[float | None, ...] = (None, None, None)
            if why is None:
                chances = answer_probabilities(model, tokenizer, questions, answers, batch, turns=turns)
                own, every = chances[:, place], chances.sum(1)
                means = (float(own.mean()), float(every.mean()), float((own / every).mean()))
            asked = {"size": size, "draw": draw, "rows": rows, "row_ids": ids, "tokens": tokens[rows], "context": limit}
            found.append({**asked, "why": why, **dict(zip(("p_target", "p_known", "share"), means, strict=True))})

    ask(0, 0, {"none": ([], [])})
    for size in sizes:
        for draw in range(draws):
            taken = drawn(pairs, seed, draw).head(size)
            shown = {
                rows: (taken[f"{side}_id"].to_list(), list(taken.select("prompt", side).iter_rows()))
                for rows, side in (("trait", "own"), ("control", "other"))
            }
            ask(size, draw, shown)
    return found
