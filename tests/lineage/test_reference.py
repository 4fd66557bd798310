"""docs/tables.md: in step with the stages, and every column of every table has its sentence."""

from pathlib import Path

import polars as pl
import pytest

from sublim.engine.stage import stages
from sublim.lineage.reference import tables_markdown
from tests.shared.project import ROOT


def test_the_page_of_tables_is_in_step() -> None:
    assert (ROOT / "docs" / "tables.md").read_text(encoding="utf-8") == tables_markdown()


@pytest.mark.parametrize("stage", [*stages()])
def test_every_table_and_column_says_what_it_is(stage: str) -> None:
    for table in stages()[stage].tables:
        assert table.about(), table
        assert [*table.sentences()] == [*table.columns], table
        assert all(len(sentence) > len("The same.") for sentence in table.sentences().values()), table


@pytest.mark.parametrize("first", [0, 1])
def test_polars_reads_files_with_and_without_an_optional_column_together_as_the_page_says(tmp_path: Path, first: int) -> None:
    frames = [pl.DataFrame({"x": [1]}), pl.DataFrame({"x": [2], "constrained": [True]})]
    for number, frame in enumerate((frames[first], frames[1 - first])):
        frame.write_parquet(tmp_path / f"{number}.parquet")
    read = pl.scan_parquet(tmp_path / "*.parquet", missing_columns="insert", extra_columns="ignore").collect()
    assert read.columns == frames[first].columns
    assert set(read["x"]) == {1, 2}
