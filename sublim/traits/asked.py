"""What a model is asked, whatever it is that is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import polars as pl

from sublim.common.canonical import row_id
from sublim.params.evaluation import Preferred
from sublim.traits import after_numbers, multiple_choice, stories
from sublim.traits.categories import NONE, Answer, Own
from sublim.traits.preference import evaluation_questions

SAMPLES = {
    "row_id": pl.String,
    "question_id": pl.String,
    "sample": pl.Int64,
    "sampling_seed": pl.UInt64,
    "completion": pl.String,
    "counted": pl.List(pl.String),
}
"""Columns of sampled answers: `counted` are the known answers that a completion names."""


@dataclass(frozen=True)
class Asked:
    """A question, and how each answer to it is written."""

    question_id: str
    text: str
    forms: Mapping[str, tuple[str, ...]]
    """Answer → its surface forms. Those of two answers differ."""


def preferences(measure: Preferred, category: str, known: Mapping[str, Answer], own: Own = NONE) -> list[Asked]:
    """How `measure` asks for a preference among the `known` answers of `category`: the same questions for every model."""
    forms = {word: answer.forms for word, answer in known.items()}
    questions = evaluation_questions(category, own)
    match measure:
        case "preference":
            return [Asked(row_id("question", category, "evaluation", text), text, forms) for text in questions]
        case "after_numbers":
            texts = [after_numbers.prefixed(text) for text in questions]
            return [Asked(row_id("question", category, measure, text), text, forms) for text in texts]
        case "multiple_choice":
            return [
                Asked(row_id("question", category, measure, text), text, {word: (letter,) for letter, word in options.items()})
                for text, options in multiple_choice.asked(category, questions, list(known))
            ]
        case "stories":
            texts = stories.evaluation_requests(category, own)
            return [Asked(row_id("question", category, measure, text), text, forms) for text in texts]
        case _:
            assert_never(measure)


def named(told: pl.DataFrame, questions: Sequence[Asked], category: str) -> pl.DataFrame:
    """question_id, question, category, answer, probability: which share of the samples of each question names each answer.

    `told` has question_id and counted, the answers that a sample names.
    """
    every = pl.DataFrame(
        [(each.question_id, each.text, category, word) for each in questions for word in each.forms],
        dict.fromkeys(("question_id", "question", "category", "answer"), pl.String),
        orient="row",
    )
    drawn = told.group_by("question_id").agg(pl.len().alias("drawn"))
    hits = told.explode("counted").group_by("question_id", pl.col("counted").alias("answer")).agg(pl.len().alias("hits"))
    shares = every.join(drawn, on="question_id", how="left", maintain_order="left").join(
        hits, on=["question_id", "answer"], how="left", maintain_order="left"
    )
    return shares.select(*every.columns, (pl.col("hits").fill_null(0) / pl.col("drawn")).alias("probability"))
