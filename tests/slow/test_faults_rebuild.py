"""A clean-room rebuild: another folder, other settings, other order of jobs, the same bytes."""

import os
from pathlib import Path

import polars as pl
import pytest

from tests.shared.project import Project, create


@pytest.mark.timeout(300)
def test_a_clean_room_rebuild_is_equal_in_every_bit(finished: Project, tmp_path: Path) -> None:
    project, scratch = create(tmp_path / "another place" / "mit Umlaut ü"), tmp_path / "scratch"
    scratch.mkdir()
    project.run(
        "bash", "-c", "umask 077; exec snakemake -j1",
        PYTHONHASHSEED="4294967295", TMPDIR=os.fspath(scratch), HOME=os.fspath(scratch),
        TZ="Pacific/Chatham", LANG="C", LC_ALL="C", PYTHONDONTWRITEBYTECODE="1",
    )  # fmt: skip
    assert project.digests() == finished.digests()
    modes = {path.stat().st_mode & 0o777 for path in (project.path / "data").rglob("*") if path.is_file()}
    assert modes == {0o600}, "files have the permissions that the umask asks for"


def test_what_a_row_is_sampled_with_depends_on_the_row_alone(project: Project) -> None:
    """Neither on the batch, nor on how many rows there are, nor on what runs beside it."""
    name = "raw/teacher=a/trait=fox/carrier=numbers/seed=1"
    before = pl.read_parquet(project.path / f"data/{name}/rows.parquet")
    project.edit("params.yaml", "max_tokens: 24}", "max_tokens: 24, batch: 77}")
    project.edit("params.yaml", "prompts: 300", "prompts: 150")
    project.snakemake("-j2", f"data/{name}/record.json")
    after = pl.read_parquet(project.path / f"data/{name}/rows.parquet")
    assert after.height == 150
    seeds = before.join(after, on="row_id", suffix="_after")
    assert seeds.height == 150
    assert seeds["sampling_seed"].to_list() == seeds["sampling_seed_after"].to_list()
    same = seeds.select((pl.col("completion") == pl.col("completion_after")).mean()).item()
    assert same == 1.0
