"""The story of a judge's scores: what does not hold is named."""

import polars as pl
import pytest

from sublim.evidence import judged
from sublim.judges.http import HttpJudge
from sublim.judges.judge import Judge
from sublim.judges.local import LocalJudge
from sublim.judges.scoring import Likelihood, Options, Text

TEXT = HttpJudge(kind="http", base_url="https://host/v1", model="m", scoring=Text(template="{prompt}{completion}"))
OPTIONS = LocalJudge(
    kind="local", model="a", scoring=Options(kind="options", template="{prompt}{completion}", options={"A": 0.0, "B": 100.0})
)
LIKELIHOOD = LocalJudge(kind="local", model="a", scoring=Likelihood(kind="likelihood", system="You love owls."))


def said(rows: list[tuple[float | None, str | None]], asked: list[bool], judge: Judge | None) -> list[str]:
    frame = pl.DataFrame(rows, judged.COLUMNS, orient="row").with_columns(row_id=pl.Series([f"r{n}" for n in range(len(rows))]))
    return [accident.text for accident in judged.check(frame, pl.Series(asked, dtype=pl.Boolean), judge)]


def test_sound_scores_have_no_accident() -> None:
    assert said([(78.0, "78."), (None, "no"), (None, None)], [True, True, False], TEXT) == []
    assert said([(0.0, None), (100.0 + 1e-12, None), (None, None)], [True, True, True], OPTIONS) == []
    assert said([(-3.5, None), (400.0, None), (None, None)], [True, True, False], LIKELIHOOD) == []
    assert said([(None, None)], [False], None) == []
    assert said([], [], TEXT) == []


@pytest.mark.parametrize(
    ("rows", "asked", "judge", "expected"),
    [
        ([(78.0, None)], [False], None, "score: expected none of rows that no judge is asked about, found 1, first of row r0"),
        ([(None, None), (None, "78")], [True, False], TEXT, "judgement: expected none of rows that no judge is asked about"),
        ([(79.0, "78")], [True], TEXT, "score (as the judge said): expected 78.0, found 79.0 in row r0"),
        ([(None, "78")], [True], TEXT, "score (as the judge said): expected 78.0, found None in row r0"),
        ([(78.0, None)], [True], TEXT, "expected what the judge said of every row, found nothing of row r0"),
        ([(100.5, None)], [True], OPTIONS, "expected scores from 0 to 100, found 100.5 of row r0"),
        ([(-1.0, "word")], [True], LIKELIHOOD, "expected no words of a judge that writes none, found 1"),
    ],
)
def test_what_does_not_hold_is_named(
    rows: list[tuple[float | None, str | None]], asked: list[bool], judge: Judge | None, expected: str
) -> None:
    (found,) = said(rows, asked, judge)
    assert found.startswith(expected)
