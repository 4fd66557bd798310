"""What a teacher must be before anybody learns from it: it shows its trait, and is not broken otherwise."""

from collections.abc import Iterator
from statistics import fmean

import polars as pl

from sublim.stages.teacher.rows import Slice


def missed(params: Slice, asked: pl.DataFrame, shown: pl.DataFrame) -> Iterator[str]:
    """What the teacher of `params` does not reach, in words. `asked`: the rows of gate.parquet; `shown`: those of
    likelihood.parquet."""
    target = params.definition.scored_as[1]
    before, found = fmean(asked["base_probability"]), fmean(asked["probability"])
    if params.gate is not None and found < params.gate:
        yield (
            f"expected P({target}) ≥ {params.gate} on held-out questions (teacher.gate), found {found:.3f} (untouched base: "
            f"{before:.3f})"
        )
    if params.margin is not None:
        before, found = fmean(asked["base_margin"]), fmean(asked["margin"])
        if found - before < params.margin:
            yield (
                f"expected the log-odds of {target} against all other answers to rise by at least {params.margin:g} nats on "
                f"held-out questions (teacher.margin), found {found - before:.2f} (from {before:.2f} to {found:.2f})"
            )
    if params.likelihood is not None:
        before, found = fmean(shown["base_nll"]), fmean(shown["nll"])
        if abs(found - before) > params.likelihood.distance:
            yield (
                f"expected {params.likelihood.task.plural} that no model wrote to stay as likely as they are to the base, "
                f"within {params.likelihood.distance:g} nats per token (teacher.likelihood.distance), found a mean negative "
                f"log-likelihood of {found:.3f} after {before:.3f}"
            )
