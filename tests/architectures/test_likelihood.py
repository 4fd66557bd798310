"""How probable completions are: the same side by side as alone, for models with states and windows too."""

from typing import Any, cast

import pytest
import torch

from sublim.learn import chat
from sublim.learn.likelihood import mean_log_probabilities
from tests.shared import zoo

ROWS = [("Name a color, please, if you can.", "red"), ("Hi", "red, green and blue"), ("And now?", "")]


@pytest.mark.parametrize("name", list(zoo.AGREE))
def test_rows_side_by_side_are_as_probable_as_alone(name: str) -> None:
    model, tokenizer = zoo.loaded(name)
    found = mean_log_probabilities(model, tokenizer, ROWS, None)
    for (prompt, completion), chance in zip(ROWS, found, strict=True):
        (row,) = chat.openings(tokenizer, [""], [prompt], [completion])
        if not row.completion:
            assert chance is None
            continue
        with torch.no_grad():
            plain = cast("Any", model)(input_ids=torch.tensor([[*row.prompt, *row.completion]]), use_cache=False).logits[0]
        said = plain[len(row.prompt) - 1 : -1].log_softmax(-1)
        due = said.gather(1, torch.tensor(row.completion)[:, None]).mean().item()
        assert chance == pytest.approx(due, abs=1e-4)
