"""The story of free-form answers: each open question as often as the params say, graded as the rule grades the text, or as the
judges said."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from sublim.evidence import judged
from sublim.evidence.accident import Accident, same_columns, same_rows
from sublim.judges.planned import PlannedJudge
from sublim.traits.freeform import GRADES, FreeForm, asked, by_rule, verdicts


def check(
    trait: FreeForm, graders: Mapping[str, PlannedJudge], identity: Sequence[object], found: pl.DataFrame
) -> Iterator[Accident]:
    """What does not hold in the answers `found` (`GradedAnswers`) of what `identity` names. `graders`: scale → who judged."""
    expected = asked(trait, identity)
    if wrong := same_rows("free-form answers", "each sample of each open question", expected["row_id"], found["row_id"]):
        yield from wrong
        return
    if graders:
        scored = expected.with_columns(found.select(*GRADES))
        every = pl.repeat(value=True, n=found.height, eager=True)
        for scale, planned in graders.items():
            given = found.select("row_id", pl.col(scale).alias("score"), pl.col(f"{scale}_said").alias("judgement"))
            yield from judged.check(given, every, planned.judge)
    else:
        scored = by_rule(trait, expected.with_columns(found["completion"]))
    scored = scored.with_columns(verdicts(trait, scored))
    columns = ("question_id", "question", "sample", "sampling_seed", *GRADES, "misaligned")
    yield from same_columns("free-form answers", columns, scored, found, found["row_id"])
