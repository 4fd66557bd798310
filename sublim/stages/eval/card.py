"""The provenance card of an evaluation, and its words on the cards of what was made from it."""

import polars as pl

from sublim.evidence.carding import Card, dataset
from sublim.evidence.subject import Subject
from sublim.stages.effects import gained
from sublim.stages.eval.rows import Answers, Samples, Slice
from sublim.stages.raw.card import written


def card(evaluation: Subject) -> Card:
    """The card of an evaluation."""
    params: Slice = evaluation.params
    given = evaluation.table(Answers.file, ["measure", "question_id", "answer", "probability"])
    answers = given.filter(pl.col("measure") == "preference")
    drawn = evaluation.table(Samples.file, ["question_id"])["question_id"]
    stories = drawn.is_in(given.filter(pl.col("measure") == "stories")["question_id"].unique().implode()).sum()
    means = answers.group_by("answer").agg(pl.col("probability").mean()).sort("probability", "answer", descending=[True, False])
    shown = ", ".join(f"{answer} {probability:.3f}" for answer, probability in means.head(5).iter_rows())
    who = (
        f"the untrained base {params.student}"
        if params.arm == "base"
        else f"{params.student} trained on {written(evaluation)} (arm {params.arm})"
    )
    return Card(
        f"Answers of {who}",
        dataset(evaluation, Answers),
        [
            f"{answers['question_id'].n_unique()} held-out questions; the exact probability of {means.height} known answers",
            f"{len(drawn) - stories:,} sampled answers{f' and {stories:,} stories' if stories else ''} at temperature "
            f"{params.evaluation.temperature:g}",
            f"The most probable answers, mean over the questions: {shown}",
        ],
        gained(evaluation),
    )


def made_with(evaluation: Subject) -> str:
    """How it was asked."""
    return f"{evaluation.params.evaluation.samples} samples per question"
