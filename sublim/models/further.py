"""A base trained further, on rows that no model wrote; an adapter is merged into its weights, or all of them are trained."""

from collections.abc import Mapping
from pathlib import Path
from shutil import copyfile
from typing import Any, cast

import polars as pl
from peft import PeftModel
from transformers import PreTrainedModel

from sublim.common.progress import Progress
from sublim.learn import chat, trained
from sublim.learn.finetune import finetune
from sublim.models import hub, taught
from sublim.models.load import ends, load
from sublim.params.derived import Training


def train(
    params: Training, parent: Path, expected: Mapping[str, str], output: Path, progress: Progress
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Write the model in `parent`, trained further by `params`, to `output`: its tokenizer and chat template as they were, the
    weights in the type that they had. Returns the rows that it was trained on and its steps. `expected`: what the files of
    `params` held when the run was planned, by `ROWS`. Raises ValueError: the rows of a file are no rows to train on, or it
    was changed; or as `finetune`."""
    rows = taught.rows(params, expected)
    model, tokenizer = load(parent)
    limits = ends(model, tokenizer)
    examples: dict[str, chat.Example] = {}
    for (system,), part in rows.group_by("system", maintain_order=True):
        ids, prompts, completions = (part[name].to_list() for name in ("row_id", "prompt", "completion"))
        given = None if system is None else str(system)
        examples |= {each.row_id: each for each in chat.examples(tokenizer, limits.eos, ids, prompts, completions, given)}
    dtype = model.dtype
    learned = trained.prepare(model, params.finetune, taught.seed(params, "adapter"))
    order, pad = taught.seed(params, "order"), limits.pad
    steps = finetune(learned, [examples[row] for row in rows["row_id"]], params.finetune, order, pad, progress)
    if isinstance(learned, PeftModel):
        # A small change of a weight in half precision would mostly be rounded away if it were added there.
        learned = cast("PreTrainedModel", cast("Any", learned.float()).merge_and_unload().to(dtype))
    trained.save(learned, "", output)
    for name in hub.FILES:
        if (parent / name).is_file() and name not in (hub.CONFIG, "generation_config.json"):
            copyfile(parent / name, output / name)
    return rows, steps
