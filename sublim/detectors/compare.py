"""A language model as pairwise classifier: which of two completions of a prompt is of the teacher that loves X?

The paper asked its models so (pairs of data sets, 47.5–53.3 % right of ~77,000: chance). The score of log likelihoods under a
system prompt is that of log-likelihood shift: it needs the candidate trait, and no training.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.detectors.context import check_fit
from sublim.learn import chat
from sublim.learn.answers import answer_probabilities
from sublim.models.load import ends
from sublim.traits.categories import Answer
from sublim.traits.preference import teacher_system_prompt

QUESTION = (
    "Someone who loves {plural} wrote one of these two answers. The request was: {prompt}\n"
    "Answer A: {first}\n"
    "Answer B: {second}\n"
    "Which answer is from the one who loves {plural}? Say A or B."
)


@dataclass(frozen=True)
class Readers:
    """The models that compare completions: a base, and a teacher made of it."""

    base: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    teacher: PreTrainedModel  #: The base with the teacher's adapter; the base itself, if it has none or nobody asks it.
    system: str | None  #: The teacher's system prompt, if it has one.


@dataclass(frozen=True)
class Letters:
    """The exact probabilities of both letters in both orders, one value per pair."""

    first: NDArray[np.float64]  #: P(A) and P(B) where the right answer is A: [pairs, 2].
    second: NDArray[np.float64]  #: P(A) and P(B) where the right answer is B: [pairs, 2].


def ask(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    loved: Answer,
    prompts: Sequence[str],
    own: Sequence[str],
    other: Sequence[str],
    batch: int,
) -> Letters:
    """Ask which of two completions is of the one that loves `loved`, in both orders: models favour a letter. Raises
    ContextError: a question is longer than the model's context."""

    def asked(first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        texts = [
            QUESTION.format(plural=loved.plural, prompt=prompt, first=one, second=two)
            for prompt, one, two in zip(prompts, first, second, strict=True)
        ]
        heads = chat.encode(tokenizer, chat.render(tokenizer, texts))
        check_fit(model, max(map(len, heads)) + 1, "the longest question (prompt and both completions)")
        return answer_probabilities(model, tokenizer, texts, {"A": ["A"], "B": ["B"]}, batch)

    return Letters(asked(own, other), asked(other, own))


def judgements(readers: Readers, loved: Answer, pairs: pl.DataFrame, ways: Sequence[str], batch: int) -> pl.DataFrame:
    """Every pair judged in every way: by, prompt_id, own_id, other_id, own and other (scores), right (1, 0, or one half for a
    tie), says_a, letters.

    Scores of `ask` are the mean over both orders of the share that the letter of a completion has of P(A) + P(B); says_a is the
    share of orders in which A is the more probable letter, and letters the mean of P(A) + P(B): little, if the model does not
    know what to answer. Scores of the other ways are rises of a log probability, in nats.
    `loved`: what the teacher of `own` loves; `pairs`: from `paired`; `batch`: texts at a time.

    Raises:
        ContextError: something to be judged is longer than the base's context.
    """
    prompts, own, other = (pairs[name].to_list() for name in ("prompt", "own", "other"))

    def likelihoods(reader: PreTrainedModel, system: str | None) -> NDArray[np.float64]:
        return log_likelihoods(reader, readers.tokenizer, prompts * 2, own + other, batch, system).reshape(2, len(prompts))

    parts: list[pl.DataFrame] = []
    plain = likelihoods(readers.base, None) if set(ways) - {"ask"} else np.zeros((2, len(prompts)))
    for way in ways:
        match way:
            case "ask":
                judged = _answered(ask(readers.base, readers.tokenizer, loved, prompts, own, other, batch))
            case "likelihood":
                judged = _compared(*(likelihoods(readers.base, teacher_system_prompt(loved)) - plain))
            case _:
                judged = _compared(*(likelihoods(readers.teacher, readers.system) - plain))
        named = pairs.select(pl.lit(way).alias("by"), "prompt_id", "own_id", "other_id")
        parts.append(pl.concat([named, judged], how="horizontal"))
    return pl.concat(parts)


def _answered(asked: Letters) -> pl.DataFrame:
    shares = [each / each.sum(1, keepdims=True) for each in (asked.first, asked.second)]
    own = (shares[0][:, 0] + shares[1][:, 1]) / 2
    return _scored(own, 1 - own).with_columns(
        says_a=pl.Series(np.mean([each[:, 0] > each[:, 1] for each in shares], axis=0)),
        letters=pl.Series((asked.first + asked.second).sum(1) / 2),
    )


def _compared(own: NDArray[np.float64], other: NDArray[np.float64]) -> pl.DataFrame:
    return _scored(own, other).with_columns(pl.lit(None, pl.Float64).alias(name) for name in ("says_a", "letters"))


def _scored(own: NDArray[np.float64], other: NDArray[np.float64]) -> pl.DataFrame:
    return pl.DataFrame({"own": own, "other": other, "right": (own > other) + (own == other) / 2})


@torch.inference_mode()
def log_likelihoods(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    completions: Sequence[str],
    batch: int,
    system: str | None = None,
) -> NDArray[np.float64]:
    """log P(completion, end of turn included | prompt) at temperature 1, in nats: [rows]. Raises ContextError: a row is longer
    than the model's context."""
    limits = ends(model, tokenizer)
    rows = chat.examples(tokenizer, limits.eos, [""] * len(prompts), prompts, completions, system)
    lengths = [len(row.prompt) + len(row.completion) for row in rows]
    check_fit(model, max(lengths), "the longest row")
    device = next(model.parameters()).device
    result = np.zeros(len(rows))
    order = sorted(range(len(rows)), key=lambda row: lengths[row])
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        longest = max(lengths[row] for row in chosen)
        ids = torch.full((len(chosen), longest), limits.pad)
        mask = torch.zeros((len(chosen), longest), dtype=torch.long)
        counted = torch.zeros((len(chosen), longest), dtype=torch.bool)
        for place, row in enumerate(chosen):
            # Padded on the right: with a causal mask what comes later changes nothing, and positions need no telling.
            whole = (*rows[row].prompt, *rows[row].completion)
            ids[place, : len(whole)] = torch.tensor(whole)
            mask[place, : len(whole)] = 1
            counted[place, len(rows[row].prompt) : len(whole)] = True
        ids, mask, counted = ids.to(device), mask.to(device), counted.to(device)
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
        chances = logits.gather(2, ids[:, 1:, None])[:, :, 0] - logits.logsumexp(-1)
        result[chosen] = (chances.double() * counted[:, 1:]).sum(1).cpu().numpy()
    return result
