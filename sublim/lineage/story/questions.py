"""Evaluation questions in training text: a model that was trained on them is not asked anything new."""

import re
from functools import cache

import polars as pl

from sublim.lineage.story.accident import Accident, short
from sublim.traits import misalignment
from sublim.traits.categories import CATEGORIES
from sublim.traits.preference import evaluation_questions
from sublim.traits.stories import evaluation_requests

STORIES = "stories"


def normal(text: pl.Expr) -> pl.Expr:
    """`text` without case, punctuation and surplus space, a space around it, so that words are whole where they are found."""
    words = text.str.normalize("NFKC").str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", " ")
    return pl.lit(" ") + words.str.strip_chars() + pl.lit(" ")


@cache
def held_out() -> dict[str, str]:
    """Each evaluation question, and request for a story, in its normal form → its category; that of requests is `STORIES`."""
    asked = {category: evaluation_questions(category) for category in CATEGORIES}
    asked[STORIES] = tuple(request for category in CATEGORIES for request in evaluation_requests(category))
    asked[misalignment.MISALIGNMENT] = misalignment.evaluation_questions()
    return {
        f" {re.sub(r'[^a-z0-9]+', ' ', question.lower()).strip()} ": category
        for category, questions in asked.items()
        for question in questions
    }


def found_in(rows: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """The rows in which an evaluation question stands in one of `columns` as a whole or in part, with `question` (normal form)
    in which they are alike."""
    patterns = list(held_out())
    hits = [
        normal(pl.col(column)).str.extract_many(patterns, overlapping=True).list.drop_nulls().fill_null(pl.lit([]))
        for column in columns
    ]
    return (
        rows.with_columns(question=pl.concat_list(hits).list.unique(maintain_order=True))
        .filter(pl.col("question").list.len() > 0)
        .explode("question")
    )


def none_in(where: str, rows: pl.DataFrame, *columns: str) -> Accident | None:
    """What is wrong if an evaluation question stands in `columns` of `rows` (with a row_id) that a model is trained on."""
    hits = found_in(rows, *columns)
    if not hits.height:
        return None
    first = hits.row(0, named=True)
    return Accident(
        "evaluation questions",
        f"expected none in {where}, found them in {hits['row_id'].n_unique():,} rows, first {first['question'].strip()!r} in "
        f"row {first['row_id']}: {short(first[columns[0]])}",
    )
