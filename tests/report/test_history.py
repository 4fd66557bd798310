"""Transmission by shared history: who takes part, the points and the fits by way."""

import polars as pl
import pytest

from sublim.params.relatives import Relatives, Way
from sublim.report.history import HistoryCurves, HistoryPoints, HistoryRuns, curves, fits, points, runs, summary
from sublim.report.margins import Margins

SHARES = {"order": (0.0, 0.25, 0.5, 0.9), "mix": (0.0, 0.5)}
KIN = [
    Relatives(teacher="t", student="t", trunk="t", share=1.0, way="both"),
    *(
        Relatives(teacher=teacher, student=student, trunk="t", share=share, way=way)
        for way in ("order", "mix")
        for share in SHARES[way]
        for teacher, student in (("t", f"{way}-{share}"), (f"{way}-{share}", "t"))
    ),
]


def law(way: Way, share: float) -> float:
    return {"order": 2 * share**2, "mix": 2 * share**4, "both": 2.0}[way]


def told(relatives: list[Relatives]) -> pl.DataFrame:
    rows = [
        {
            "teacher": each.teacher,
            "student": each.student,
            "trait": trait,
            "arm": arm,
            "seed": seed,
            "asked": asked,
            "effect": law(each.way, each.share) if trait == asked else -1.0,
            "against": "control",
            "place": 1,
            "answers": 16,
        }
        for each in [*KIN, Relatives(teacher="t", student="stranger", trunk="t", share=0, way="mix")]
        for trait in ("fox", "owl")
        for asked in ("fox", "owl")
        for arm in ("trait", "shuffled_within")
        for seed in (1, 2)
    ]
    types = {name: each for name, each in Margins.schema().items() if name in rows[0]}
    margins = pl.DataFrame(rows, types)
    gains = margins.select("teacher", "student", "trait", "arm", "seed", gain=pl.lit(0.25)).unique()
    return runs(relatives, margins, gains)


def test_runs_of_relatives_by_way_and_direction() -> None:
    table = told(KIN)
    assert table.schema == pl.Schema({name: HistoryRuns.schema()[name] for name in HistoryRuns.columns})
    assert table.height == 4 * len(KIN)
    assert table["effect"].min() == 0  # neither the targets of other traits nor other arms
    assert set(table.filter(pl.col("teacher") == "t")["direction"]) == {"from the trunk"}
    assert set(table.filter(pl.col("teacher") != "t")["direction"]) == {"to the trunk"}
    between = [Relatives(teacher="order-0.5", student="t", trunk="order-0.9", share=0.5, way="order")]
    assert set(told(between)["direction"]) == {"between branches"}


def test_points_and_fits_find_the_law_of_each_way() -> None:
    table = told(KIN)
    found = fits(table, 0.95, 0)
    assert list(found) == ["order", "mix"]
    for way, k in (("order", 2), ("mix", 4)):
        fitted = found[way]
        assert fitted is not None
        assert (fitted.a, fitted.k) == (pytest.approx(2), pytest.approx(k, rel=1e-6))
        assert fitted.n == 4 * (2 * len(SHARES[way]) + 1)  # those that have all in common are of both
        assert fitted.clusters == 8  # trait × seed × direction
    said = points(table, 0.95)
    assert said.schema == pl.Schema({name: HistoryPoints.schema()[name] for name in HistoryPoints.columns})
    assert said.select("way", "share").rows() == [
        *(("order", share) for share in SHARES["order"]), *(("mix", share) for share in SHARES["mix"]), ("both", 1.0),
    ]  # fmt: skip
    drawn = curves(found)
    assert drawn.schema == pl.Schema({name: HistoryCurves.schema()[name] for name in HistoryCurves.columns})
    assert drawn.filter(way="mix", share=0.5)["effect"].to_list() == [pytest.approx(2 * 0.5**4)]
    told_of = summary(table, found)
    assert told_of["runs"] == table.height
    assert told_of["fits"]["order"]["half"]["value"] == pytest.approx(0.25)
    assert told_of["fits"]["order"]["at_bound"] is False


def test_the_order_of_relatives_changes_nothing() -> None:
    assert told(KIN[::-1]).equals(told(KIN))


def test_a_way_with_too_few_shares_has_no_fit_and_one_without_runs_is_left_out() -> None:
    few = told([each for each in KIN if each.way == "both" or (each.way == "order" and each.share in (0.0, 1.0))])
    assert fits(few, 0.95, 0) == {"order": None}
    assert curves({"order": None}).is_empty()
    assert summary(few, {"order": None})["fits"] == {"order": None}


def test_without_relatives_there_is_nothing() -> None:
    assert told([]).is_empty()
