"""A judge as an artifact depends on it, and asking it about the rows of a table."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import polars as pl

from sublim.common.progress import Progress
from sublim.judges.files import verify_unchanged
from sublim.judges.judge import Judge, Judgement, judgements, root
from sublim.params.kinds import OneOf
from sublim.params.section import Section


class PlannedJudge(Section):
    """A judge as an artifact depends on it."""

    name: str
    """What the experiment calls it."""
    judge: Annotated[Judge, OneOf("judges")]
    """What it is, without its access."""
    files: Mapping[str, str]
    """Digests of the files of a judge from a folder of this machine, by name; nothing for others."""

    @property
    def asks(self) -> str:
        """This judge."""
        return self.name


def planned(experiment: Any, name: str, folder: Callable[[str], dict[str, str]]) -> PlannedJudge:
    """The judge `name` of an experiment; `folder` gives the digests of the files in a folder."""
    judge: Judge = experiment.judges[name]
    files = folder(str(judge.place)) if judge.place is not None else {}
    return PlannedJudge(name=name, judge=judge.without_access(), files=files)


def scored(
    planned: PlannedJudge, folder: Path | None, rows: pl.DataFrame, asked: pl.Series, progress: Progress
) -> pl.DataFrame:
    """`rows` (with prompt and completion) with what the judge says of those that it is `asked` about: score and judgement, both
    null for the others. `folder`: where its model is, if that is a base of the experiment. Raises SublimError: see
    `Judge.judgements`; or its model is another one than when the run was planned."""
    name, judge = planned.name, planned.judge.reached(planned.name)
    if judge.place is not None:
        folder = judge.place
        verify_unchanged(name, folder, planned.files)
    pairs = list(rows.filter(asked).select("prompt", "completion").iter_rows())
    said = iter(judgements(name, judge, folder, pairs, root(), progress))
    found = [next(said) if each else Judgement(None, None) for each in asked]
    scores = pl.Series("score", [each.score for each in found], dtype=pl.Float64)
    return rows.with_columns(scores, pl.Series("judgement", [each.said for each in found], dtype=pl.String))
