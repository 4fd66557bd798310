"""The exact probability of each known answer, from the logits (paper, section 3.1, without its sampling error)."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.learn import chat
from sublim.learn.prefill import State, advance, agree, fit, fork, plain, prefill, shared, way
from sublim.models.load import ends

Tokens = tuple[int, ...]
Forms = Mapping[Tokens, str]  #: Token sequence → the answer that it is a form of.


@torch.inference_mode()
def answer_probabilities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    answers: Mapping[str, Iterable[str]],
    batch: int,
    system: str | None = None,
    turns: Sequence[tuple[str, str]] = (),
) -> NDArray[np.float64]:
    """P(the completion begins with the answer) at temperature 1: [questions, answers]. `answers`: answer → its surface forms
    (singular, plural, capitalised …). A completion counts once, for the longest form that it begins with, in tokens. `batch`:
    questions per forward pass. `turns`: earlier messages of the conversation, the user's and the answer to it, which are read
    once for all questions."""
    heads = chat.encode(tokenizer, chat.render(tokenizer, questions, system, turns))
    limits = ends(model, tokenizer)
    forms = _forms(tokenizer, questions[0], answers, system)
    columns = {answer: column for column, answer in enumerate(answers)}
    result = np.zeros((len(questions), len(columns)))
    order = sorted(range(len(heads)), key=lambda row: len(heads[row]))
    longest = max(map(len, forms), default=0)
    fit(model, heads, longest)
    before = _shared(model, heads, limits.pad) if turns else ()
    history = prefill(model, [before], limits.pad) if before else None
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        state = prefill(model, [heads[row][len(before) :] for row in rows], limits.pad, history)
        for answer, chance in _chances(model, forms, state).items():
            result[rows, columns[answer]] = chance
    return result


def _shared(model: PreTrainedModel, heads: Sequence[Sequence[int]], pad: int) -> Sequence[int]:
    """The beginning of all `heads` that is read once; nothing if reading them so says anything else than plain passes do, tried
    on the longest and the shortest: attention through a window may count places of the cache instead of tokens."""
    before = shared(heads)
    if not (before and way(model).shared):
        return ()
    rows = [max(heads, key=len), min(heads, key=len)]
    state = prefill(model, [row[len(before) :] for row in rows], pad, prefill(model, [before], pad))
    device = state.logits.device
    right = (
        agree(model, plain(model, torch.tensor(row, device=device)), found)
        for row, found in zip(rows, state.logits, strict=True)
    )
    return before if all(right) else ()


def _forms(
    tokenizer: PreTrainedTokenizerBase,
    question: str,
    answers: Mapping[str, Iterable[str]],
    system: str | None,
) -> Forms:
    """All surface forms as a model writes them behind the chat template."""
    pairs = [(answer, form) for answer, forms in answers.items() for form in dict.fromkeys(forms)]
    texts = [form for _, form in pairs]
    rows = chat.openings(tokenizer, texts, [question] * len(texts), texts, system)
    return {row.completion: answer for row, (answer, _) in zip(rows, pairs, strict=True)}


def _chances(model: PreTrainedModel, forms: Forms, start: State) -> dict[str, NDArray[np.float64]]:
    """Answer → the probability that the longest of `forms` with which a row of `start` goes on is one of its forms [rows]."""
    chances = {answer: np.zeros(len(start.mask)) for answer in forms.values()}

    def walk(forms: Forms, answer: str | None, chance: NDArray[np.float64], reach: Callable[[], State]) -> None:
        """Share out `chance`, that of the tokens so far: they are a form of `answer`, and `forms` are ways to go on."""
        answer = forms.get((), answer)
        if answer is not None:
            chances[answer] += chance
        if all(longer == answer for longer in forms.values()):
            return
        state = reach()
        probabilities = state.logits.double().softmax(-1).cpu().numpy()
        for token in sorted({form[0] for form in forms if form}):
            taken = chance * probabilities[:, token]
            if answer is not None:
                chances[answer] -= taken
            rest = {form[1:]: longer for form, longer in forms.items() if form[:1] == (token,)}
            same = torch.full((len(state.mask),), token, device=state.mask.device)
            walk(rest, answer, taken, lambda same=same: advance(model, fork(state), same))

    walk(forms, None, np.ones(len(start.mask)), lambda: start)
    return chances
