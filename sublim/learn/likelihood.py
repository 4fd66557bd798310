"""How probable a model finds completions that it is shown."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.learn import chat
from sublim.learn.chat import Example
from sublim.learn.prefill import arguments, left_padded
from sublim.models.load import ends


@torch.inference_mode()
def mean_log_probabilities(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[tuple[str, str]], system: str | None
) -> list[float | None]:
    """The mean log-probability of each completion's tokens, in nats, without the token that ends it: a completion may have been
    cut off. None for a completion without tokens. `rows` are prompts with their completions, all in one forward pass."""
    limits = ends(model, tokenizer)
    prompts, completions = zip(*rows, strict=True)
    examples = chat.openings(tokenizer, [""] * len(rows), prompts, completions, system)
    texts = [(*example.prompt, *example.completion) for example in examples]
    written = [len(example.completion) for example in examples]
    # All completions are at the end, and the rest needs no logits.
    tail = max(written) + 1
    ids, mask = left_padded(model, texts, limits.pad)
    more = arguments(model, mask, ids.shape[1], tail)
    logits = cast("Any", model)(input_ids=ids, attention_mask=mask, use_cache=False, **more).logits[:, -tail:]
    labels = ids[:, ids.shape[1] - tail + 1 :, None]
    scores = logits[:, :-1].float().log_softmax(-1).gather(2, labels)[:, :, 0].double().cpu().numpy()
    return [float(scores[row, tail - 1 - count :].mean()) if count else None for row, count in enumerate(written)]


@torch.inference_mode()
def log_likelihoods(model: PreTrainedModel, examples: Sequence[Example], batch: int, pad: int) -> NDArray[np.float64]:
    """log P(completion | prompt) of each of `examples`, in nats [rows]. A completion's last token, its end, counts as well.
    Rows of like length share a forward pass of at most `batch`; `pad` fills them up on the right, where no token sees it."""
    lengths = [len(row.prompt) + len(row.completion) for row in examples]
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
