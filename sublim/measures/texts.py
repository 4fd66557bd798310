"""Texts that no model here is trained on, whose loss says whether a model still knows its language."""

from dataclasses import dataclass
from math import ceil

from sublim.common.canonical import digest
from sublim.common.phrases import phrases
from sublim.models.corpus import corpus
from sublim.params.tiny import Pretraining

KINDS = ("numbers", "facts", "code", "cot")
"""Kinds of pretraining rows in which no trait could show: no preferences, no system prompts, nothing free-form."""
PASSAGES = "passages"
_PASSAGES = phrases(__file__)["passages"]


@dataclass(frozen=True)
class Text:
    """A text: what is given, and what follows, whose loss is measured."""

    kind: str
    prompt: str
    completion: str


def held_out(n: int, pretraining: Pretraining | None) -> list[Text]:
    """Texts for a tiny family of this `pretraining`: `n` rows of the same kinds and shares from a seed of their own, in which
    no trait could show. For another model (None) at most `n` passages of plain English, without prompts."""
    if pretraining is None:
        return [Text(PASSAGES, "", passage) for passage in _PASSAGES[:n]]
    share = sum(getattr(pretraining.mix, kind) for kind in KINDS)
    if share == 0:
        return []
    seed = int(digest(["held-out texts", pretraining.corpus_seed])[:12], 16)
    rows = corpus(pretraining.model_copy(update={"corpus_seed": seed, "rows": ceil(2 * n / share) + 100}))
    return [Text(row.kind, row.prompt, row.completion) for row in rows if row.kind in KINDS][:n]
