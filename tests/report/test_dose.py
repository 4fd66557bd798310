"""The dose: each number of updates is set against the control after as many, and what is not probed has no table."""

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublim.report.dose import DoseEffects, Doses, doses, effects, shown, summary
from sublim.report.margins import Margins, margins
from tests.report.test_margins import EQUAL, TARGETS, asked, row

BASE = asked("base", EQUAL)


def probed(step: int, arm: str, chances: tuple[float, ...], **dims: str | int) -> pl.DataFrame:
    return asked(arm, chances, **dims).with_columns(pl.lit(step, pl.Int64).alias("step"))


def told(*probes: pl.DataFrame) -> pl.DataFrame:
    return doses(BASE, pl.concat(probes), TARGETS)


PROBES = (
    probed(16, "control", (0.1, 0.2, 0.3)),
    probed(64, "control", (0.3, 0.2, 0.1)),
    probed(16, "trait", (0.2, 0.2, 0.2), trait="fox"),
    probed(64, "trait", (0.6, 0.2, 0.1), trait="fox"),
)


def test_a_probe_is_set_against_the_control_after_as_many_updates() -> None:
    table = told(*PROBES)
    first, last = (row(table, arm="trait", asked="fox", step=step) for step in (16, 64))
    assert first["effect"] == pytest.approx(math.log(0.2 / 0.4) - math.log(0.1 / 0.5))
    assert last["effect"] == pytest.approx(math.log(0.6 / 0.3) - math.log(0.3 / 0.3))
    assert (first["against"], first["p_target"], last["p_target"]) == ("control", pytest.approx(0.2), pytest.approx(0.6))
    assert row(table, arm="control", asked="fox", step=64)["effect"] == pytest.approx(math.log(0.3 / 0.3) - math.log(0.2 / 0.4))
    assert table.schema == pl.Schema({name: Doses.schema()[name] for name in Doses.columns})
    # Without its control after as many updates, not the control after others.
    alone = told(*(probe for probe in PROBES if probe["arm"][0] == "trait" or probe["step"][0] == 16))
    assert row(alone, arm="trait", asked="fox", step=64)["against"] == "untrained"


@given(st.permutations(PROBES))
def test_the_order_of_probes_changes_nothing(probes: list[pl.DataFrame]) -> None:
    assert told(*probes).equals(told(*PROBES))


def test_a_probe_after_the_last_update_says_what_margins_say() -> None:
    at_the_end = [probe.drop("step") for probe in PROBES if probe["step"][0] == 64]
    of_margins = margins(pl.concat([BASE, *at_the_end]), TARGETS)
    assert told(*PROBES).filter(step=64).select(*Margins.columns).equals(of_margins)


def test_effects_are_told_by_number_of_updates() -> None:
    table = told(*PROBES)
    found = effects(table, TARGETS, 0.95)
    assert found.schema == pl.Schema({name: DoseEffects.schema()[name] for name in DoseEffects.columns})
    own = found.filter(taught="fox", asked="fox")
    assert own["step"].to_list() == [16, 64]
    assert own["p_target"].to_list() == pytest.approx([0.2, 0.6])
    said = summary(table, 0.95)
    assert list(said) == ["16", "64"]
    assert said["64"]["diagonal"]["taught"]["mean"] == pytest.approx(math.log(2))
    drawn = {(taught, target) for taught, target in shown(found).select("taught", "asked").iter_rows()}
    assert drawn == {("fox", "fox"), ("none", "fox"), ("none", "owl")}


def test_without_probes_there_is_nothing() -> None:
    assert doses(BASE, PROBES[0].clear(), TARGETS).is_empty()
