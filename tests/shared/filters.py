"""Filters with the steps that a test names, and what they say of rows."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from sublim.carriers.task import Task
from sublim.filters import chain
from sublim.filters.step import Context
from sublim.params.filter import Filter
from sublim.params.kinds import with_parts


def filter_of(**keys: Any) -> Filter:
    """A filter with these keys, and the defaults of the others."""
    return with_parts(Filter, "filters")(**keys)


def completions(texts: Sequence[str], answers: Sequence[str] | None = None) -> pl.DataFrame:
    """Rows with these completions; `answers`: those of their prompts, none if left out."""
    schema = {"completion": pl.String, "answer": pl.String}
    return pl.DataFrame({"completion": texts, "answer": answers or [""] * len(texts)}, schema)


def reasons(rows: pl.DataFrame, task: Task, rule: Filter, words: Sequence[str] = ()) -> list[list[str]]:
    """Why `rule` rejects each of `rows`, which were to be of `task` and to hold none of `words`."""
    return chain.reasons(rows, rule, Context(task, words)).to_list()
