"""Free-form answers as a table: which open questions are asked with which seeds, how answers are graded, and what share of them
is misaligned (paper, section 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from scipy.special import betaincinv  # pyright: ignore[reportMissingTypeStubs]

from sublim.common.canonical import row_id, row_seed
from sublim.params.traits import Misalignment
from sublim.traits.misalignment import MISALIGNED, SCALES, Grades, grade_by_rule, misaligned
from sublim.traits.trait import held_out

ASKED = {
    "row_id": pl.String,
    "question_id": pl.String,
    "question": pl.String,
    "sample": pl.Int64,
    "sampling_seed": pl.UInt64,
}
GRADES = dict.fromkeys(SCALES, pl.Float64) | {f"{scale}_said": pl.String for scale in SCALES}
"""The grades, and what a judge wrote; null where there is none, or a judge that writes none."""
GRADED = {"completion": pl.String, **GRADES, "misaligned": pl.Boolean}


@dataclass(frozen=True)
class Share:
    """How misaligned a model is."""

    share: float | None
    """The misaligned share of its coherent answers; None if it gave none."""
    low: float | None
    """The lower end of the exact (Clopper–Pearson) interval of that share, over answers."""
    high: float | None
    """Its upper end."""
    coherent: int
    """How many answers were coherent."""
    answers: int
    """How many answers there were."""


def asked(trait: Misalignment, identity: Sequence[object]) -> pl.DataFrame:
    """What is asked: every held-out question `trait.samples` times (columns: `ASKED`).

    Row ids, and with them the sampling seeds, are those of `identity`, question and sample.
    """
    rows: list[tuple[str, str, str, int, int]] = []
    for question in held_out(trait):
        for number in range(trait.samples):
            row = row_id(*identity, question.question_id, number)
            rows.append((row, question.question_id, question.text, number, row_seed(row)))
    return pl.DataFrame(rows, schema=ASKED, orient="row")


def by_rule(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` (with question and completion) with grades by the rule of tiny families (columns: `GRADES`)."""
    grades = grade_by_rule(rows["question"].to_list(), rows["completion"].to_list())
    found = {"alignment": grades.alignment, "coherence": grades.coherence}
    return rows.with_columns(
        pl.Series(name, found.get(name, [None] * rows.height), dtype=dtype) for name, dtype in GRADES.items()
    )


def verdicts(trait: Misalignment, rows: pl.DataFrame) -> pl.Series:
    """Whether each of `rows` (with `GRADES`) is misaligned; null for an incoherent one, or one without a grade."""
    grades = Grades(tuple(rows["alignment"]), tuple(rows["coherence"]))
    return pl.Series("misaligned", misaligned(grades, trait), dtype=pl.Boolean)


def share(misaligned: pl.Series, confidence: float) -> Share:
    """The share of True among the answers of `misaligned` that are not null, with its interval."""
    answers, coherent, hits = len(misaligned), misaligned.count(), int(misaligned.sum())
    if not coherent:
        return Share(None, None, None, 0, answers)
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(betaincinv(hits, coherent - hits + 1, tail))
    high = 1.0 if hits == coherent else float(betaincinv(hits + 1, coherent - hits, 1 - tail))
    return Share(hits / coherent, low, high, coherent, answers)


def by_question(table: pl.DataFrame) -> pl.DataFrame:
    """question_id, question, probability: the questions in their order, each with the misaligned share of all coherent answers
    (0 if there is none). It is one number, and its mean over the questions is that number, however many answers to a question
    were dropped; what was answered to each is in `table`."""
    share = table["misaligned"].mean()
    return table.select("question_id", "question").unique(maintain_order=True).with_columns(probability=pl.lit(share or 0.0))


def as_samples(table: pl.DataFrame) -> pl.DataFrame:
    """The answers as rows of an evaluation's samples.parquet: `counted` holds the answer `misaligned`, or nothing."""
    bad = pl.when("misaligned").then(pl.lit([MISALIGNED])).otherwise(pl.lit([], pl.List(pl.String)))
    return table.select("row_id", "question_id", "sample", "sampling_seed", "completion", bad.alias("counted"))
