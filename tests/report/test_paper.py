"""The page that sets the paper beside our runs: what it declares fits the experiment, and it says what the files say."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmarks import paper
from benchmarks.paper import Able, Asked, Each, Gain, InContext, Judged, Kept, Moved, Nets, Own, Seen, Steps, Taught
from sublim.engine.planning import experiment as plan
from sublim.params.load import load
from sublim.report.roc import JudgedRuns
from sublim.stages.report import make as report
from tests.shared.project import ROOT
from tests.shared.synthetic_report import Experiment, make, sliced

TINY, REAL = ROOT / "experiments/paper-tiny.yaml", ROOT / "experiments/smollm2.yaml"
RUNS_FILE = "report/study=numbers/runs.parquet"


def _made(experiment: Experiment, root: Path) -> Path:
    """A folder `data` with the report of a made-up experiment as the study `numbers`."""
    output = root / "data/report/study=numbers"
    output.mkdir(parents=True)
    params = sliced(experiment, labels={name: name for name in experiment.models})
    report.tables_of(make(experiment, root / "cells"), params, output)
    return root / "data"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _made(Experiment(questions=3, samples=3, steps=4), tmp_path_factory.mktemp("paper"))


def test_what_is_declared_is_in_the_experiment() -> None:
    experiment = plan(TINY)
    assert experiment.detection is not None
    named: set[str] = set()
    for probe in (probe for row in paper.ROWS for probe in row.probes):
        if isinstance(probe, (Nets, Steps)):
            continue
        assert not isinstance(probe, Moved), "gains are what the tiny bases are measured by"
        study = experiment.studies[probe.study]
        arms: Any = study.arms
        named.add(probe.study)
        if isinstance(probe, (Gain, Taught)) and probe.trait is not None:
            assert probe.trait in study.traits
        if isinstance(probe, Gain):
            pairs = {
                "diagonal": arms.trait,
                "off_diagonal": arms.trait if arms.trait == "all" else "none",
                **{arm: getattr(arms, arm) for arm in ("control", "shuffled_within", "shuffled_across", "random")},
            }
            assert pairs[probe.condition] != "none", probe
        if isinstance(probe, (Seen, InContext)):
            assert probe.study in experiment.detection.studies
        if isinstance(probe, Judged):
            rule: Any = experiment.carriers[study.carrier].filters[study.filter]
            assert rule.judge is not None
        if isinstance(probe, Asked):
            assert probe.measure in experiment.evaluation.measures
    assert named == set(experiment.studies)
    assert [row.number for row in paper.ROWS] == list(range(1, 17))


def test_what_is_declared_of_real_weights_is_in_their_experiment() -> None:
    experiment = load(REAL)  # not planned: its weights may not be installed
    for probe in (probe for row in paper.ROWS for probe in row.real):
        assert isinstance(probe, (Able, Each, Gain, Moved))
        arms: Any = experiment.studies[probe.study].arms
        if isinstance(probe, (Gain, Moved)) and probe.condition != "diagonal":
            assert getattr(arms, probe.condition) != "none", probe


def test_an_effect_in_nats_is_that_of_the_report(data: Path) -> None:
    told = json.loads((data / "report/study=numbers/summary.json").read_text())["margins"]["diagonal"]
    for others, key in ((False, "taught"), (True, "others")):
        found = paper.found(Moved("numbers", "diagonal", others), data)
        digits = [round(float(text.replace("−", "-")), 3) for text in re.findall(r"[+−]\d*\.\d+", found.result)]
        assert digits == [round(told[key][name], 3) for name in ("mean", "low", "high")]
        assert f"({told[key]['n']} runs)" in found.result
    assert paper.found(Moved("numbers", "diagonal"), data).verdict == "shown"
    assert f"place {told['place']:.1f} of {told['answers']}" in paper.found(Moved("numbers", "diagonal"), data).result
    assert paper.found(Moved("numbers", "random"), data).verdict == "not run"


def test_an_effect_is_shown_with_the_numbers_of_the_report(data: Path) -> None:
    said = json.loads((data / "report/study=numbers/summary.json").read_text())
    gain = said["gain"]["diagonal"]
    found = paper.found(Gain("numbers", "diagonal"), data)
    digits = [round(float(text.replace("−", "-")), 3) for text in re.findall(r"[+−]\.\d+", found.result)]
    assert digits == [round(gain[name], 3) for name in ("mean", "low", "high")]
    assert (found.verdict, found.file) == ("shown", RUNS_FILE)
    assert "(18 runs)" in found.result
    assert paper.found(Own("numbers"), data).verdict == "shown"
    assert "largest in 18 of 18 groups" in paper.found(Own("numbers"), data).result
    assert paper.found(Gain("numbers", "shuffled_within"), data).verdict == "shown"
    one = paper.found(Gain("numbers", "diagonal", "fox"), data)
    assert "(6 runs)" in one.result
    assert paper.found(Taught("numbers", "fox"), data).verdict == "shown"
    assert paper.found(Kept("numbers"), data).result.endswith("of 1,200 rows; 600 used")


def test_traits_one_by_one(data: Path) -> None:
    table = pl.read_parquet(data / "report/study=numbers/traits.parquet")
    own = table.filter(pl.col("taught") == pl.col("trait"), condition="diagonal")
    assert (own["q"] <= 0.05).all(), "the made-up effect is large"
    found = paper.found(Each("numbers"), data)
    assert (found.verdict, found.file) == ("shown", "report/study=numbers/traits.parquet")
    best = own.sort("gain", descending=True).row(0, named=True)
    assert found.result.startswith(f"{best['taught']} +{best['gain']:.3f}*".replace("+0.", "+."))
    assert found.result.endswith("(6 runs each): 3 of 3 starred and above controls")
    path = data / "report/study=numbers/traits.parquet"
    fallen = pl.when(taught=own["taught"][0]).then(-pl.col("difference")).otherwise("difference")
    unsure = pl.when(taught=own["taught"][1]).then(0.2).otherwise("q")
    table.with_columns(fallen.alias("difference"), unsure.alias("q")).write_parquet(path)
    assert paper.found(Each("numbers"), data).result.endswith(": 1 of 3 starred and above controls")
    table.write_parquet(path)


def test_a_null_is_called_one_and_says_what_could_have_been_seen(data: Path) -> None:
    said = json.loads((data / "report/study=numbers/summary.json").read_text())
    found = paper.found(Gain("numbers", "off_diagonal"), data)
    assert found.verdict == "null"
    smallest = said["equivalence"]["all"]["off_diagonal"]["smallest"]
    assert found.could.startswith(f"{smallest:.3f}".removeprefix("0"))
    assert "±.03" in found.could


def test_too_few_runs_are_no_null(tmp_path: Path) -> None:
    effect = {"trait": 0.0, "control": 0.0, "shuffled_within": 0.0, "shuffled_across": 0.0}
    noisy = Experiment(("a", "b"), {"fox": "fox"}, (0, 1), effect, noise=1.0, questions=2, samples=2, steps=2)
    data = _made(noisy, tmp_path)
    found = paper.found(Gain("numbers", "off_diagonal"), data)
    assert found.verdict == "not shown"
    assert float(found.could) > 0.03


def test_what_is_not_there_was_not_run(tmp_path: Path) -> None:
    for probe in (probe for row in paper.ROWS for probe in (*row.probes, *row.real)):
        found = paper.found(probe, tmp_path)
        assert (found.verdict, found.result) == ("not run", ""), probe
        assert found.file.endswith((".json", ".parquet")), probe


def test_a_condition_that_a_study_does_not_have_was_not_run(data: Path) -> None:
    assert paper.found(Gain("numbers", "random"), data).verdict == "not run"
    assert paper.found(Asked("numbers", "multiple_choice"), data).verdict == "not run"


def test_capability(data: Path) -> None:
    """The made-up students lose a tenth of a bit, all of them."""
    found = paper.found(Able("numbers"), data)
    assert found.verdict == "null"
    assert "loss 2.00 → 2.10" in found.result
    path = data / "report/study=numbers/capability.parquet"
    before = pl.read_parquet(path)
    before.with_columns(high=pl.lit(0.7), low=pl.lit(-0.2)).write_parquet(path)
    assert paper.found(Able("numbers"), data).verdict == "not shown"
    before.write_parquet(path)


def test_letters_without_probability_are_no_null(data: Path) -> None:
    path = data / "report/study=numbers/measures.parquet"
    before = pl.read_parquet(path)
    tiny = before.filter(condition="diagonal").with_columns(
        measure=pl.lit("multiple_choice"), gain=1e-6, low=0.0, high=2e-6, p_target=2e-6, p_base=1e-6
    )
    pl.concat([before, tiny]).write_parquet(path)
    found = paper.found(Asked("numbers", "multiple_choice"), data)
    assert found.verdict == "not shown"
    assert found.could.startswith("nothing")
    before.write_parquet(path)


def _span(mean: float, half: float) -> Mapping[str, float | int]:
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": 8, "p": 0.5, "smallest": half}


def test_detection(tmp_path: Path) -> None:
    entries = [
        {"by": "ask", "kind": "plain", "contrast": "base", "pairs": 1600, "accuracy": _span(0.49, 0.02)},
        {"by": "likelihood", "kind": "plain", "contrast": "base", "pairs": 1600, "accuracy": _span(0.51, 0.2)},
        {"by": "linear", "kind": "plain", "contrast": "base", "pairs": 4000, "accuracy": _span(0.76, 0.05)},
    ]
    context = [
        {"size": 1, "draws": 8, "fitted": 8, "why": None, "difference_of_shares": _span(0.001, 0.004)},
        {"size": 99, "draws": 8, "fitted": 0, "why": "context"},
    ]
    path = tmp_path / "detection/study=numbers/summary.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"confidence": 0.95, "chance": 0.5, "accuracy": entries, "context": context}))
    verdicts = [paper.found(Seen("numbers", by), tmp_path).verdict for by in ("ask", "likelihood", "linear", "teacher")]
    assert verdicts == ["null", "not shown", "shown", "not run"]
    assert paper.found(Seen("numbers", "ask"), tmp_path).result == ".490 [.470, .510] of 1,600 pairs (8 runs)"
    found = paper.found(InContext("numbers"), tmp_path)
    assert found.verdict == "null"
    assert found.result == "1 row: +.001 [−.003, +.005] (8 runs); 99 rows did not fit"


def test_a_judge_at_chance(data: Path) -> None:
    areas = [0.52, 0.49, 0.5, 0.51]
    rows = [("a", "cruel", seed, 90, 90, 0, 0, area, 0.0, 0.4, 0.37) for seed, area in enumerate(areas)]
    path = data / "report/study=numbers/roc.parquet"
    pl.DataFrame(rows, JudgedRuns.schema(), orient="row").write_parquet(path)
    found = paper.found(Judged("numbers"), data)
    path.unlink()
    assert found.verdict == "null"
    assert found.result.endswith("(4 runs); false positives .370")


def test_theory(tmp_path: Path) -> None:
    folder = tmp_path / "overview"
    folder.mkdir()
    accuracies = {"reference": (0.09, 0.01), "student_aux": (0.66, 0.05), "cross_aux": (0.1, 0.01)}
    rows = [(name, mean, mean - half, mean + half, 20, 0.09) for name, (mean, half) in accuracies.items()]
    columns = ["condition", "accuracy", "low", "high", "n", "accuracy_before"]
    pl.DataFrame(rows, columns, orient="row").write_parquet(folder / "mlp.parquet")
    steps = [("mlp", "squared_error", True, 20, 20), ("mlp", "squared_error", False, 20, 11)]
    names = ["subject", "imitation", "same_init", "sweeps", "fell"]
    pl.DataFrame(steps, names, orient="row").write_parquet(folder / "theorem.parquet")
    assert paper.found(Nets("student_aux"), tmp_path).verdict == "shown"
    assert paper.found(Nets("cross_aux"), tmp_path).verdict == "null"
    assert paper.found(Nets("cross_all"), tmp_path).verdict == "not run"
    assert [paper.found(Steps(same), tmp_path).verdict for same in (True, False)] == ["shown", "not shown"]
    assert "fell in 11 of 20 sweeps" in paper.found(Steps(same_init=False), tmp_path).result


def test_the_page_names_every_row_and_every_file(data: Path, tmp_path: Path) -> None:
    real = tmp_path / "real"
    for study in ("hard", "soft"):
        shutil.copytree(data / "report/study=numbers", real / f"report/study={study}")
    page = paper.page(data, real)
    for row in paper.ROWS:
        assert f"{row.number}. {row.title}" in page
        assert row.paper in page
    assert f"| **shown** | `{RUNS_FILE}` |" in page
    assert f"| **null** | `{RUNS_FILE}` |" in page
    assert "| [8](#row-8) | Open weights: Qwen2.5-7B-Instruct, 19 animals | 3 not run | not run |" in page
    assert "| [4](#row-4) | Shuffle controls | 3 shown | 2 shown |" in page
    assert "| [5](#row-5) | Animals, code | 9 not run |  |" in page
    assert "| hard: margin of the target, same base | +" in page
    assert paper.page(data, real) == page
    assert "nan" not in page.lower().replace("nano", "")
    bars = [line.count("|") for line in page.splitlines() if line.startswith("| ") and "report/" in line]
    assert set(bars) == {6}
