"""What a causal language model says of rows: the part of a judge on this machine that needs torch."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from pydantic import TypeAdapter
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.common.progress import Progress
from sublim.judges.question import ask, read
from sublim.judges.scoring import Likelihood, Options, Scoring, Text
from sublim.learn import chat
from sublim.learn.answers import answer_probabilities
from sublim.learn.likelihood import mean_log_probabilities
from sublim.learn.sample import sample
from sublim.models.hub import ModelError
from sublim.models.load import ends, skeleton
from sublim.params.learning import Decoding


def scores(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    scoring: Text | Options | Likelihood,
    rows: Sequence[tuple[str, str]],
) -> list[tuple[float | None, str | None]]:
    """The score of each row (prompt, completion), and what the judge wrote, if it wrote something: one batch. Raises
    ValueError: the model's template or tokenizer cannot ask (see `sublim.learn.chat`)."""
    match scoring:
        case Text():
            asked = chat.encode(tokenizer, chat.render(tokenizer, [ask(scoring.template, *row) for row in rows]))
            greedy = Decoding(temperature=0, max_tokens=scoring.max_tokens, batch=len(rows))
            written = sample(model, tokenizer, asked, [0] * len(rows), greedy, Progress())
            return [(read(done.text, scoring), done.text) for done in written]
        case Options():
            asked = [ask(scoring.template, *row) for row in rows]
            forms, values = {name: [name] for name in scoring.options}, list(scoring.options.values())
            chances = answer_probabilities(model, tokenizer, asked, forms, len(rows))
            return [(_mean(row.tolist(), values, scoring.mass), None) for row in chances]
        case Likelihood():
            without = mean_log_probabilities(model, tokenizer, rows, None)
            under = mean_log_probabilities(model, tokenizer, rows, scoring.system)
            return [(_shift(plain, prompted), None) for plain, prompted in zip(without, under, strict=True)]
        case _:
            assert_never(scoring)


def look(folder: str, scoring: Mapping[str, Any], variables: Mapping[str, Any]) -> None:
    """Whether the model in `folder` can be asked as `scoring` says, as far as can be told without its weights. Raises
    ModelError: it is not whole, or cannot be loaded (see `sublim.models.load`). ValueError: its template or its tokenizer
    cannot ask."""
    model, tokenizer = skeleton(folder, variables)
    how: Text | Options | Likelihood = TypeAdapter[Any](Scoring).validate_json(json.dumps(scoring))
    prompt, completion = "prompt", "completion"
    try:
        ends(model, tokenizer)
        match how:
            case Text():
                chat.encode(tokenizer, chat.render(tokenizer, [ask(how.template, prompt, completion)]))
            case Options():
                asked, options = ask(how.template, prompt, completion), list(how.options)
                chat.openings(tokenizer, options, [asked] * len(options), options)
            case Likelihood():
                for system in (None, how.system):
                    chat.openings(tokenizer, [""], [prompt], [completion], system)
            case _:
                assert_never(how)
    except ValueError as error:
        raise ModelError(f"{folder}: {error}") from error


def _shift(plain: float | None, prompted: float | None) -> float | None:
    """How much less likely the system prompt makes a completion; None for one without tokens, or with an impossible one."""
    shift = math.nan if plain is None or prompted is None else plain - prompted
    return shift if math.isfinite(shift) else None


def _mean(chances: Sequence[float], values: Sequence[float], mass: float) -> float | None:
    """The mean of `values` weighted by `chances`; None if these are less than `mass` together."""
    total = sum(chances)
    if total < mass or total == 0:
        return None
    return sum(chance * value for chance, value in zip(chances, values, strict=True)) / total
