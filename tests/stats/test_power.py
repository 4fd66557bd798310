"""What a design can see: the stated smallest effect is found in 80 % of simulated experiments, by the tests themselves."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

from sublim.arms.conditions import condition
from sublim.common.errors import SublimError
from sublim.engine.planning import experiment
from sublim.params.report import Report, Spread
from sublim.report import design
from sublim.stages.report import power as planning
from sublim.stats.comparison import difference, equivalence, standard_error, two_sided_p
from sublim.stats.permutation import Group, permutation_test
from sublim.stats.power import EXPERIMENTS, POWER, equivalence_chance, smallest_effect, smallest_permuted

ROOT = Path(__file__).parents[2]
SIMULATED = 2_500
LEVEL = 0.05


def error(rate: float, *experiments: int) -> float:
    """Four binomial standard errors, of all simulations that take part."""
    return 4 * math.sqrt(rate * (1 - rate) * sum(1 / number for number in experiments))


@settings(max_examples=200)
@given(st.floats(1e-6, 0.5), st.floats(1, 200), st.floats(1e-5, 0.2))
def test_the_smallest_effect_is_where_the_noncentral_t_says(spread: float, freedom: float, level: float) -> None:
    found = smallest_effect(spread, freedom, level)
    critical = float(stats.t.isf(level / 2, freedom))
    if critical < 1_000:
        power = float(stats.nct.sf(critical, freedom, (found or 1.0) / spread))
        assert power == pytest.approx(POWER, abs=1e-3) if found else power < POWER


def test_far_out_the_two_formulas_meet() -> None:
    near, far = (smallest_effect(1e-5, 1, 2 * float(stats.t.sf(critical, 1))) for critical in (999.9, 1000.1))
    assert near is not None
    assert far == pytest.approx(near, rel=5e-4)
    assert smallest_effect(1e-3, 40, 1e-20) == pytest.approx(1e-3 * float(stats.t.isf(5e-21, 40)), rel=0.2)
    assert smallest_effect(0.3, 1, 0.05) is None


@pytest.mark.parametrize("runs", [2, 6, 18])
def test_the_t_interval_finds_it_in_four_of_five_experiments(runs: int) -> None:
    smallest = smallest_effect(0.02 / math.sqrt(runs), runs - 1, LEVEL)
    assert smallest is not None
    gains = smallest + 0.02 * np.random.default_rng(21).normal(size=(SIMULATED, runs))
    ps = [two_sided_p(difference({"a": each}, {})) for each in gains.tolist()]
    rate = float(np.mean([p is not None and p <= LEVEL for p in ps]))
    assert rate == pytest.approx(POWER, abs=error(POWER, SIMULATED))


def test_a_difference_to_controls_is_found_in_four_of_five_experiments() -> None:
    runs, controls = {"a": 4, "b": 2}, {"a": 6, "b": 3}
    smallest = smallest_effect(*standard_error(runs, 0.05**2, controls, 0.02**2), LEVEL)
    assert smallest is not None
    generator = np.random.default_rng(22)

    def drawn(counts: dict[str, int], mean: float, spread: float) -> dict[str, list[float]]:
        return {base: (mean + spread * generator.normal(size=number)).tolist() for base, number in counts.items()}

    ps = [two_sided_p(difference(drawn(runs, smallest, 0.05), drawn(controls, 0.0, 0.02))) for _ in range(SIMULATED)]
    rate = float(np.mean([p is not None and p <= LEVEL for p in ps]))
    assert rate == pytest.approx(POWER, abs=error(POWER, SIMULATED))


@pytest.mark.parametrize(
    ("others", "spread"), [([2] * 4, 0.24), ([2] * 9, 0.24), ([1] * 5 + [3] * 3, 0.05)], ids=["4 of 3", "9 of 3", "unequal"]
)
def test_the_permutation_test_finds_it_in_four_of_five_experiments(others: list[int], spread: float) -> None:
    smallest = smallest_permuted(others, spread, 0.05, LEVEL, 0)
    assert smallest is not None
    generator = np.random.default_rng(23)

    def groups() -> list[Group]:
        own = smallest + spread * generator.normal(size=len(others))
        return [
            Group(float(same), tuple((0.05 * generator.normal(size=number)).tolist()))
            for same, number in zip(own, others, strict=True)
        ]

    rate = float(np.mean([permutation_test(groups(), 1_000, 0).p <= LEVEL for _ in range(SIMULATED)]))
    assert rate == pytest.approx(POWER, abs=error(POWER, SIMULATED, EXPERIMENTS))


def test_two_groups_of_three_can_never_be_enough() -> None:
    # The smallest p is 1/9.
    assert smallest_permuted([2, 2], 0.01, 0.01, LEVEL, 0) is None
    assert smallest_permuted([2, 2, 2], 0.01, 0.01, LEVEL, 0) is not None


def test_a_larger_spread_of_same_base_students_is_itself_no_null() -> None:
    """The permutation test asks whether same-base students are like the others: not only in their mean."""
    generator = np.random.default_rng(24)

    def rate(spread: float) -> float:
        tests = [
            permutation_test([Group(spread * x[0], (0.02 * x[1], 0.02 * x[2])) for x in each.tolist()], 1_000, 0)
            for each in generator.normal(size=(1_500, 6, 3))
        ]
        return float(np.mean([test.p <= LEVEL for test in tests]))

    assert rate(0.02) == pytest.approx(LEVEL, abs=error(LEVEL, 1_500))
    assert 0.08 < rate(0.24) < 0.2


@pytest.mark.parametrize(("runs", "spread"), [(2, 0.005), (6, 0.02), (18, 0.05)])
def test_the_chance_of_equivalence_is_that_of_the_test(runs: int, spread: float) -> None:
    chance = equivalence_chance(spread / math.sqrt(runs), runs - 1, 0.03, LEVEL)
    gains = spread * np.random.default_rng(25).normal(size=(SIMULATED, runs))
    tests = [equivalence(difference({"a": each}, {}), 0.03, 0.95) for each in gains.tolist()]
    rate = float(np.mean([test.verdict.startswith("no transmission") for test in tests]))
    assert 0.1 < chance < 0.9
    assert rate == pytest.approx(chance, abs=error(chance, SIMULATED))


def runs(models: int = 3, traits: int = 3, seeds: int = 2) -> pl.DataFrame:
    """The design of the default experiment, without shuffles."""
    rows = [
        (f"m{teacher}", trait, arm, f"m{student}", seed)
        for teacher in range(models)
        for arm, taught in (("trait", [f"t{n}" for n in range(traits)]), ("control", ["none"]))
        for trait in taught
        for student in range(models)
        for seed in range(seeds)
    ]
    frame = pl.DataFrame(rows, schema=["teacher", "trait", "arm", "student", "seed"], orient="row")
    return frame.with_columns(condition(), (pl.col("teacher") == pl.col("student")).alias("same_base"))


def test_a_design_is_told_comparison_by_comparison() -> None:
    found = {row["what"]: row for row in design.comparisons(runs(), 16, Spread(), Report()).iter_rows(named=True)}
    counts = {what: (row["n"], row["cells"], row["against"]) for what, row in found.items()}
    assert counts == {
        "diagonal": (18, 1, "untrained"),
        "diagonal over off_diagonal": (18, 1, "other base"),
        "off_diagonal": (36, 1, "control"),
        "control": (18, 1, "untrained"),
        "off_diagonal, one cell": (6, 6, "untrained"),
        "diagonal, one cell of trait × trait": (6, 48, "control"),
        "off_diagonal, one cell of trait × trait": (12, 48, "control"),
    }
    assert found["diagonal"]["smallest"] == pytest.approx(smallest_effect(0.24 / math.sqrt(18), 17, 0.05))
    cell = found["off_diagonal, one cell of trait × trait"]
    assert cell["level"] == pytest.approx(0.05 / (7 * 16))
    assert {what for what, row in found.items() if row["shown"] is not None} == {"off_diagonal", "control"}
    more = {row["what"]: row for row in design.comparisons(runs(seeds=5), 16, Spread(), Report()).iter_rows(named=True)}
    for what, row in found.items():
        assert row["smallest"] is None or more[what]["smallest"] < row["smallest"]


def test_one_run_of_everything_can_be_compared_with_nothing() -> None:
    assert design.comparisons(runs(1, 1, 1), 16, Spread(), Report()).is_empty()


def test_the_spread_of_finished_runs_is_measured_where_there_are_enough() -> None:
    frame = runs().with_columns(pl.Series("gain", np.random.default_rng(0).normal(size=len(runs())) / 10))
    found = design.measured(frame)
    assert found is not None
    for name, spread in (("diagonal", found.same_base), ("off_diagonal", found.other)):
        assert spread == pytest.approx(frame.filter(pl.col("condition") == name)["gain"].std())
    alone = frame.filter(pl.col("condition") != "off_diagonal")
    without = design.measured(alone)
    assert without is not None
    assert without.same_base == found.same_base
    assert without.other == pytest.approx(alone.filter(pl.col("condition") == "control")["gain"].std())
    assert design.measured(frame.filter(pl.col("condition") == "diagonal")) is None
    assert design.measured(frame.with_columns(pl.lit(0.1).alias("gain"))) is None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_power_is_told_from_the_file_alone_without_torch(folder: Path) -> None:
    program = (
        "import sys; from sublim.cli.main import main\n"
        "try: main()\nfinally: assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", program, "power"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT), "PATH": ""})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any("diagonal over off_diagonal" in line and "18 groups" in line and "permutation" in line for line in lines)
    assert "report.spread in the params" in done.stdout
    assert [path.name for path in folder.iterdir()] == ["params.yaml"], "nothing is written"


@pytest.mark.usefixtures("folder")
def test_the_spread_comes_from_a_finished_report_of_the_same_experiment() -> None:
    of = experiment(Path("params.yaml"))
    (before,) = planning.power(of)
    assert (before.source, before.spread) == ("params", Spread())
    frame = pl.DataFrame(list(of.trained(of.studies["numbers"]))).with_columns(condition())
    frame = frame.with_columns(pl.Series("gain", np.random.default_rng(1).normal(size=len(frame)) / 20))
    path = Path("data/report/study=numbers/runs.parquet")
    path.parent.mkdir(parents=True)
    frame.write_parquet(path)
    (after,) = planning.power(of)
    assert (after.source, after.spread) == (str(path), design.measured(frame))
    told = json.loads(planning.as_json([after]))
    assert told["numbers"]["comparisons"] == after.comparisons.to_dicts()
    assert f"measured in {path}" in planning.describe([after], Path("params.yaml"))
    whole = path.read_bytes()
    frame[1:].write_parquet(path)
    assert planning.power(of)[0].source == "params", "a report of other runs says nothing about these"
    for damaged in (whole[: len(whole) // 2], b""):
        path.write_bytes(damaged)
        assert planning.power(of)[0].source == "params", "a damaged report stops nothing: a run is about to mend it"


def test_what_a_gain_is_a_gain_of_is_said() -> None:
    of = planning.power(experiment(ROOT / "experiments" / "paper-tiny.yaml"))
    told = planning.describe(of, Path("params.yaml"))
    assert "study numbers: the smallest gain in P(target) that" in told
    assert "study cruel-numbers: the smallest gain in misaligned share that" in told
    assert json.loads(planning.as_json(of))["insecure"]["measured"] == "misaligned share"


def test_a_line_per_study_for_the_start_of_a_run() -> None:
    of = planning.power(experiment(ROOT / "experiments" / "paper-tiny.yaml"), [{"study": "animals"}, {"study": "relatives"}])
    tables = [each.comparisons.drop_nulls("smallest").select("what", "smallest") for each in of]
    animals, relatives = ({what: f"{smallest:.3f}" for what, smallest in table.iter_rows()} for table in tables)
    head, *lines = planning.brief(of).splitlines()
    assert "found in 80 % of such experiments" in head
    assert lines[0] == f"  animals, P(target): diagonal {animals['diagonal']}"
    both = ", ".join(f"{what} {relatives[what]}" for what in ("diagonal", "diagonal over off_diagonal"))
    assert lines[1].startswith(f"  relatives, P(target): {both}, off_diagonal equivalence within ±0.03: ")
    assert planning.brief([]) == ""


def test_what_cannot_be_meant_is_refused(folder: Path) -> None:
    text = (folder / "params.yaml").read_text()
    for wrong in ("equivalence_margin: 0", "confidence: 0.5", "spread: {same_base: 0}"):
        key = wrong.partition(":")[0]
        (folder / "params.yaml").write_text(text.partition("report:")[0] + f"report:\n  {wrong}\n")
        with pytest.raises(SublimError, match=key):
            experiment(Path("params.yaml"))
