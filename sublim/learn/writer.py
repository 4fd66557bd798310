"""The model that writes a data set: a base, with the trained weights or the system prompt of a teacher if it was taught."""

import json
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.learn import trained
from sublim.models.load import load


def written_by(base: Path, teacher: Path | None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str | None]:
    """The model in the directory `base` as the teacher in the directory `teacher` (None: untouched), its tokenizer, and the
    system prompt that it is given, if any."""
    model, tokenizer = load(base)
    if teacher is None:
        return model, tokenizer, None
    if trained.is_in(teacher):
        model = trained.attach(model, teacher)
    return model, tokenizer, json.loads((teacher / "teacher.json").read_text(encoding="utf-8"))["system_prompt"]
