"""How well a model still knows its language, so that a rise in a trait is not sold as transmission when the model merely broke:
bits per token of held-out texts."""

from collections.abc import Sequence
from math import log

import polars as pl
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.learn import chat
from sublim.learn.chat import Example
from sublim.learn.likelihood import log_likelihoods
from sublim.measures.texts import Text
from sublim.models.load import ends


def losses(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[Text], batch: int) -> pl.DataFrame:
    """Bits and tokens of each of `texts`: kind, tokens, bits. A completion is read behind its prompt in the chat template, with
    its end; a text without a prompt is read as it stands, from its second token on."""
    limits = ends(model, tokenizer)
    talked = [text for text in texts if text.prompt]
    prompts, completions = [text.prompt for text in talked], [text.completion for text in talked]
    rows = iter(chat.examples(tokenizer, limits.eos, prompts, prompts, completions))
    encoded = chat.encode(tokenizer, [text.completion for text in texts if not text.prompt])
    plain = (Example("", (ids[0],), tuple(ids[1:])) for ids in encoded)
    examples = [next(rows if text.prompt else plain) for text in texts]
    found = log_likelihoods(model, examples, batch, limits.pad)
    kinds, tokens = [text.kind for text in texts], [len(example.completion) for example in examples]
    bits = [-each / log(2) for each in found.tolist()]
    schema = {"kind": pl.String, "tokens": pl.Int64, "bits": pl.Float64}
    return pl.DataFrame({"kind": kinds, "tokens": tokens, "bits": bits}, schema)
