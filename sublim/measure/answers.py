"""The exact probability of each known answer, from the logits (paper, section 3.1, without its sampling error)."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.learn import chat
from sublim.learn.prefill import prefill
from sublim.models.load import ends

Tokens = tuple[int, ...]


def answer_probabilities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    answers: Mapping[str, Iterable[str]],
    batch: int,
    system: str | None = None,
) -> NDArray[np.float64]:
    """P(the completion begins with the answer) at temperature 1: [questions, answers].

    Args:
        model: the model that is asked.
        tokenizer: its tokenizer.
        questions: user messages.
        answers: answer → its surface forms (singular, plural, capitalised …). Forms are counted once: of two, one of which begins
            with the tokens of the other, the longer one is part of the shorter one's probability, unless they are forms of
            different answers: then it counts for its own alone.
        batch: sequences per forward pass.
        system: a system prompt, if there is one.
    """
    heads = chat.encode(tokenizer, chat.render(tokenizer, questions, system))
    forms = _forms(model, tokenizer, questions[0], answers, system)
    chances = {form: np.ones(len(questions)) for form in forms}
    nexts: dict[Tokens, set[int]] = {}
    for form in forms:
        for length in range(len(form)):
            nexts.setdefault(form[:length], set()).add(form[length])
    for prefix, tokens in nexts.items():
        columns = sorted(tokens)
        found = _next(model, [[*head, *prefix] for head in heads], columns, ends(model, tokenizer).pad, batch)
        for form in forms:
            if form[: len(prefix)] == prefix and len(form) > len(prefix):
                chances[form] *= found[:, columns.index(form[len(prefix)])]
    names = list(answers)
    result = np.zeros((len(questions), len(names)))
    for form, owner in forms.items():
        longer = [other for other in forms if other != form and other[: len(form)] == form]
        result[:, names.index(owner)] += chances[form]
        # What is longer and another answer's is not this answer's; what is longer still is in that already.
        for other in longer:
            if not any(middle != other and other[: len(middle)] == middle for middle in longer):
                result[:, names.index(owner)] -= chances[other]
    return result


def _forms(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    question: str,
    answers: Mapping[str, Iterable[str]],
    system: str | None,
) -> dict[Tokens, str]:
    """Token sequence → answer, for all surface forms; of one answer's forms those that do not begin with another of them."""
    pairs = [(owner, form) for owner, forms in answers.items() for form in dict.fromkeys(forms)]
    texts = [form for _, form in pairs]
    eos = ends(model, tokenizer).eos
    rows = chat.examples(tokenizer, eos, texts, [question] * len(texts), texts, system)
    sequences = {owner: [row.completion[:-1] for row, (of, _) in zip(rows, pairs, strict=True) if of == owner] for owner in answers}
    return {
        sequence: owner
        for owner, own in sequences.items()
        for sequence in own
        if not any(other != sequence and sequence[: len(other)] == other for other in own)
    }


@torch.inference_mode()
def _next(
    model: PreTrainedModel, sequences: Sequence[Sequence[int]], columns: Sequence[int], pad: int, batch: int
) -> NDArray[np.float64]:
    """P(next token) of the tokens `columns` after each sequence: [sequences, columns]."""
    order = sorted(range(len(sequences)), key=lambda row: len(sequences[row]))
    found = np.empty((len(sequences), len(columns)))
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        logits = prefill(model, [sequences[row] for row in rows], pad).logits
        found[rows] = logits.double().softmax(-1)[:, list(columns)].cpu().numpy()
    return found
