"""How probable a model finds completions that it is shown."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.learn import chat
from sublim.learn.prefill import arguments
from sublim.models.load import ends


@torch.inference_mode()
def mean_log_probabilities(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[tuple[str, str]], system: str | None
) -> list[float | None]:
    """The mean log-probability of each completion's tokens, in nats, without the token that ends it: a completion may have been
    cut off. None for a completion without tokens.

    Args:
        model: the model that is asked.
        tokenizer: its tokenizer.
        rows: prompts with their completions, all in one forward pass.
        system: a system prompt, if there is one.
    """
    limits = ends(model, tokenizer)
    prompts, completions = zip(*rows, strict=True)
    examples = chat.examples(tokenizer, limits.eos, [""] * len(rows), prompts, completions, system)
    texts = [(*example.prompt, *example.completion[:-1]) for example in examples]
    written = [len(example.completion) - 1 for example in examples]
    # Padded on the left, so that all completions are at the end and the rest needs no logits.
    longest, tail = max(map(len, texts)), max(written) + 1
    ids = np.full((len(rows), longest), limits.pad, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for row, text in enumerate(texts):
        ids[row, longest - len(text) :] = text
        mask[row, longest - len(text) :] = 1
    device = next(model.parameters()).device
    inputs, attention = torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
    accepted, more = arguments(type(model)), dict[str, Any]()
    if "position_ids" in accepted:
        more["position_ids"] = (attention.cumsum(1) - 1).clamp(min=0)
    if "logits_to_keep" in accepted:
        more["logits_to_keep"] = tail
    logits = cast("Any", model)(input_ids=inputs, attention_mask=attention, use_cache=False, **more).logits[:, -tail:]
    scores = (
        logits[:, :-1].float().log_softmax(-1).gather(2, inputs[:, longest - tail + 1 :, None])[:, :, 0].double().cpu().numpy()
    )
    return [float(scores[row, tail - 1 - count :].mean()) if count else None for row, count in enumerate(written)]
