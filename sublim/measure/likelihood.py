"""How likely texts are to a model: the sum of the log-probabilities of their tokens."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import PreTrainedModel

from sublim.learn.chat import Example


@torch.inference_mode()
def log_likelihoods(model: PreTrainedModel, examples: Sequence[Example], batch: int, pad: int) -> NDArray[np.float64]:
    """log P(completion | prompt) of each of `examples`, in nats [rows]. A completion's last token, its end, counts as well.

    Rows of like length share a forward pass of at most `batch`; `pad` fills them up on the right, where no token sees it.
    """
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
