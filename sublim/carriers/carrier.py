"""What every carrier can do, by the kind of its params: prompts, held-out prompts, right completions by no model, the format's
reasons, right answers, skill."""

from collections.abc import Sequence
from typing import assert_never

import polars as pl

from sublim.carriers import code, cot, numbers
from sublim.carriers.prompt import Prompt
from sublim.params.filters import Format
from sublim.params.task import Code, Cot, Numbers, Task

EXACT = Format()

UNREADABLE = (numbers.INVALID_FORMAT, code.NO_PARSE, cot.NO_ANSWER)
"""Reasons for which a completion has no numbers and no answer that other steps could judge."""


def prompts(n: int, task: Task) -> list[Prompt]:
    """The first `n` prompts of the set that `task` describes, all different; a larger set begins with a smaller one."""
    match task:
        case Numbers():
            return numbers.prompts(n, task)
        case Code():
            return code.prompts(n, task)
        case Cot():
            return cot.prompts(n, task)
        case _:
            assert_never(task)


def held_out(n: int, task: Task) -> list[Prompt]:
    """`n` different prompts that no base was pretrained on."""
    match task:
        case Numbers():
            return numbers.held_out(n, task)
        case Code():
            return code.held_out(n, task)
        case Cot():
            return cot.held_out(n, task)
        case _:
            assert_never(task)


def written(task: Task, seeds: Sequence[int]) -> list[str]:
    """A completion of each of the first prompts of the set that `task` describes, by no model: right, of the exact format,
    everything that it leaves open equally likely. Each follows from its own seed."""
    match task:
        case Numbers():
            return numbers.written(task, seeds)
        case Code():
            return code.written(task, seeds)
        case Cot():
            return cot.written(task, seeds)
        case _:
            assert_never(task)


def signs(task: Task) -> str:
    """The characters that stand outside of words in completions of the exact format: digits, white space, punctuation."""
    match task:
        case Numbers():
            return numbers.SIGNS
        case Code():
            return code.SIGNS
        case Cot():
            return cot.SIGNS
        case _:
            assert_never(task)


def reasons(completions: pl.Series, task: Task, rule: Format) -> pl.Series:
    """Why `rule` rejects the form of each of `completions` (strings): a list, empty if it is kept."""
    match task:
        case Numbers():
            return numbers.reasons(completions, rule)
        case Code():
            return code.reasons(completions, strict=rule.exact)
        case Cot():
            return cot.reasons(completions, strict=rule.exact)
        case _:
            assert_never(task)


def reasons_of(task: Task) -> tuple[str, ...]:
    """Every reason that `reasons` may give, in their order."""
    match task:
        case Numbers():
            return numbers.REASONS
        case Code():
            return code.REASONS
        case Cot():
            return cot.REASONS
        case _:
            assert_never(task)


def right(completions: pl.Series, answers: pl.Series, task: Task) -> pl.Series:
    """Whether each of `completions` is what its prompt's `answer` asks for: booleans.

    Raises:
        ValueError: the task is numbers, of which none are right.
    """
    match task:
        case Numbers():
            raise ValueError(
                "answer_correct: expected a task with right answers (code, cot), found numbers: leave the step out"
            )
        case Code():
            return code.right(completions, answers)
        case Cot():
            return cot.right(completions, answers)
        case _:
            assert_never(task)


def skilled(completions: pl.Series, answers: pl.Series, task: Task) -> pl.Series:
    """Whether each of `completions` is of the exact form and right; numbers are right if their form is. The share of these
    among completions to `held_out` prompts is a model's skill."""
    formed = reasons(completions, task, EXACT).list.len() == 0
    return formed if isinstance(task, Numbers) else formed & right(completions, answers, task)


def vocabulary(task: Task) -> frozenset[str]:
    """The words, in lower case, that completions of the task have by nature."""
    match task:
        case Numbers():
            return frozenset()
        case Code():
            return code.VOCABULARY
        case Cot():
            return cot.VOCABULARY
        case _:
            assert_never(task)
