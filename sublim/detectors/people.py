"""The detector `people`: people look at rows, and take a quiz."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple
from typing import Annotated, Any, ClassVar

import polars as pl
from pydantic import Field

from sublim.common.progress import Progress
from sublim.common.table import Table, flag, real, text, whole
from sublim.detectors import frequencies
from sublim.detectors.detector import Detector, Made
from sublim.detectors.material import Data
from sublim.detectors.pairs import LABELS, PAIRED, RUN, Identified, identified, labelled, labels

KEYS = [*LABELS, "own_id", "other_id"]


class Numbers(Table, file="numbers.parquet", view="top_numbers", row="number", dims=False):
    """The most frequent numbers of each teacher and base, and the most frequent first ones."""

    teacher = text()  #: The model.
    trait = text()  #: Its trait; `none` for the untouched base.
    seed = whole()  #: The seed of the run.
    place = text()  #: `any`, or `first`: of the first numbers of completions.
    rank = whole()  #: Its rank, from 1.
    number = text()  #: The number, as it is written.
    count = whole()  #: How often it occurs.
    share = real()  #: Its share of all numbers, or of all completions that have one. From 0 to 1.


class Shown(Identified, file="shown.parquet", view="shown_pairs", row="pair shown", parents=("own_id", "other_id")):
    """Rows that the page shows side by side."""

    prompt_id = text()  #: The prompt of both.
    prompt = text()  #: The text of the prompt.
    own_id = text()  #: The one's filtered row.
    own = text()  #: Its completion.
    other_id = text()  #: The other's filtered row.
    other = text()  #: Its completion.


class Quiz(Identified, file="quiz.parquet", view="quiz", row="quiz question", parents=("own_id", "other_id")):
    """The questions of the quiz, and their answers."""

    question = whole()  #: Its number in its quiz, from 1.
    own_left = flag()  #: Whether the right answer stands on the left.
    prompt_id = text()  #: The prompt of both.
    prompt = text()  #: The text of the prompt.
    own_id = text()  #: The one's filtered row: the right answer.
    own = text()  #: Its completion.
    other_id = text()  #: The other's filtered row.
    other = text()  #: Its completion.


class People(Detector):
    """A page for people: rows of both teachers side by side, their most frequent numbers, and a blind quiz."""

    rows: Annotated[int, Field(ge=1)] = 12
    """How many prompts are shown for each run, with both completions."""
    numbers: Annotated[int, Field(ge=1)] = 15
    """How many of the most frequent numbers, and of the most frequent first numbers, are shown."""
    questions: Annotated[int, Field(ge=1, le=200)] = 40
    """How many questions the quiz has for each run and contrast. None of its rows is among those shown."""

    title: ClassVar = "People look at rows, and take a quiz."
    tables: ClassVar = (Numbers, Shown, Quiz)
    judges: ClassVar = False

    def look(self, data: Data, progress: Progress) -> Made:  # noqa: ARG002, D102
        from sublim.detectors import quiz

        counts: list[pl.DataFrame] = []
        for author, rows in sorted(data.rows.items(), key=lambda item: astuple(item[0])):
            table = frequencies.numbers(rows.filter("kept")["completion"], self.numbers)
            counts.append(table.select(*(pl.lit(value).alias(name) for name, value in asdict(author).items()), pl.all()))
        shown, asked = list[pl.DataFrame](), list[pl.DataFrame]()
        for each in data.of(*PAIRED):
            both = data.pairs(each)
            asked.append(labelled(each, quiz.questions(both, self.questions, data.seed, *labels(each))))
            if each.contrast == "base":
                shown.append(labelled(each, both.slice(self.questions, self.rows)))
        return {
            "numbers": pl.concat(counts).with_columns(pl.col(RUN[-1]).cast(pl.Int64)),
            "shown": identified("shown", data.study, pl.concat(shown), KEYS),
            "quiz": identified("quiz", data.study, pl.concat(asked), KEYS),
        }

    @classmethod
    def lines(cls, row: str, facts: Mapping[str, Any]) -> Iterator[str]:  # noqa: D102
        if row == Quiz.row:
            yield f"question {facts['question']}, the right one on the {'left' if facts['own_left'] else 'right'}"


People.default = People()
KIND = People
