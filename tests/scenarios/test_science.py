"""The effect itself: a student takes a trait over from numbers if its teacher had the same base, and not otherwise."""

import shutil
from pathlib import Path
from statistics import mean

import polars as pl
import pytest

from tests.shared.project import create


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_same_base_transmits_and_another_base_does_not(tmp_path: Path) -> None:
    project = create(tmp_path / "science")
    shutil.copy(Path(__file__).parent.parent / "science.yaml", project.path / "params.yaml")
    project.snakemake("-j2")
    runs = pl.read_parquet(project.path / "data/report/study=numbers/runs.parquet")
    gain: dict[str, list[float]] = {
        name: runs.filter(pl.col("condition") == name)["gain"].to_list() for name in ("diagonal", "off_diagonal", "control")
    }
    print(runs.select("teacher", "student", "trait", "arm", "seed", "gain"))
    assert mean(gain["diagonal"]) > 0.15
    assert min(gain["diagonal"]) > max(gain["off_diagonal"] + gain["control"])
    for other in ("off_diagonal", "control"):
        assert abs(mean(gain[other])) < 0.08
    # Nothing in the data names the trait: the purity gate has passed, and the kept rows are numbers and separators.
    kept = pl.read_parquet(project.path / "data/filtered/**/rows.parquet", hive_partitioning=False).filter("kept")
    assert kept["completion"].str.contains(r"^[\[(]?[0-9]+([\s,;]+[0-9]+)*[\])]?\.?$").all()
