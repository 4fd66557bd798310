"""The stage `report` on made-up experiments: what it writes, the same bytes each time, without torch."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl
import pytest

from sublim.common.progress import Progress
from sublim.stages.report import make as report
from sublim.stages.report.rows import Slice
from tests.shared.synthetic_report import Experiment, make, sliced

FIGURES = (
    *("matrix", "matrix_control", "gains", "traits", "margins", "capability", "equivalence", "gates", "funnel", "training"),
)
TABLES = (
    *("runs", "matrix", "traits", "measures", "margins", "margin_effects", "capability", "gates", "freeform", "funnel"),
    *("training", "power"),
)
PROGRAM = """
import json, sys
from pathlib import Path
from sublim.common.progress import Progress
from sublim.stages.report.rows import Slice
from sublim.stages.report import make as report
inputs, params, output = json.loads(sys.argv[1]), Slice.model_validate_json(sys.argv[2]), Path(sys.argv[3])
report.make({cell: Path(path) for cell, path in inputs.items()}, params, output, Progress())
loaded = {"torch", "transformers", "peft", "snakemake"} & set(sys.modules)
assert not loaded, loaded
"""


def test_the_whole_report(tmp_path: Path) -> None:
    experiment = Experiment(questions=3, samples=5, steps=20)
    cells = make(experiment, tmp_path / "cells")
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    report.make(cells, sliced(experiment), here, Progress())
    assert {path.name for path in here.iterdir()} == {
        *(f"{name}.parquet" for name in TABLES),
        *(f"{name}.{kind}" for name in FIGURES for kind in ("svg", "png")),
        *("summary.json", "metrics.json", "gains.csv", "matrix.csv", "training.csv", "report.html"),
    }
    summary = json.loads((here / "summary.json").read_text())
    assert summary["runs"] == 108
    assert summary["evaluation"] == {
        "questions": 3,
        "open_questions": 0,
        "answers": 16,
        "samples": 15,
        "open_samples": 0,
    }
    assert summary["test"]["p"] < 1e-6
    across = summary["equivalence"]["all"]["off_diagonal"]
    assert (across["verdict"], across["against"], across["n"]) == ("no transmission within ±0.03", "control", 36)
    assert summary["equivalence"]["all"]["shuffled_within"]["verdict"] == "transmission"
    power = pl.read_parquet(here / "power.parquet")
    assert power["source"].unique(maintain_order=True).to_list() == ["params", "measured"]
    assert power.filter(pl.col("what") == "diagonal over off_diagonal")["n"].to_list() == [18, 18]
    assert pl.read_csv(here / "matrix.csv")["pair"][0] == "neox-a → neox-a"
    assert pl.read_csv(here / "gains.csv").columns == ["what", "student", "condition", "gain", "low", "high", "n"]
    assert set(pl.read_csv(here / "training.csv").columns) == {"step", *summary["gain"]}

    # Another process, other threads, other hash seed, inputs in another order: the same bytes, and no torch.
    _in_another_process(dict(reversed(cells.items())), sliced(experiment), there)
    assert _digests(here.iterdir()) == _digests(there.iterdir())


def test_the_least_experiment(tmp_path: Path) -> None:
    """One model, one trait, one seed, no control, a downloaded base: no interval, no test, and still a page."""
    experiment = Experiment(models=("solo",), traits={"fox": "fox"}, seeds=(3,), questions=2, samples=2, steps=3)
    cells = make(experiment, tmp_path / "cells")
    (cells["base/model=solo"] / "steps.parquet").unlink()
    (cells["teacher/teacher=solo/trait=fox/seed=3"] / "steps.parquet").unlink()
    for cell, path in cells.items():
        if cell.startswith("eval/"):
            (path / "capability.parquet").unlink()
    kept = {cell: path for cell, path in cells.items() if "arm=" not in cell or "arm=trait" in cell or "arm=base" in cell}
    output = tmp_path / "output"
    output.mkdir()
    report.make(kept, sliced(experiment), output, Progress())
    summary = json.loads((output / "summary.json").read_text())
    assert summary["test"] is None
    assert list(summary["gain"]) == ["diagonal"]
    assert (summary["gain"]["diagonal"]["low"], summary["gain"]["diagonal"]["n"]) == (None, 1)
    assert summary["equivalence"] == {"margin": 0.03, "all": {}, "by_student": {"solo": {}}}
    assert pl.read_parquet(output / "power.parquet").is_empty()
    assert pl.read_parquet(output / "traits.parquet")["q"].null_count() == 16
    assert not (output / "equivalence.png").exists()
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "no condition that should be null" in page
    assert "This was not measured." in page
    assert "Capability was not measured." in (output / "capability.svg").read_text(encoding="utf-8")
    assert "1 base, 1" in page
    assert "one run" in page
    assert "nan" not in page.lower().replace("nano", "")
    assert not (output / "matrix_control.png").exists()


def test_no_teacher_at_all(tmp_path: Path) -> None:
    """Controls alone: what training on numbers does by itself."""
    experiment = Experiment(models=("a", "b"), traits={"fox": "fox"}, seeds=(0,), questions=2, samples=2, steps=3)
    cells = {
        cell: path
        for cell, path in make(experiment, tmp_path / "cells").items()
        if cell.startswith("base/") or "arm=control" in cell or "arm=base" in cell
    }
    output = tmp_path / "output"
    output.mkdir()
    report.make(cells, sliced(experiment), output, Progress())
    assert list(json.loads((output / "summary.json").read_text())["gain"]) == ["control"]
    assert "no teachers with a trait" in (output / "report.html").read_text(encoding="utf-8")


def _in_another_process(cells: Mapping[str, Path], params: Slice, output: Path) -> None:
    inputs = json.dumps({cell: str(path) for cell, path in cells.items()})
    environment = {**os.environ, "PYTHONHASHSEED": "7", "POLARS_MAX_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, inputs, params.model_dump_json(), str(output)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.fail(result.stderr)


def _digests(paths: Iterable[Path]) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
