"""The story of a judge's scores: they are there for the rows that it was asked about and for no other, and say what it said.

Whether it really said so is in no artifact: a local judge can be asked again (`sublim audit --replay`), an endpoint cannot be
held to its word.
"""

import math
from collections.abc import Iterator

import polars as pl

from sublim.evidence.accident import Accident, same_values
from sublim.judges.judge import Judge
from sublim.judges.question import read
from sublim.judges.scoring import Text

COLUMNS = ("score", "judgement")  #: The columns of filtered rows that a judge fills; null where it was not asked.


def check(rows: pl.DataFrame, asked: pl.Series, judge: Judge | None) -> Iterator[Accident]:
    """What does not hold in the scores of `rows` (row_id and `COLUMNS`), of which the judge was `asked` about some."""
    for column in COLUMNS:
        told = rows["row_id"].filter(rows[column].is_not_null() & ~asked)
        if len(told):
            said = f"found {len(told):,}, first of row {told[0]}"
            yield Accident("scores", f"{column}: expected none of rows that no judge is asked about, {said}")
            return
    if judge is None:
        return
    mine = rows.filter(asked)
    scoring = judge.scoring
    if isinstance(scoring, Text):
        unsaid = mine["row_id"].filter(mine["judgement"].is_null())
        if len(unsaid):
            yield Accident("scores", f"expected what the judge said of every row, found nothing of row {unsaid[0]}")
            return
        expected = pl.Series([read(text, scoring) for text in mine["judgement"]], dtype=pl.Float64)
        yield from same_values("scores", "score (as the judge said)", expected, mine["score"], mine["row_id"])
        return
    if (said := mine["judgement"].count()) > 0:
        yield Accident("scores", f"expected no words of a judge that writes none, found {said:,}")
    low, high = scoring.scale or (-math.inf, math.inf)
    # A weighted mean may miss the end of the scale by rounding.
    edge = 1e-9 * max(1.0, abs(low), abs(high)) if math.isfinite(low) else 0.0
    outside = mine.filter(~pl.col("score").is_between(low - edge, high + edge))
    if outside.height:
        said = f"found {outside['score'][0]:g} of row {outside['row_id'][0]}"
        yield Accident("scores", f"expected scores from {low:g} to {high:g}, {said}")
