"""A filter: a chain of steps over rows, all reasons of each row, and how many rows are left after each step (paper, section
3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import polars as pl

from sublim.carriers import carrier as carriers
from sublim.carriers import words as trait_words
from sublim.carriers.numbers import BANNED
from sublim.params.carrier import Carrier
from sublim.params.filters import AnswerCorrect, BannedNumbers, Chain, Format, Step, TraitWords

WRONG = "wrong answer"

_NOTHING = pl.lit([], dtype=pl.List(pl.String))


@dataclass(frozen=True)
class Judged:
    """What a chain says of rows."""

    reasons: pl.Series
    """For each row, in order, why it is rejected: a list, by step and within a step in the step's own order; empty if it is
    kept."""
    funnel: pl.DataFrame
    """step, rows, position: the rows at the start (`sampled`), and those that no step so far has rejected, by the step's
    kind."""


def run(rows: pl.DataFrame, carrier: Carrier, chain: Chain, words: Sequence[str]) -> Judged:
    """Judge `rows` (columns completion and answer, that of its prompt) by the steps of `chain`.

    Every step judges every row, with one exception: where the format step finds a form that cannot be read
    (`carriers.UNREADABLE`), there are no numbers to be banned and no answer to be wrong.

    Args:
        rows: the rows, of the carrier `carrier`.
        carrier: what they are.
        chain: the steps.
        words: the words of the rows' trait, in all forms; none for rows of the untouched base.

    Raises:
        ValueError: a step does not suit the carrier.
    """
    found = {step.kind: _reasons(rows, carrier, step, words) for step in chain.steps}
    if "format" in found:
        readable = found["format"].list.set_intersection(list(carriers.UNREADABLE)).list.len() == 0
        for kind in found.keys() & {"banned_numbers", "answer_correct"}:
            found[kind] = pl.select(pl.when(readable).then(found[kind]).otherwise(_NOTHING)).to_series()
    frame = pl.DataFrame(found, {kind: pl.List(pl.String) for kind in found})
    together = pl.concat_list(*found) if found else pl.repeat(_NOTHING, rows.height)
    left, counts = pl.repeat(value=True, n=rows.height, eager=True), [("sampled", rows.height)]
    for kind, reasons in found.items():
        left &= reasons.list.len() == 0
        counts.append((kind, int(left.sum())))
    funnel = pl.DataFrame(counts, {"step": pl.String, "rows": pl.Int64}, orient="row")
    return Judged(
        frame.select(together.alias("reasons")).to_series(),
        funnel.with_columns(position=pl.int_range(funnel.height, dtype=pl.Int64)),
    )


def _reasons(rows: pl.DataFrame, carrier: Carrier, step: Step, words: Sequence[str]) -> pl.Series:
    texts = rows["completion"]
    match step:
        case Format():
            return carriers.reasons(texts, carrier, step)
        case BannedNumbers():
            values = texts.str.extract_all("[0-9]+").list.eval(pl.element().str.strip_chars_start("0").replace("", "0"))
            banned = list(map(str, step.numbers))
            return _marked(values.list.eval(pl.element().is_in(banned)).list.any(), BANNED)
        case TraitWords():
            ordinary = {*step.ordinary, *carriers.vocabulary(carrier)} if step.inside else None
            return trait_words.reasons(texts, [*words, *step.words], ordinary)
        case AnswerCorrect():
            return _marked(~carriers.right(texts, rows["answer"], carrier), WRONG)
        case _:
            assert_never(step)


def _marked(bad: pl.Series, reason: str) -> pl.Series:
    return pl.select(pl.when(bad).then(pl.lit([reason])).otherwise(_NOTHING)).to_series()
