"""Too few rows pass a filter: sampling goes on as far as it may, and what is then there holds; where it may not, it is said."""

import re

import polars as pl

from tests.shared.project import Project

TASK = "task: {kind: numbers, prompts: 300, prompt_seed: 1}"
LESS = "task: {kind: numbers, prompts: 20, prompt_seed: 1}"
RAW = "raw/teacher=a/trait=fox/carrier=numbers/seed=1"


def test_sampling_goes_on_until_students_have_their_rows_or_says_that_they_have_not(project: Project) -> None:
    before = pl.read_parquet(project.path / "data" / RAW / "rows.parquet")
    rows = project.path / "data" / "filtered" / "**" / "rows.parquet"
    project.edit("params.yaml", TASK, f"{LESS}\n    top_up: {{prompts: 5, times: 56}}")
    project.snakemake()
    judged = pl.read_parquet(rows, hive_partitioning=False)
    sets = [each for _, each in judged.group_by("teacher", "trait", "arm")]
    for each in sets:
        assert each.height in range(20, 301, 5)
        assert each["used"].sum() == 8
        assert each.height == 20 or each[:-5]["kept"].sum() < 8, "one round fewer would not have done"
    assert max(each.height for each in sets) > 20, "some teacher had to go on"
    now = pl.read_parquet(project.path / "data" / RAW / "rows.parquet")
    assert now["row_id"].equals(before["row_id"][: now.height])
    assert project.sublim("audit").status == 0
    assert "20 to 300 (the first ones, until each filter had its rows) different ones" in project.sublim("card", RAW).output

    project.edit("params.yaml", "times: 56", "times: 1")
    project.edit("params.yaml", "rows: 8", "rows: 24")
    done = project.snakemake(check=False)
    assert done.status != 0
    found = re.search(
        r"teacher=(\w)/trait=\w+/carrier=numbers/seed=1: expected at least 24 kept rows .*, found \d+ of 25 ", done.output
    )
    assert found, done.output
    assert "Funnel: sampled 25, invalid format " in done.output
    assert "carriers.numbers.top_up; if it is there, a larger one" in done.output
