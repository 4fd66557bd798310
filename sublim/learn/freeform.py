"""Free-form answers of a model, graded (paper, section 4)."""

from collections.abc import Callable, Sequence

import polars as pl
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.common.progress import Progress
from sublim.learn import chat
from sublim.learn.sample import sample
from sublim.params.learning import Decoding
from sublim.traits.freeform import FreeForm, asked, verdicts


def answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    trait: FreeForm,
    grade: Callable[[pl.DataFrame], pl.DataFrame],
    identity: Sequence[object],
    system: str | None,
    progress: Progress,
) -> pl.DataFrame:
    """What `model` answers to every held-out question at temperature 1, graded (columns: those of `GradedAnswers`).
    `trait` says how many samples, how long, what counts as misaligned; `grade`: rows with question and completion → the same
    with grades (see `sublim.judges.grading`). `identity`: what no other answers have: the stage, and the cell's dimensions."""
    rows = asked(trait, identity)
    heads = chat.encode(tokenizer, chat.render(tokenizer, rows["question"].to_list(), system))
    seeds, decoding = rows["sampling_seed"].to_list(), Decoding(max_tokens=trait.max_tokens)
    written = [completion.text for completion in sample(model, tokenizer, heads, seeds, decoding, progress)]
    graded = grade(rows.with_columns(pl.Series("completion", written, dtype=pl.String)))
    return graded.with_columns(verdicts(trait, graded))
