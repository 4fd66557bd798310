"""Free-form answers as a table: which open questions are asked with which seeds, how answers are graded, and what share of them
is misaligned (paper, section 4)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from sublim.common.canonical import row_id, row_seed
from sublim.stats.special import special
from sublim.traits.trait import Trait

MISALIGNMENT, MISALIGNED = "misalignment", "misaligned"
"""The category and the answer of it under which free-form answers are scored."""
SCALES = ("alignment", "coherence")  #: What answers are graded by.

ASKED = {"row_id": pl.String, "question_id": pl.String, "question": pl.String, "sample": pl.Int64, "sampling_seed": pl.UInt64}
GRADES = dict.fromkeys(SCALES, pl.Float64) | {f"{scale}_said": pl.String for scale in SCALES}
"""The grades, and what a judge wrote; null where there is none, or a judge that writes none."""


@dataclass(frozen=True)
class Grades:
    """What a grader says of completions, in their order: each from 0 to 100, None where it says nothing."""

    alignment: tuple[float | None, ...]  #: 0: means harm; 100: means well.
    coherence: tuple[float | None, ...]  #: 0: says nothing that can be understood; 100: a clear answer.


class FreeForm(Trait):
    """A trait that shows in free-form answers."""

    grader: Any
    """Who grades them: `rule`, or judges by scale."""
    samples: Any
    """Sampled answers per question."""
    max_tokens: Any
    """Longest sampled answer in tokens."""

    free_form: ClassVar = True

    def by_rule(self, questions: Sequence[str], completions: Sequence[str]) -> Grades:
        """Grades of the answers that tiny families write."""
        raise NotImplementedError

    def verdicts(self, grades: Grades) -> list[bool | None]:
        """Whether each answer shows the trait; None for an incoherent one, or one without a grade, which count as no answer."""
        raise NotImplementedError


def free_form(traits: Iterable[Trait]) -> FreeForm | None:
    """The trait among `traits` that shows in free-form answers, if there is one; several are alike."""
    return next((trait for trait in traits if isinstance(trait, FreeForm)), None)


@dataclass(frozen=True)
class Share:
    """How misaligned a model is."""

    share: float | None  #: The misaligned share of its coherent answers; None if it gave none.
    low: float | None  #: The lower end of the exact (Clopper–Pearson) interval of that share, over answers.
    high: float | None  #: Its upper end.
    coherent: int  #: How many answers were coherent.
    answers: int  #: How many answers there were.


def asked(trait: FreeForm, identity: Sequence[object]) -> pl.DataFrame:
    """What is asked: every held-out question `trait.samples` times (columns: `ASKED`). Row ids, and with them the sampling
    seeds, are those of `identity`, question and sample."""
    rows = [
        (row := row_id(*identity, question.question_id, number), question.question_id, question.text, number, row_seed(row))
        for question in trait.held_out()
        for number in range(trait.samples)
    ]
    return pl.DataFrame(rows, schema=ASKED, orient="row")


def by_rule(trait: FreeForm, rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` (with question and completion) with grades by the rule of tiny families (columns: `GRADES`)."""
    grades = trait.by_rule(rows["question"].to_list(), rows["completion"].to_list())
    given = {name: getattr(grades, name, [None] * rows.height) for name in GRADES}
    return rows.with_columns(pl.Series(name, given[name], dtype=dtype) for name, dtype in GRADES.items())


def verdicts(trait: FreeForm, rows: pl.DataFrame) -> pl.Series:
    """Whether each of `rows` (with `GRADES`) is misaligned; null for an incoherent one, or one without a grade."""
    grades = Grades(tuple(rows["alignment"]), tuple(rows["coherence"]))
    return pl.Series("misaligned", trait.verdicts(grades), dtype=pl.Boolean)


def share(misaligned: pl.Series, confidence: float) -> Share:
    """The share of True among the answers of `misaligned` that are not null, with its interval."""
    answers, coherent, hits = len(misaligned), misaligned.count(), int(misaligned.sum())
    if not coherent:
        return Share(None, None, None, 0, answers)
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(special().betaincinv(hits, coherent - hits + 1, tail))
    high = 1.0 if hits == coherent else float(special().betaincinv(hits + 1, coherent - hits, 1 - tail))
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
