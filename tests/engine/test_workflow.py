"""What Snakemake's rules are told to wait for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sublim.engine.workflow import Workflow
from tests.shared.project import ROOT

Asked = Callable[..., dict[str, Any]]
LATE = "  late: {kind: derived, parent: a, branch: {at: 0.5, order_seed: 3}}\n"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the rule of a stage waits for before it makes a cell: gates, and what the cell is made from."""
    text = (ROOT / "tests/micro.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("traits:\n", f"{LATE}traits:\n", 1), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    workflow = Workflow(Path("params.yaml"), main=True)

    def asked(stage: str, **dims: str) -> dict[str, Any]:
        return workflow.inputs(stage, str)(dims)

    return asked


def test_no_teacher_is_trained_before_every_base_is_there_that_comes_of_no_other(asked: Asked) -> None:
    """A base that is trained further here takes long and says nothing of others: its own readers wait for it."""
    first, late = (asked("teacher", teacher=name, trait="fox", seed="1") for name in ("b", "late"))
    both = ["data/base/model=a/record.json", "data/base/model=b/record.json"]
    assert sorted(first["gates"]) == sorted(late["gates"]) == both
    assert first["upstream"] == ["data/base/model=b/record.json"]
    assert late["upstream"] == ["data/base/model=late/record.json"]


def test_nobody_learns_from_rows_before_every_teacher_has_passed_its_gate(asked: Asked) -> None:
    dims = {"trait": "fox", "carrier": "numbers", "filter": "strict", "arm": "trait", "method": "hard", "seed": "1"}
    found = asked("student", teacher="a", student="b", **dims)
    assert sorted(found["gates"]) == [
        f"data/teacher/teacher={name}/trait=fox/seed=1/record.json" for name in ("a", "b", "late")
    ]
    assert len(found["upstream"]) == 2
