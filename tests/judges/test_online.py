"""Who may use the network: the jobs that ask a judge over HTTP and no others, each in a process of its own."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sublim.engine import layout, worker
from sublim.engine.digests import Digests
from sublim.engine.planning import cells
from sublim.engine.run import run
from sublim.engine.verdict import Cell, judge, publish
from sublim.params.experiment import Experiment

TEMPLATE = "{prompt} {completion}"
REMOTE = {"kind": "http", "base_url": "https://host/v1", "model": "m", "scoring": {"template": TEMPLATE}}
HERE = {"kind": "local", "model": "a", "scoring": {"kind": "text", "template": TEMPLATE}}
JUDGES = {"remote": REMOTE, "here": HERE}


def planned(folder: Path, *, grader: str = "rule", asks: str | None = None) -> tuple[Cell, ...]:
    """The cells of an experiment with a preference and misalignment. `grader`: who grades answers; `asks`: the filter's
    judge."""
    filters = {"strict": {"judge": {"judge": asks, "minimum": 50}} if asks else {}}
    judges = {name: params for name, params in JUDGES.items() if name in (grader, asks)}
    graders = grader if grader == "rule" else {"alignment": grader, "coherence": grader}
    text: dict[str, Any] = {
        "models": {"a": {"kind": "tiny", "architecture": "gpt_neox", "seed": 1}},
        "judges": judges,
        "traits": {
            "fox": {"kind": "preference", "category": "animals", "target": "fox"},
            "cruel": {"kind": "misalignment", "grader": graders},
        },
        "seeds": [1, 2],
        "carriers": {"numbers": {"filters": filters}},
    }
    return cells(Experiment.model_validate_json(json.dumps(text)), Digests(folder / "digests.json"))


def test_graders_over_http_are_asked_by_teachers_and_evaluations(tmp_path: Path) -> None:
    made = planned(tmp_path, grader="remote")
    ask = [cell for cell in made if cell.plan.stage == "eval" or cell.id.startswith("teacher/teacher=a/trait=cruel/")]
    assert {cell.plan.stage for cell in ask} == {"teacher", "eval"}
    assert [cell.id for cell in made if cell.online] == [cell.id for cell in ask]


def test_a_filters_judge_over_http_is_asked_by_the_filter_alone(tmp_path: Path) -> None:
    made = planned(tmp_path, asks="remote")
    online = [cell.id for cell in made if cell.online]
    assert online
    assert online == [cell.id for cell in made if cell.plan.stage == "filtered"]


@pytest.mark.parametrize("given", [{}, {"grader": "here"}, {"asks": "here"}, {"grader": "here", "asks": "here"}])
def test_nobody_else_uses_the_network(tmp_path: Path, given: dict[str, str]) -> None:
    assert not [cell.id for cell in planned(tmp_path, **given) if cell.online]


SEEN = """
import json, os
from pathlib import Path
Path("seen.json").write_text(json.dumps([os.getppid(), os.environ["HF_HUB_OFFLINE"]]))
"""


def test_a_job_that_may_use_the_network_does_not_run_in_the_warm_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OMP_NUM_THREADS", "TQDM_DISABLE", "TOKENIZERS_PARALLELISM", "POLARS_MAX_THREADS"):
        monkeypatch.setenv(name, "1")
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "1")
    monkeypatch.delenv("SUBLIM_WORKER", raising=False)
    Path("instead.py").write_text(SEEN)
    monkeypatch.setattr(worker, "COMPUTE", "instead")
    # What it is made from does not matter here, nor is it there.
    cell = next(replace(cell, inputs={}) for cell in planned(tmp_path, grader="remote") if cell.plan.stage == "eval")
    publish(judge([cell], Digests(layout.DIGESTS)))
    assert run(cell.id) == "computed"
    assert json.loads(Path("seen.json").read_text()) == [os.getpid(), "0"]
    assert not layout.SOCKET.exists()
