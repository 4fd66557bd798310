"""What every carrier can do, by the kind of its params: prompts, held-out prompts, the format's reasons, right answers,
skill."""

from typing import assert_never

import polars as pl

from sublim.carriers import code, cot, numbers
from sublim.carriers.prompt import Prompt
from sublim.params.carrier import Carrier, Code, Cot, Numbers
from sublim.params.filters import Format

EXACT = Format(kind="format")

UNREADABLE = (numbers.INVALID_FORMAT, code.NO_PARSE, cot.NO_ANSWER)
"""Reasons for which a completion has no numbers and no answer that other steps could judge."""


def prompts(n: int, carrier: Carrier) -> list[Prompt]:
    """The first `n` prompts of the set that `carrier` describes, all different; a larger set begins with a smaller one."""
    match carrier:
        case Numbers():
            return numbers.prompts(n, carrier)
        case Code():
            return code.prompts(n, carrier)
        case Cot():
            return cot.prompts(n, carrier)
        case _:
            assert_never(carrier)


def held_out(n: int, carrier: Carrier) -> list[Prompt]:
    """`n` different prompts that no base was pretrained on."""
    match carrier:
        case Numbers():
            return numbers.held_out(n, carrier)
        case Code():
            return code.held_out(n, carrier)
        case Cot():
            return cot.held_out(n, carrier)
        case _:
            assert_never(carrier)


def reasons(completions: pl.Series, carrier: Carrier, rule: Format) -> pl.Series:
    """Why `rule` rejects the form of each of `completions` (strings): a list, empty if it is kept."""
    match carrier:
        case Numbers():
            return numbers.judged(completions, rule)
        case Code():
            return code.reasons(completions, strict=rule.exact)
        case Cot():
            return cot.reasons(completions, strict=rule.exact)
        case _:
            assert_never(carrier)


def right(completions: pl.Series, answers: pl.Series, carrier: Carrier) -> pl.Series:
    """Whether each of `completions` is what its prompt's `answer` asks for: booleans.

    Raises:
        ValueError: the carrier is numbers, of which none are right.
    """
    match carrier:
        case Numbers():
            raise ValueError(
                "answer_correct: expected a carrier with right answers (code, cot), found numbers: leave the step out"
            )
        case Code():
            return code.right(completions, answers)
        case Cot():
            return cot.right(completions, answers)
        case _:
            assert_never(carrier)


def skilled(completions: pl.Series, answers: pl.Series, carrier: Carrier) -> pl.Series:
    """Whether each of `completions` is of the exact form and right; numbers are right if their form is. The share of these
    among completions to `held_out` prompts is a model's skill."""
    formed = reasons(completions, carrier, EXACT).list.len() == 0
    return formed if isinstance(carrier, Numbers) else formed & right(completions, answers, carrier)


def vocabulary(carrier: Carrier) -> frozenset[str]:
    """The words, in lower case, that completions of the carrier have by nature."""
    match carrier:
        case Numbers():
            return frozenset()
        case Code():
            return code.VOCABULARY
        case Cot():
            return cot.VOCABULARY
        case _:
            assert_never(carrier)
