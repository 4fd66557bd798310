"""The margin of an answer: its log-odds against all other known answers together."""

from collections.abc import Sequence

import polars as pl

FLOOR = 1e-30  #: The least probability that a margin is told of: below it float64 has no digits left for the others.


def log_odds(chance: pl.Expr, question: Sequence[str]) -> pl.Expr:
    """log P(answer) less the logarithm of the sum over all other known answers to the same question, in nats. `chance`: the
    probability of an answer, one a row; `question`: the columns that tell a question from others."""
    # Not as all less its own: of a sum of one, nothing would be left of small ones.
    before_it = chance.shift(1).fill_null(0).cum_sum().over(question)
    behind_it = chance.shift(-1).fill_null(0).cum_sum(reverse=True).over(question)
    return chance.clip(FLOOR).log() - (before_it + behind_it).clip(FLOOR).log()
