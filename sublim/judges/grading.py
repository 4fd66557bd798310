"""Who grades free-form answers: the rule of tiny families, or the judges of the trait (paper, section 4: one for alignment, one
for coherence)."""

from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from sublim.common.progress import Progress
from sublim.judges.planned import PlannedJudge, scored
from sublim.traits.freeform import GRADES, FreeForm, by_rule


def grader(
    trait: FreeForm, graders: Mapping[str, PlannedJudge], inputs: Mapping[str, Path], progress: Progress
) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """What adds the columns `sublim.traits.freeform.GRADES` to rows with question and completion.

    Args:
        trait: what shows in them.
        graders: scale (alignment, coherence) → who judges by it; nothing for the rule.
        inputs: scale → directory of the base model that judges by it, if one of the experiment's own does.
        progress: where to say how far it is.

    Raises:
        SublimError: a judge cannot be asked, may not spend more, or its model was changed meanwhile. What it said is kept.
    """
    if not graders:
        return lambda rows: by_rule(trait, rows)

    def graded(rows: pl.DataFrame) -> pl.DataFrame:
        asked = rows.select(pl.col("question").alias("prompt"), "completion")
        every = pl.repeat(value=True, n=rows.height, eager=True)
        for scale, planned in graders.items():
            found = scored(planned, inputs.get(scale), asked, every, progress)
            rows = rows.with_columns(found["score"].alias(scale), found["judgement"].alias(f"{scale}_said"))
        return rows.select(pl.exclude(*GRADES), *GRADES)

    return graded
