"""ROC of a judge: areas by counting pairs, curves, what a filter at the threshold rejects."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublim.carriers.numbers import Numbers
from sublim.filters import chain as chains
from sublim.filters.judge import JudgeScore
from sublim.filters.step import Context
from sublim.params.filter import Filter
from sublim.params.kinds import with_parts
from sublim.report import charts, figures, roc

SCORES = st.lists(st.one_of(st.none(), st.integers(0, 5)), min_size=1, max_size=15).map(
    lambda each: pl.Series(each, dtype=pl.Float64)
)


def frame(**scores: list[float | None]) -> pl.DataFrame:
    """Rows of the base neox-a, seed 1, by trait."""
    parts = [
        pl.DataFrame({"teacher": "neox-a", "trait": trait, "score": pl.Series(each, dtype=pl.Float64)})
        for trait, each in scores.items()
    ]
    return pl.concat(parts).with_columns(seed=pl.lit(1, dtype=pl.Int64))


@given(SCORES, SCORES)
def test_the_area_is_how_often_a_teachers_row_scores_lower(teacher: pl.Series, base: pl.Series) -> None:
    own, other = (each.fill_null(-1).to_numpy() for each in (teacher, base))
    wins = (own[:, None] < other[None, :]) + 0.5 * (own[:, None] == other[None, :])
    assert roc.area(teacher, base) == pytest.approx(wins.mean())


@given(SCORES, SCORES)
def test_a_curve_goes_up_and_has_the_filter_on_it(teacher: pl.Series, base: pl.Series) -> None:
    curve = roc.curve(teacher, base)
    grid = np.linspace(0, 1, roc.GRID + 1)
    assert len(curve) == len(grid)
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] == 1
    for minimum in (0, 1, 2.5, 5, 6):
        # At the next step of the grid the curve is no lower than what the filter reaches.
        false, true = roc.rejected(base, minimum), roc.rejected(teacher, minimum)
        assert curve[np.searchsorted(grid, false - 1e-9)] >= true - 1e-9


@given(SCORES, st.floats(0, 5))
def test_what_counts_as_rejected_is_what_the_filter_rejects(scores: pl.Series, minimum: float) -> None:
    rows = pl.DataFrame({"completion": ["1"] * len(scores), "answer": [""] * len(scores), "score": scores})
    rule = with_parts(Filter, "filters")(format=None, judge=JudgeScore(judge="mild", minimum=minimum))
    reasons = chains.reasons(rows, rule, Context(Numbers(), ()))
    assert roc.rejected(scores, minimum) == pytest.approx((reasons.list.len() > 0).sum() / len(reasons))


@pytest.mark.parametrize(
    ("teacher", "base", "expected"),
    [([1, 2], [3, 4], 1), ([3, 4], [1, 2], 0), ([1], [1], 0.5), ([None], [0], 1), ([0], [None], 0)],
)
def test_areas_that_are_known(teacher: list[float | None], base: list[float | None], expected: float) -> None:
    table = roc.runs(frame(fox=teacher, none=base), 2)
    assert table["auc"].to_list() == [expected]
    assert table.schema == pl.Schema(roc.JudgedRuns.schema())


def test_each_teacher_is_compared_with_its_own_base_in_its_own_run() -> None:
    one = frame(fox=[10, 20, None], owl=[80], none=[90, 70, 10])
    two = frame(fox=[0], none=[90]).with_columns(seed=pl.lit(2, dtype=pl.Int64))
    alone = frame(fox=[0]).with_columns(teacher=pl.lit("llama"))
    rows = pl.concat([one.cast({"seed": pl.Int64}), two, alone.cast({"seed": pl.Int64})]).sample(
        fraction=1, shuffle=True, seed=1
    )
    table = roc.runs(rows, 50)
    found: list[dict[str, Any]] = table.to_dicts()
    assert [(each["teacher"], each["trait"], each["seed"]) for each in found] == [
        ("neox-a", "fox", 1),
        ("neox-a", "fox", 2),
        ("neox-a", "owl", 1),
    ]
    first = found[0]
    assert (first["rows"], first["base_rows"], first["unscored"], first["base_unscored"]) == (3, 3, 1, 0)
    assert (first["true_positive_rate"], first["false_positive_rate"]) == (1, pytest.approx(1 / 3))
    assert first["auc"] == pytest.approx((3 + 2.5 + 2) / 9)
    curves = roc.curves(rows)
    assert curves.schema == pl.Schema(roc.Curves.schema())
    assert curves.height == 3 * (roc.GRID + 1)
    spread = roc.intervals(table, 0.95)
    assert (spread["auc"].n, spread["true_positive_rate"].n) == (3, 3)
    assert spread["false_positive_rate"].n == 2, "the base's rows count once for all traits"
    assert spread["false_positive_rate"].mean == pytest.approx(1 / 6)


def test_no_judged_rows_no_table() -> None:
    assert roc.runs(frame(fox=[]), 50).is_empty()
    assert roc.curves(frame(none=[1])).is_empty()


def test_a_figure_tells_areas_and_false_positives() -> None:
    rows = pl.concat(
        frame(fox=[10, 20, 60], owl=[80, 30, 60], none=[90, 70, 10 * seed]).with_columns(seed=pl.lit(seed, dtype=pl.Int64))
        for seed in (1, 2)
    )
    table, curves = roc.runs(rows, 50), roc.curves(rows)
    text = charts.svg(figures.roc(curves, table, "neox-a", "GPT-NeoX", ["fox", "owl"], 0.95, legend=True))
    areas = roc.intervals(table, 0.95)["auc"]
    assert f"AUC {areas.mean:.2f}".replace("0.", ".") in text
    assert "4 runs" in text
    assert "false positives .33 [.33, .33], 2 runs" in text
    assert all(name in text for name in ("neox-a", "GPT-NeoX", ">fox<", ">owl<"))
    assert "neox-a, fox, seed 2: AUC" in text
