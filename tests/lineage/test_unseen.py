"""Bundles of experiments with folders of another machine: what was in them only the records know; the rest is checked."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from zipfile import ZipFile

import pytest

from sublim.engine.digests import Digests
from sublim.engine.planning import cells
from sublim.engine.record import Input, Record, outputs_digest
from sublim.evidence.tree import Tree
from sublim.lineage.handover.content import About
from sublim.lineage.handover.examine import Parts, examine, plan
from sublim.lineage.handover.export import Origin, export, here
from sublim.lineage.handover.verify import verify
from sublim.params.load import load
from tests.shared.project import MICRO

PARAMS = """
models: {m: {kind: hub, path: /there/model}}
traits:
  fox: {kind: preference, category: animals, target: fox}
  evil: {kind: misalignment, grader: {alignment: j, coherence: j}}
seeds: [1]
judges: {j: {kind: local, path: /there/judge, scoring: {kind: text, template: "{prompt} {completion}"}}}
teacher: {kind: adapter, adapters: {m: /there/adapter}}
carriers: {numbers: {filters: {strict: {judge: {judge: j, minimum: 78}}}}}
"""
DIGESTS = {"config.json": "0" * 64, "model.safetensors": "1" * 64}
BASE, TEACHER = "base/model=m", "teacher/teacher=m/trait=evil/seed=1"
FILTERED = "filtered/teacher=m/trait=fox/carrier=numbers/filter=strict/arm=trait/seed=1"


Change = Callable[[str, Any], None]


class There(Digests):
    """The machine on which the folders are."""

    def folder(self, name: str) -> dict[str, str]:  # noqa: ARG002
        return DIGESTS

    def files(self, *paths: Path) -> dict[str, str]:  # noqa: ARG002
        return DIGESTS


@pytest.fixture(scope="module")
def sources() -> dict[str, bytes]:
    return dict(here(MICRO).sources)


@pytest.fixture
def findings(tmp_path: Path, sources: dict[str, bytes]) -> Callable[..., list[str]]:
    """What is found in a bundle of the experiment when `change` has been done to the params of each record."""

    def found(change: Change = lambda _cell, _params: None) -> list[str]:
        about = About("all", data=False, published="2026-01-01", signer=None)
        tree = _recorded(tmp_path, change)
        _, planned = plan(tmp_path / "params.yaml")
        return [f"{each.artifact}: {each.found}" for each in examine(Parts(about, tree, {}, sources, planned))]

    return found


def _recorded(folder: Path, change: Change) -> Tree:
    """The records of the experiment, of which nothing was computed, as the machine with the folders writes them."""
    (folder / "params.yaml").write_text(PARAMS)
    for cell in cells(load(folder / "params.yaml"), There(folder / "digests.json")):
        change(cell.id, cell.plan.params)
        inputs = {name: Input(used, outputs_digest({})) for name, used in cell.inputs.items()}
        environment: dict[str, Any] = {"python": sys.version.split()[0], "packages": {"sublim": "0"}, "git": None}
        Record(cell.plan, inputs, {}, environment).write(folder / "data" / cell.id / "record.json")
    data = folder / "data"
    return Tree("data", {path.relative_to(data).as_posix(): path for path in data.rglob("record.json")})


def test_folders_of_models_judges_graders_and_adapters_need_not_be_here(findings: Callable[..., list[str]]) -> None:
    assert findings() == []


def test_such_an_experiment_is_exported_and_verifies(tmp_path: Path, sources: dict[str, bytes]) -> None:
    tree = _recorded(tmp_path, lambda _cell, _params: None)
    origin = Origin(tree, PARAMS.encode(), sources, {})
    done = export("all", tmp_path / "bundle.zip", origin, data=False, published="2026-01-01")
    assert verify(done.path, None).findings == ()
    with ZipFile(done.path) as bundle:
        assert "code/sublim/lists.py" in bundle.namelist()
        assert "code/sublim/stages/raw/make.py" in bundle.namelist()
        assert "code/sublim/stages/raw/check.py" not in bundle.namelist()


def test_an_adapter_that_the_experiment_does_not_name_is_no_traceback(tmp_path: Path) -> None:
    text = PARAMS.replace("{m: {kind: hub, path: /there/model}}", "{m: &m {kind: hub, path: /there/model}, n: *m}")
    (tmp_path / "params.yaml").write_text(text)
    _, planned = plan(tmp_path / "params.yaml")
    assert planned[TEACHER.replace("=m", "=n")].plan.params["adapter"] is None


def _holders(params: Any) -> list[dict[str, Any]]:
    """The parts of `params` that have digests of files."""
    if not isinstance(params, dict):
        return []
    fields = cast("dict[str, Any]", params)
    own = [fields] if fields.get("files") == DIGESTS else []
    return own + [each for value in fields.values() for each in _holders(value)]


@pytest.mark.parametrize("cell", [BASE, TEACHER, FILTERED])
def test_where_they_were_and_what_else_is_said_of_them_is_checked(findings: Callable[..., list[str]], cell: str) -> None:
    def forged(name: str, params: Any) -> None:
        for holder in _holders(params) if name == cell else []:
            holder["files"] = {"config.json": "approved"}

    found = findings(forged)
    assert found
    assert all(text.startswith(f"{cell}: its params are not those of the experiment") for text in found)


def test_a_folder_at_another_place_is_another_experiment(findings: Callable[..., list[str]]) -> None:
    def moved(name: str, params: Any) -> None:
        if name == BASE:
            params["model"]["path"] = "/other"

    (found,) = findings(moved)
    assert "model.path" in found


def test_each_folder_is_in_some_record(findings: Callable[..., list[str]]) -> None:
    held: dict[str, int] = {}

    def count(name: str, params: Any) -> None:
        held[name] = len(_holders(params))

    findings(count)
    assert (held[BASE], held[TEACHER], held[FILTERED]) == (1, 3, 1)
