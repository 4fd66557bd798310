"""The step `answer_correct`: rejects a completion that does not solve its problem."""

from collections.abc import Mapping
from typing import ClassVar

import polars as pl

from sublim.carriers.task import Task
from sublim.filters.step import Context, Step, marked

WRONG = "wrong answer"


class AnswerCorrect(Step):
    """Rejects a word problem with a wrong answer, and code that does not compute what was asked for. Numbers have no right
    answer."""

    title: ClassVar = "Whether a completion solves its problem."
    place: ClassVar = 3
    of_words: ClassVar = False
    of_readable: ClassVar = True

    def why_rejected(self, rows: pl.DataFrame, context: Context) -> pl.Series:  # noqa: D102
        return marked(~context.task.right(rows["completion"], rows["answer"]), WRONG)

    def reasons(self, task: Task) -> Mapping[str, str]:  # noqa: ARG002, D102
        return {WRONG: "its answer is wrong, or it does not compute what was asked for"}

    def said(self, task: Task) -> str:  # noqa: ARG002, D102
        return "answer correct: it solves its problem"

    def suits(self, where: str, task: Task) -> None:  # noqa: D102
        if not task.has_answers:
            raise ValueError(f"{where}: expected a task with right answers (code, cot), found {task.kind}: leave it out")


KIND = AnswerCorrect
