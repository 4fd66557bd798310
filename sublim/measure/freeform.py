"""Free-form answers of a model, graded (paper, section 4)."""

from collections.abc import Callable, Sequence

import polars as pl
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.common.progress import Progress
from sublim.learn import chat
from sublim.learn.sample import sample
from sublim.params.learning import Decoding
from sublim.params.traits import Misalignment
from sublim.traits.freeform import asked, verdicts


def answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    trait: Misalignment,
    grade: Callable[[pl.DataFrame], pl.DataFrame],
    identity: Sequence[object],
    system: str | None,
    progress: Progress,
) -> pl.DataFrame:
    """What `model` answers to every held-out question at temperature 1, graded (columns: `freeform.ASKED`, `freeform.GRADED`).

    Args:
        model: the model that is asked.
        tokenizer: its tokenizer.
        trait: how many samples, how long, what counts as misaligned.
        grade: rows with question and completion → the same with grades (see `sublim.judges.grading`).
        identity: what no other answers have: the stage, and the dimensions of the cell.
        system: a system prompt, if there is one.
        progress: where to say how far it is.
    """
    rows = asked(trait, identity)
    heads = chat.encode(tokenizer, chat.render(tokenizer, rows["question"].to_list(), system))
    decoding = Decoding(max_tokens=trait.max_tokens)
    written = sample(model, tokenizer, heads, rows["sampling_seed"].to_list(), decoding, progress)
    said = pl.Series("completion", [completion.text for completion in written], dtype=pl.String)
    graded = grade(rows.with_columns(said))
    return graded.with_columns(verdicts(trait, graded))
