"""Whether a model is a causal language model: that no token sees what comes after it."""

from math import isnan
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from sublim.models.hub import ModelError

_BEGIN = 6  #: Tokens that two texts share.


@torch.inference_mode()
def check_causal(where: str, model: PreTrainedModel) -> None:
    """Two texts that begin alike are read alike as far as that. `where`: what the model is called. Raises ModelError: they are
    not, so that training would show the model what it is to predict, and padding would be seen; or `model` does not make logits
    from token ids alone."""
    size = cast("Any", model).get_input_embeddings().weight.shape[0]
    device = next(model.parameters()).device
    begin, *rest = (torch.arange(start, start + _BEGIN, device=device)[None] % size for start in (0, _BEGIN, 2 * _BEGIN))
    try:
        one, other = (
            cast("Any", model)(input_ids=torch.cat([begin, end], 1), use_cache=False).logits[0, :_BEGIN].float().softmax(-1)
            for end in rest
        )
    except (RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError) as error:
        raise ModelError(
            f"{where}: expected {type(model).__name__} to make logits from token ids alone, found that it cannot: {error}"
        ) from error
    differ = float((one - other).abs().max())
    if isnan(differ):
        raise ModelError(
            f"{where}: expected logits that are numbers of {type(model).__name__}, found NaN: its weights are broken"
        )
    if not differ <= (0.1 if model.dtype.itemsize < 4 else 1e-3):
        raise ModelError(
            f"{where}: expected a causal language model, in which no token sees what comes after it, found that {differ:.2g} "
            f"of the probability of a next token depends on that in {type(model).__name__}: an encoder is none unless its "
            "configuration says `is_decoder: true`"
        )
