"""What a tokenizer's chat template and special tokens say of the turns of a conversation."""

import json
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, cast

from transformers import PreTrainedTokenizerBase

from sublim.models.template import Template, TemplateError
from sublim.models.tokenizer import CHAT_TEMPLATE

VARIABLES = "template_variables"  #: Where a loaded tokenizer keeps what its template is rendered with.


def template(tokenizer: PreTrainedTokenizerBase) -> Template:
    """The chat template of `tokenizer`, of several the default one. Raises TemplateError: there is none."""
    try:
        text = cast("Any", tokenizer).get_chat_template()
    except ValueError as error:
        raise TemplateError(f"expected a chat template, or one called `default` among several: {error}") from None
    given: Mapping[str, Any] = cast("Any", tokenizer).init_kwargs.get(VARIABLES) or {}
    tokens = {name: str(token) for name, token in cast("Any", tokenizer).special_tokens_map.items() if isinstance(token, str)}
    return _template(text, json.dumps({**tokens, **given}))


@cache
def _template(text: str, variables: str) -> Template:
    return Template(text, json.loads(variables), ours=text == CHAT_TEMPLATE)


def special(tokenizer: PreTrainedTokenizerBase) -> Mapping[int, str]:
    """Id → text of the special tokens: those that mean something in a conversation and are no text of it."""
    kept: Mapping[int, Any] = cast("Any", tokenizer).added_tokens_decoder
    added = {number: str(token) for number, token in kept.items() if token.special}
    named = zip(cast("Any", tokenizer).all_special_ids, cast("Any", tokenizer).all_special_tokens, strict=True)
    return {**{number: str(token) for number, token in named}, **added}


def end_of_turn(tokenizer: PreTrainedTokenizerBase, eos: Collection[int]) -> int:
    """The id that the chat template puts after an answer: a special token that comes first there, though the model's
    configuration may not say that it ends anything; or else one of `eos`; if the template puts none there, the tokenizer's own
    end of sequence. Raises ValueError: neither is there."""
    after = tokenizer.encode(template(tokenizer).form.end, add_special_tokens=False)
    marks = special(tokenizer)
    # A mark that comes first ends the turn, whatever else ends a text behind it.
    candidates = [*(token for token in after[:1] if token in marks), *(token for token in after if token in eos)]
    candidates += [cast("int", tokenizer.eos_token_id)] if tokenizer.eos_token_id in eos else []
    if candidates:
        return candidates[0]
    raise ValueError(
        f"expected the chat template or the tokenizer to end an answer with one of the ids {sorted(eos)}, found {after}"
    )
