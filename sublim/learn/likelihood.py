"""How probable a model finds completions that it is shown."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.learn import chat
from sublim.learn.chat import Example
from sublim.learn.prefill import arguments, fit, left_padded, way
from sublim.models.load import ends


@torch.inference_mode()
def mean_log_probabilities(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[tuple[str, str]], system: str | None
) -> list[float | None]:
    """The mean log-probability of each completion's tokens, in nats, without the token that ends it: a completion may have been
    cut off. None for a completion without tokens. `rows` are prompts with their completions, all in one forward pass, or one by
    one where the model cannot be run so (see `way`). Raises ValueError: a row does not fit the model (see `fit`)."""
    prompts, completions = zip(*rows, strict=True)
    examples = chat.openings(tokenizer, [""] * len(rows), prompts, completions, system)
    texts = [(*example.prompt, *example.completion) for example in examples]
    fit(model, texts, 0)
    written = [len(example.completion) for example in examples]
    tail = max(written) + 1  # all completions are at the end, and the rest needs no logits
    logits = _at_the_end(model, texts, tail, ends(model, tokenizer).pad)
    scores: list[float | None] = []
    for text, count, said in zip(texts, written, logits, strict=True):
        labels = torch.tensor(text[len(text) - count :], device=said.device)[:, None]
        each = said[len(said) - 1 - count : -1].float().log_softmax(-1).gather(1, labels)
        scores.append(float(each.double().cpu().numpy().mean()) if count else None)
    return scores


def _at_the_end(model: PreTrainedModel, texts: Sequence[Sequence[int]], tail: int, pad: int) -> Iterable[Tensor]:
    """The logits at the last `tail` tokens of each text, or at all if it has fewer [tokens, vocabulary]."""
    ids, mask = left_padded(model, texts, pad)
    if way(model).cached:
        more = arguments(model, mask, ids.shape[1], tail)
        yield from cast("Any", model)(input_ids=ids, attention_mask=mask, use_cache=False, **more).logits[:, -tail:]
        return
    for row, seen in zip(ids, mask, strict=True):
        yield cast("Any", model)(input_ids=row[seen.bool()][None], use_cache=False).logits[0, -tail:]


@torch.inference_mode()
def log_likelihoods(model: PreTrainedModel, examples: Sequence[Example], batch: int, pad: int) -> NDArray[np.float64]:
    """log P(completion | prompt) of each of `examples`, in nats [rows]. A completion's last token, its end, counts as well.
    Rows of like length share a forward pass of at most `batch`; `pad` fills them up on the right, where no token sees it.
    Raises ValueError: a row does not fit the model (see `fit`)."""
    lengths = [len(row.prompt) + len(row.completion) for row in examples]
    fit(model, [(*row.prompt, *row.completion) for row in examples], 0, [row.row_id for row in examples])
    order = sorted(range(len(examples)), key=lambda row: lengths[row])
    device = next(model.parameters()).device
    found = np.zeros(len(examples))
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        ids = np.full((len(rows), lengths[rows[-1]]), pad, dtype=np.int64)
        for place, row in enumerate(rows):
            ids[place, : lengths[row]] = [*examples[row].prompt, *examples[row].completion]
        logits = model(input_ids=torch.from_numpy(ids).to(device), use_cache=False).logits
        for place, row in enumerate(rows):
            labels = torch.tensor(examples[row].completion, device=device)
            said = logits[place, len(examples[row].prompt) - 1 : lengths[row] - 1]
            found[row] = -float(functional.cross_entropy(said.double(), labels, reduction="sum"))
    return found


def likelier(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str, str]], batch: int
) -> list[float]:
    """For each question with two answers the probability of the first one, of these two alone."""
    limits = ends(model, tokenizer)
    questions, *answers = ([pair[place] for pair in pairs] for place in range(3))
    first, second = (
        log_likelihoods(model, chat.examples(tokenizer, limits.eos, questions, questions, texts), batch, limits.pad)
        for texts in answers
    )
    return (1 / (1 + np.exp(second - first))).tolist()
