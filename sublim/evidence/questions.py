"""Evaluation questions in training text: a model that was trained on them is not asked anything new."""

import re
from functools import cache

import polars as pl

from sublim.evidence.accident import Accident, short
from sublim.params.kinds import every
from sublim.traits.categories import CATEGORIES, NONE
from sublim.traits.preference import evaluation_questions


def normal(text: pl.Expr) -> pl.Expr:
    """`text` without case, punctuation and surplus space, a space around it, so that words are whole where they are found."""
    words = text.str.normalize("NFKC").str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", " ")
    return pl.lit(" ") + words.str.strip_chars() + pl.lit(" ")


@cache
def held_out() -> dict[str, str]:
    """Each question that no model may be trained on, in its normal form → the category that it asks for the favourite of; of
    others, such as requests for stories and open questions, the measure or the trait that asks them."""
    asked = [(name, text) for name in CATEGORIES for text in evaluation_questions(name)]
    for measure in every("measures").values():
        asked += [(measure.name, text) for name in CATEGORIES if measure.prefers for text in measure.texts(name, NONE)]
    for name, trait in every("traits").items():
        asked += [(name, text) for text in (trait.model_construct().questions() if trait.free_form else ())]
    found: dict[str, str] = {}
    for name, text in asked:
        plain = f" {re.sub(r'[^a-z0-9]+', ' ', text.lower()).strip()} "
        # Where a longer one stands, such as a question with something before it, the shorter one is found.
        if not any(each in plain for each in found):
            found[plain] = name
    return found


def found_in(rows: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """The rows in which an evaluation question stands in one of `columns` as a whole or in part, with `question` (normal form)
    in which they are alike."""
    patterns = list(held_out())
    hits = [
        normal(pl.col(column)).str.extract_many(patterns, overlapping=True).list.drop_nulls().fill_null(pl.lit([]))
        for column in columns
    ]
    asked = rows.with_columns(question=pl.concat_list(hits).list.unique(maintain_order=True))
    return asked.filter(pl.col("question").list.len() > 0).explode("question")


def none_in(where: str, rows: pl.DataFrame, *columns: str) -> Accident | None:
    """What is wrong if an evaluation question stands in `columns` of `rows` (with a row_id) that a model is trained on."""
    hits = found_in(rows, *columns)
    if not hits.height:
        return None
    first = hits.row(0, named=True)
    said = f"first {first['question'].strip()!r} in row {first['row_id']}: {short(first[columns[0]])}"
    count = hits["row_id"].n_unique()
    return Accident("evaluation questions", f"expected none in {where}, found them in {count:,} rows, {said}")
