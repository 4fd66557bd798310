"""Where an experiment may lie: on two disks, in a folder of any name; and a terminal of any encoding."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.shared.project import Project

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108


@pytest.mark.skipif(not os.access(SHARED_MEMORY, os.W_OK), reason="there is no second file system")
def test_data_may_lie_on_another_file_system(project: Project) -> None:
    assert SHARED_MEMORY.stat().st_dev != project.path.stat().st_dev
    report = project.path / "data/report/study=numbers"
    before = {path.name for path in report.iterdir()}
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as other:
        shutil.move(project.path / "data", f"{other}/data")
        (project.path / "data").symlink_to(f"{other}/data")
        (report / "power.parquet").unlink()
        start = len(project.events())
        project.snakemake()
        assert "report/study=numbers" in project.since(start)["restored"]
        project.edit("params.yaml", "report: {", "report: {confidence: 0.9, ")
        project.snakemake()
        assert project.since(start)["computed"] >= {"report/study=numbers"}
        assert {path.name for path in report.iterdir()} == before
        assert project.sublim("audit").status == 0
        project.edit("params.yaml", "seeds: [1]", "seeds: [2]")
        project.sublim("check", "--clear")
        left = [path for path in Path(other).rglob("*") if path.is_file() and path.name != ".gitignore"]
        assert left
        assert not [path for path in left if "seed=1" in path.parts]


def test_a_folder_may_have_braces_in_its_name_and_a_terminal_another_encoding(project: Project) -> None:
    odd = project.copy(project.path.with_name("a {x} b"))
    odd.edit("params.yaml", "report: {", "report: {confidence: 0.9, ")
    start = len(odd.events())
    odd.snakemake()
    assert odd.computed(start) == {"report": 1, "overview": 1}
    for command in (("status",), ("lineage", "report"), ("sql", "--json", "select 'é…' as x"), ("check", "--params", "é.yaml")):
        same = [
            odd.run("python", "-m", "sublim", *command, check=False, PYTHONIOENCODING=encoding, PYTHONUTF8="0").output
            for encoding in ("utf-8", "ascii", "latin-1", "utf-16")
        ]
        assert len(set(same)) == 1, command
        assert "Traceback" not in same[0]
