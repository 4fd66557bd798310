"""Margins: numbers worked out by hand, the pair of a run, and the place of the target among all answers."""

import math
from collections.abc import Mapping

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublim.report.margins import MarginEffects, Margins, effects, margins, summed

TARGETS = {"fox": ("animals", "fox"), "owl": ("animals", "owl")}
ANSWERS = ("fox", "owl", "cat")
EQUAL = (0.2, 0.2, 0.2)


def asked(arm: str, chances: tuple[float, ...], **dims: str | int) -> pl.DataFrame:
    """One evaluation with a single question."""
    same = {"teacher": "a", "trait": "none", "carrier": "numbers", "filter": "strict", "method": "hard", "student": "a"}
    own: dict[str, str | int] = {**same, "seed": 1, **dims, "arm": arm}
    if arm == "base":
        own |= {"teacher": "none", "carrier": "none", "filter": "none", "method": "none", "seed": 0}
    asked = {"measure": "preference", "question_id": "q", "category": "animals"}
    return pl.DataFrame(
        {**own, **asked, "answer": list(ANSWERS), "probability": list(chances)}, schema_overrides={"seed": pl.Int64}
    )


def told(*evaluations: pl.DataFrame) -> pl.DataFrame:
    return margins(pl.concat(evaluations), TARGETS)


def row(table: pl.DataFrame, **values: object) -> Mapping[str, object]:
    (found,) = table.filter([pl.col(name) == value for name, value in values.items()]).iter_rows(named=True)
    return found


def test_a_margin_by_hand_and_its_effect_against_the_control_of_the_same_run() -> None:
    table = told(
        asked("base", EQUAL),
        asked("control", (0.1, 0.2, 0.3)),
        asked("trait", (0.4, 0.1, 0.1), trait="fox"),
    )
    found = row(table, arm="trait", asked="fox")
    assert found["margin"] == pytest.approx(math.log(0.4 / 0.2))
    assert found["margin_control"] == pytest.approx(math.log(0.1 / 0.5))
    assert found["margin_base"] == pytest.approx(math.log(0.2 / 0.4))
    assert found["effect"] == pytest.approx(math.log(0.4 / 0.2) - math.log(0.1 / 0.5))
    assert (found["against"], found["place"], found["answers"]) == ("control", 1, 3)
    other = row(table, arm="trait", asked="owl")
    assert other["place"] == 2  # ×0.5 against the control; the cat fell to a third
    assert row(table, arm="control", asked="fox")["against"] == "untrained"
    assert row(table, arm="control", asked="fox")["margin_control"] is None
    assert table.schema == pl.Schema({name: Margins.schema()[name] for name in Margins.columns})


def test_without_its_own_control_a_run_is_set_against_that_of_its_base_and_else_against_the_base() -> None:
    base, control = asked("base", EQUAL, student="b"), asked("control", (0.1, 0.1, 0.1), teacher="b", student="b")
    run = asked("trait", (0.3, 0.1, 0.1), trait="fox", student="b")
    assert row(told(base, control, run), arm="trait", asked="fox")["against"] == "own control"
    assert row(told(base, run), arm="trait", asked="fox")["against"] == "untrained"
    other_seed = asked("control", (0.1, 0.1, 0.1), teacher="b", student="b", seed=2)
    assert row(told(base, other_seed, run), arm="trait", asked="fox")["against"] == "untrained"


def test_effects_are_told_by_trait_taught_and_target_asked_for() -> None:
    runs = [asked("base", EQUAL)]
    for seed, chance in enumerate((0.3, 0.4, 0.5)):
        runs += [asked("control", EQUAL, seed=seed), asked("trait", (chance, 0.2, 0.2), trait="fox", seed=seed)]
    table = told(*runs)
    found = effects(table, TARGETS, 0.95)
    assert found.schema == pl.Schema({name: MarginEffects.schema()[name] for name in MarginEffects.columns})
    own, other = row(found, taught="fox", asked="fox"), row(found, taught="fox", asked="owl")
    assert own["n"] == own["first"] == 3
    assert own["effect"] == pytest.approx(sum(math.log(chance / 0.2) for chance in (0.3, 0.4, 0.5)) / 3)
    assert own["low"] < own["effect"] < own["high"]  # pyright: ignore[reportOperatorIssue]
    assert other["effect"] < 0  # pyright: ignore[reportOperatorIssue]
    assert other["first"] == 0
    told_by = summed(table, 0.95)["diagonal"]
    assert told_by["place"] == 1.0
    assert told_by["paired"] == 3


@given(
    st.lists(st.floats(1e-12, 1), min_size=3, max_size=3),
    st.lists(st.floats(1e-12, 1), min_size=3, max_size=3),
    st.floats(1e-3, 1),
)
def test_a_margin_knows_no_common_factor_and_the_places_are_those_of_the_rises(
    own: list[float], control: list[float], factor: float
) -> None:
    def table(scale: float) -> pl.DataFrame:
        chances = tuple(value * scale / 3 for value in own)
        return told(
            asked("base", EQUAL), asked("control", (*(each / 3 for each in control),)), asked("trait", chances, trait="fox")
        )

    one, two = (row(table(scale), arm="trait", asked="fox") for scale in (1, factor))
    assert one["margin"] == pytest.approx(two["margin"], abs=1e-6)
    rises = [math.log(a) - math.log(b) for a, b in zip(own, control, strict=True)]
    strictly_above = sum(rise > rises[0] + 1e-9 for rise in rises)
    assert strictly_above + 1 <= one["place"] <= strictly_above + sum(abs(rise - rises[0]) <= 1e-9 for rise in rises)  # pyright: ignore[reportOperatorIssue]


def test_an_answer_that_cannot_be_said_has_a_margin_all_the_same() -> None:
    table = told(asked("base", EQUAL), asked("trait", (0.0, 0.5, 0.5), trait="fox"))
    assert math.isfinite(float(str(row(table, arm="trait", asked="fox")["margin"])))
