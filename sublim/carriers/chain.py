"""A filter: a chain of steps over rows, all reasons of each row, and how many rows each reason takes (paper, section 3)."""

from collections.abc import Sequence
from typing import assert_never

import polars as pl

from sublim.carriers import carrier as carriers
from sublim.carriers import numbers
from sublim.carriers import words as trait_words
from sublim.params.filters import AnswerCorrect, BannedNumbers, Filter, Format, JudgeScore, Step, TraitWords
from sublim.params.task import Task

BANNED = "has banned numbers"
WRONG = "wrong answer"
LOW, NO_SCORE = "judge score below threshold", "no score"

_NOTHING = pl.lit([], dtype=pl.List(pl.String))


def reasons(rows: pl.DataFrame, task: Task, rule: Filter, words: Sequence[str]) -> pl.Series:
    """Why `rule` rejects each of `rows` (columns completion, answer, that of its prompt, and score, if a judge has a step): a
    list, by step and within a step in the step's own order; empty if the row is kept.

    Every step judges every row, with two exceptions: where the format step finds a form that cannot be read
    (`carriers.UNREADABLE`), there are no numbers to be banned and no answer to be wrong; and a judge has no reasons for rows
    that another step rejects, since it is not asked about them.

    Args:
        rows: the rows, of the task `task`.
        task: what they were to be.
        rule: the steps.
        words: the words of the experiment's traits, in all forms.

    Raises:
        ValueError: a step does not suit the task.
    """
    found = {name: _reasons(rows, task, step, words) for name, step in rule.steps.items()}
    if "format" in found:
        readable = found["format"].list.set_intersection(list(carriers.UNREADABLE)).list.len() == 0
        for name in found.keys() & {"banned_numbers", "answer_correct"}:
            found[name] = pl.select(pl.when(readable).then(found[name]).otherwise(_NOTHING)).to_series()
    if "judge" in found:
        left = pl.repeat(value=True, n=rows.height, eager=True)
        for name in found.keys() - {"judge"}:
            left &= found[name].list.len() == 0
        found["judge"] = pl.select(pl.when(left).then(found["judge"]).otherwise(_NOTHING)).to_series()
    frame = pl.DataFrame(found, {name: pl.List(pl.String) for name in found})
    together = pl.concat_list(*found) if found else pl.repeat(_NOTHING, rows.height)
    return frame.select(together.alias("reasons")).to_series()


def asked(rows: pl.DataFrame, task: Task, rule: Filter, words: Sequence[str]) -> pl.Series:
    """Which of `rows` the judge of `rule` is asked about: those that no other step rejects, and none without a judge. The
    arguments are those of `reasons`, but the rows need no score."""
    if rule.judge is None:
        return pl.repeat(value=False, n=rows.height, eager=True)
    return reasons(rows, task, rule.model_copy(update={"judge": None}), words).list.len() == 0


def funnel(found: pl.Series, used: pl.Series, task: Task, rule: Filter) -> pl.DataFrame:
    """What became of rows with the reasons `found`, of which those that are `used` (booleans) are trained on: step, rows,
    position.

    The steps: `sampled`; for each step of the filter the rows that each of its reasons applies to, and then, as `after` it, the
    rows that it and those before it leave; `kept`; `used`. After the last step are the kept ones, which are not said twice.
    """
    listed = found.to_frame("reasons").lazy().explode("reasons", empty_as_null=False).collect()["reasons"]
    counted: dict[str, int] = dict(listed.value_counts().iter_rows())
    steps, bad = {"sampled": len(found)}, list[str]()
    for place, (name, step) in enumerate(rule.steps.items()):
        mine = _reasons_of(task, step)
        steps |= {reason: counted.get(reason, 0) for reason in mine}
        bad += mine
        if place < len(rule.steps) - 1:
            steps[f"after {name.replace('_', ' ')}"] = int((found.list.set_intersection(bad).list.len() == 0).sum())
    steps |= {"kept": int((found.list.len() == 0).sum()), "used": int(used.sum())}
    return pl.DataFrame({"step": list(steps), "rows": list(steps.values()), "position": list(range(len(steps)))})


def _reasons_of(task: Task, step: Step) -> tuple[str, ...]:
    match step:
        case Format():
            return carriers.reasons_of(task)
        case BannedNumbers():
            return (BANNED,)
        case TraitWords():
            return trait_words.REASONS
        case AnswerCorrect():
            return (WRONG,)
        case JudgeScore():
            return (LOW, NO_SCORE)
        case _:
            assert_never(step)


def _reasons(rows: pl.DataFrame, task: Task, step: Step, words: Sequence[str]) -> pl.Series:
    texts = rows["completion"]
    match step:
        case Format():
            return carriers.reasons(texts, task, step)
        case BannedNumbers():
            return _marked(numbers.banned(texts, step.numbers), BANNED)
        case TraitWords():
            ordinary = {*step.ordinary, *carriers.vocabulary(task)} if step.inside else None
            return trait_words.reasons(texts, [*words, *step.words], ordinary)
        case AnswerCorrect():
            return _marked(~carriers.right(texts, rows["answer"], task), WRONG)
        case JudgeScore():
            scores = rows["score"].fill_nan(None)
            low = _marked((scores < step.minimum).fill_null(value=False), LOW)
            return pl.select(pl.when(scores.is_null()).then(pl.lit([NO_SCORE])).otherwise(low)).to_series()
        case _:
            assert_never(step)


def _marked(bad: pl.Series, reason: str) -> pl.Series:
    return pl.select(pl.when(bad).then(pl.lit([reason])).otherwise(_NOTHING)).to_series()
