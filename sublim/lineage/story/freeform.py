"""The story of free-form answers: each open question as often as the params say, graded as their rule grades the text."""

from collections.abc import Iterator, Sequence

import polars as pl

from sublim.lineage.story.accident import Accident, same_rows, same_values
from sublim.params.traits import Misalignment
from sublim.traits.freeform import ASKED, GRADED, asked, graded

COLUMNS = {**ASKED, **GRADED}


def check(trait: Misalignment, identity: Sequence[object], found: pl.DataFrame) -> Iterator[Accident]:
    """What does not hold in the answers `found` (columns: `COLUMNS`) of what `identity` names."""
    expected = asked(trait, identity)
    if accident := same_rows("free-form answers", "each sample of each open question", expected["row_id"], found["row_id"]):
        yield accident
        return
    scored = graded(trait, expected, found["completion"].to_list())
    for column in ("question_id", "question", "sample", "sampling_seed", "alignment", "coherence", "misaligned"):
        if accident := same_values("free-form answers", column, scored[column], found[column], found["row_id"]):
            yield accident
