"""docs/tables.md: in step with the stages, and every column of every table has its sentence."""

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
