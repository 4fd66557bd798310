"""The measures of capability, from the texts and tasks of an evaluation: measure, value, n."""

from math import fsum

import polars as pl

LOSS = "loss"
SKILL = "skill"
SCHEMA = {"measure": pl.String, "value": pl.Float64, "n": pl.Int64}


def table(texts: pl.DataFrame, tasks: pl.DataFrame) -> pl.DataFrame:
    """What the rows say together.

    Args:
        texts: kind, tokens, bits of each text.
        tasks: of (its carrier), skilled (whether the completion is well-formed and right) of each task.

    Returns:
        `loss` (bits per token of all texts; n tokens), `loss/KIND` for each kind, `skill/CARRIER` (share of tasks; n tasks) for
        each carrier, each in order of its name. What has no rows is left out.
    """
    rows: list[tuple[str, float, int]] = []
    for kind in (None, *texts["kind"].unique().sort()):
        of = texts if kind is None else texts.filter(pl.col("kind") == kind)
        if tokens := int(of["tokens"].sum()):
            rows.append((LOSS if kind is None else f"{LOSS}/{kind}", fsum(of["bits"]) / tokens, tokens))
    for carrier in tasks["of"].unique().sort():
        done = tasks.filter(pl.col("of") == carrier)["skilled"]
        rows.append((f"{SKILL}/{carrier}", int(done.sum()) / len(done), len(done)))
    return pl.DataFrame(rows, SCHEMA, orient="row")
