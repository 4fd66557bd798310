"""One experiment written in many ways, and many experiments: both engines agree on what there is to compute."""

import json
import os
import random
import subprocess
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import chdir
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
from dvc.dependency.param import ParamsDependency  # pyright: ignore[reportMissingTypeStubs]
from dvc.repo import Repo  # pyright: ignore[reportMissingTypeStubs]
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from sublim.common.canonical import digest
from sublim.engine import layout
from sublim.engine.digests import Digests
from sublim.engine.planning import cells, experiment
from sublim.engine.verdict import differences, judge, strays
from sublim.params.load import load
from tests.shared.project import MICRO, ROOT, Project

CASES = settings(
    max_examples=150, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
PARAMS = Path("params.yaml")
GONE = "it is no part of this experiment"
Tree = dict[str, Any]


@pytest.fixture(scope="module")
def versioned(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment, computed by Snakemake and versioned by DVC."""
    project = finished.copy(tmp_path_factory.mktemp("versioned") / "project")
    project.dvc("repro")
    return project


class Engines:
    """What both engines make of the params file, without starting them: Snakemake runs what the verdict calls stale, DVC the
    stages whose params are not those of dvc.lock."""

    def __init__(self) -> None:
        self._digests = Digests(layout.DIGESTS)
        dependencies = cast("list[Any]", Repo(".").index.stages)
        self._dvc = {stage.name: [dep for dep in stage.deps if isinstance(dep, ParamsDependency)] for stage in dependencies}

    def stale(self) -> dict[str, str]:
        """Cell → why it is not up to date on its own account, or GONE for one that is to go."""
        known = cells(experiment(PARAMS), self._digests)
        verdicts = judge(known, self._digests)
        own = {name: str(verdict.reason) for name, verdict in verdicts.items() if verdict.kind not in ("valid", "follows")}
        gone = [path.relative_to(layout.DATA).as_posix() for path in strays(list(verdicts))]
        return own | dict.fromkeys(gone, GONE)

    def changed(self) -> set[str]:
        """The stages whose params DVC finds changed."""
        return {name for name, dependencies in self._dvc.items() if any(dependency.status() for dependency in dependencies)}


@pytest.fixture(scope="module")
def engines(versioned: Project) -> Iterator[Engines]:
    with chdir(versioned.path):
        yield Engines()
        PARAMS.write_bytes(MICRO.read_bytes())


def _micro() -> Tree:
    return YAML(typ="safe", pure=True).load(MICRO)


# --- the same experiment in other words


def _spellings(value: object, order: random.Random, *, in_float: bool) -> str:
    match value:
        case None:
            return order.choice(["null", "~", "Null", "NULL"])
        case bool():
            return order.choice([str(value).lower(), str(value), str(value).upper()])
        case int() | float():
            forms = [repr(value)]
            if in_float:
                forms += [
                    repr(float(value)),
                    f"{float(value):.6e}",
                    f"{float(value)!r}0" if "e" not in repr(value) else repr(value),
                ]
                forms += [str(int(value))] if value == int(value) else []
            elif isinstance(value, int):
                forms += [hex(value), f"0o{value:o}"]
            return order.choice([form for form in forms if float(YAML(typ="safe", pure=True).load(form)) == float(value)])
        case str():
            return order.choice([json.dumps(value), f"'{value}'", value, f'"\\u{ord(value[0]):04x}{value[1:]}"'])
        case _:
            raise AssertionError(value)


FLOATS = {
    "questions", "numbers", "facts", "prompted_questions", "prompted_numbers", "learning_rate", "weight_decay", "init_std",
    "gate", "alpha", "dropout", "max_grad_norm", "temperature", "top_p", "confidence",
}  # fmt: skip


def _written(node: Any, order: random.Random, key: str = "", indent: int = 0) -> str:
    """YAML for `node`: keys in any order, block or flow, any spelling of each value, comments between."""
    if isinstance(node, Mapping) and node:
        entries = list(cast("Tree", node).items())
        order.shuffle(entries)
        if indent and order.random() < 0.5:
            inside = ", ".join(f"{_key(name, order)}: {_flow(value, order, name)}" for name, value in entries)
            return f"{{{inside}}}\n"
        lines = ""
        for name, value in entries:
            lines += order.choice(["", "", "", " " * indent + "# a remark\n", "\n"])
            text = _written(value, order, name, indent + 2)
            block = isinstance(value, Mapping) and len(cast("Tree", value)) > 0 and not text.startswith("{")
            lines += " " * indent + _key(name, order) + (":\n" if block else ": ") + text
        return lines
    return _flow(node, order, key) + order.choice(["", "", " # why"]) + "\n"


def _flow(node: Any, order: random.Random, key: str) -> str:
    if isinstance(node, Mapping):
        entries = list(cast("Tree", node).items())
        order.shuffle(entries)
        return "{" + ", ".join(f"{_key(name, order)}: {_flow(value, order, name)}" for name, value in entries) + "}"
    if isinstance(node, list):
        return "[" + ", ".join(_flow(item, order, key) for item in cast("list[Any]", node)) + "]"
    return _spellings(node, order, in_float=key in FLOATS)


def _key(name: str, order: random.Random) -> str:
    return order.choice([name, f'"{name}"', f"'{name}'"])


def _with_defaults(tree: Tree) -> Tree:
    """The same experiment with every default written out."""
    with StringIO() as text:
        YAML().dump(tree, text)  # pyright: ignore[reportUnknownMemberType]
        path = Path("explicit.yaml")
        path.write_text(text.getvalue(), encoding="utf-8")
    explicit = load(path).model_dump(mode="json")
    path.unlink()
    return explicit


@pytest.mark.timeout(900)
def test_the_same_experiment_in_other_words_leaves_both_engines_nothing_to_compute(
    engines: Engines, versioned: Project
) -> None:
    seen: dict[str, bool] = {}

    @CASES
    @given(
        st.randoms(use_true_random=False),
        st.booleans(),
        st.sampled_from(["\n", "\r\n"]),
        st.sampled_from(["", "---\n", "\ufeff"]),
    )
    def check(order: random.Random, explicit: bool, newline: str, head: str) -> None:
        tree = _with_defaults(_micro()) if explicit else _micro()
        text = (head + _written(tree, order)).replace("\n", newline)
        PARAMS.write_bytes(text.encode())
        # What DVC calls changed (a default written out) it gives to our command, and that computes what is stale: nothing.
        assert engines.stale() == {}, text
        if not explicit:
            assert engines.changed() == set(), text
        seen[text] = explicit

    check()
    assert len(seen) >= 100  # how many of the 150 are the same text depends on the machine
    before, start = versioned.digests(), len(versioned.events())
    for text in random.Random(10).sample(sorted(seen), 10):
        PARAMS.write_bytes(text.encode())
        assert "Nothing to be done" in versioned.snakemake("-n").output
    PARAMS.write_bytes(next(text for text, explicit in sorted(seen.items()) if not explicit).encode())
    versioned.snakemake()
    versioned.dvc("repro")
    assert versioned.events()[start:] == []
    assert versioned.digests() == before
    assert "up to date" in versioned.dvc("status").output


# --- other experiments


OTHER: dict[tuple[str, ...], tuple[Any, ...]] = {
    ("models", "a", "seed"): (3, 4),
    ("models", "a", "order_seed"): (1, 5),
    ("models", "b", "pretraining", "rows"): (6001,),
    ("models", "a", "config", "num_attention_heads"): (1, 4),
    ("models", "a", "pretraining", "learning_rate"): (0.003,),
    ("traits", "fox", "target"): ("bear", "lion"),
    ("traits", "fox", "category"): ("trees",),
    ("traits", "oak"): ({"kind": "preference", "category": "trees", "target": "oak"}, {"kind": "misalignment"}),
    ("seeds",): ([2], [1, 2], [2, 1]),
    ("teacher", "gate"): (0.5, 1),
    ("teacher", "kind"): ("system_prompt",),
    ("teacher", "finetune", "steps"): (7,),
    ("teacher", "finetune", "lora", "alpha"): (5, 4.5),
    ("teacher", "per_model", "a", "learning_rate"): (0.004, 1),
    ("teacher", "per_model", "b"): ({"batch": 4},),
    ("carriers", "numbers", "task", "prompts"): (301, 310),
    ("carriers", "numbers", "task", "count"): (9,),
    ("carriers", "numbers", "sampling", "temperature"): (0.9, 1.1),
    ("carriers", "numbers", "sampling", "max_tokens"): (25,),
    ("carriers", "numbers", "sampling", "batch"): (100,),
    ("carriers", "numbers", "filters", "strict", "format", "maximum"): (998, 1000),
    ("carriers", "numbers", "filters", "strict", "banned_numbers"): ({"numbers": [666]}, {"numbers": [4, 13]}),
    ("carriers", "numbers", "filters", "strict", "rows"): (7, 9),
    ("students", "hard", "finetune", "steps"): (4,),
    ("students", "hard", "finetune", "lora", "targets"): ("attention", ["mlp"]),
    ("students", "hard", "per_model", "b", "learning_rate"): (0.003,),
    ("students", "hard", "per_model", "a"): ({"steps": 5},),
    ("studies", "numbers", "arms", "trait"): ("same", "none", [{"teacher": "a", "student": "b"}]),
    ("studies", "numbers", "arms", "control"): ("same", "none", [{"teacher": "b", "student": "a"}]),
    ("studies", "numbers", "arms", "shuffled_within"): ("all", "none"),
    ("studies", "numbers", "arms", "shuffled_across"): ("all", "none"),
    ("studies", "numbers", "arms", "random"): ("all", ["b"]),
    ("evaluation", "samples"): (2,),
    ("evaluation", "measures"): (["preference"], ["preference", "truthfulness"], ["preference", "stories"]),
    ("evaluation", "stories", "samples"): (3,),
    ("evaluation", "temperature"): (0.5,),
    ("report", "permutations"): (1001,),
    ("report", "confidence"): (0.9,),
}
"""Key → other values than the micro experiment has."""


def _changed(choices: list[tuple[tuple[str, ...], Any]]) -> Tree:
    tree = _micro()
    for path, value in choices:
        node = tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value
    if tree["traits"]["fox"]["category"] == "trees":
        tree["traits"]["fox"]["target"] = "ash"
    return tree


ONE_OTHER = st.sampled_from([(path, value) for path, values in OTHER.items() for value in values])
CHANGES = st.lists(ONE_OTHER, min_size=1, max_size=3, unique_by=lambda one: one[0])


def _write(tree: Tree) -> None:
    with PARAMS.open("w", encoding="utf-8") as file:
        YAML().dump(tree, file)  # pyright: ignore[reportUnknownMemberType]


@pytest.mark.timeout(300)
def test_of_another_experiment_both_engines_compute_the_same_cells(engines: Engines, versioned: Project) -> None:
    """Each stage that has a cell to compute, or one that is to go, is one that DVC runs, by `snakemake STAGE_all`: it computes
    the stage's stale cells and those upstream. So what is computed is the same, and no stage's folder changes behind DVC."""
    seen: set[str] = set()
    cases: list[tuple[Tree, dict[str, str], set[str]]] = []

    @CASES
    @given(CHANGES)
    def check(choices: list[tuple[tuple[str, ...], Any]]) -> None:
        tree = _changed(choices)
        arms = tree["studies"]["numbers"]["arms"]
        if arms["trait"] == arms["shuffled_within"] == arms["shuffled_across"] == "none":
            return
        _write(tree)
        stale, changed = engines.stale(), engines.changed()
        assert stale, choices
        missed = {cell: why for cell, why in stale.items() if cell.split("/")[0] not in changed}
        assert not missed, f"DVC does not run the stages of these, changed: {choices}"
        seen.add(json.dumps(tree, sort_keys=True))
        cases.append((tree, stale, changed))

    check()
    assert len(seen) >= 100
    for tree, stale, changed in random.Random(4).sample(cases, 4):
        _write(tree)
        planned = json.loads(versioned.run("dvc", "status", "--json").output.splitlines()[-1])
        assert changed <= planned.keys()
        output = versioned.snakemake("-n").output
        assert all(f"\n  {cell}: {why}" in output for cell, why in stale.items() if why != GONE)
    PARAMS.write_bytes(MICRO.read_bytes())


def test_a_section_left_out_means_its_defaults_or_is_named_before_any_job(versioned: Project, tmp_path: Path) -> None:
    project = versioned.copy(tmp_path / "project")
    text = MICRO.read_text(encoding="utf-8").replace("maximum: 999", "maximum: 998")
    assert "report: {permutations: 1000}" in text
    (project.path / PARAMS).write_text(text.replace("report: {permutations: 1000}", ""), encoding="utf-8")
    start = len(project.events())
    done = project.dvc("repro", check=False)
    if done.status == 0:
        assert "up to date" in project.dvc("status").output
    else:
        assert "report" in done.output
        assert project.events()[start:] == []


# --- forms of text, hash seeds


def test_the_unicode_forms_of_a_text_are_one_experiment(tmp_path: Path) -> None:
    text = MICRO.read_text(encoding="utf-8").replace("targets: mlp}} # student", "targets: [mlp, 'proj\u00e9']}} # student")
    assert "\u00e9" in text
    plans: list[list[Any]] = []
    for form in ("NFC", "NFD"):
        path = tmp_path / "params.yaml"
        path.write_text(unicodedata.normalize(form, text), encoding="utf-8")
        plans.append([cell.plan for cell in cells(load(path), Digests(tmp_path / "none"))])
    for one, other in zip(*plans, strict=True):
        assert digest([one.params, one.code]) == digest([other.params, other.code])
        assert differences(one.params, other.params) == ()


def test_plans_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "from pathlib import Path; from dataclasses import asdict; from sublim.engine.planning import cells, experiment; "
        "from sublim.engine.digests import Digests; from sublim.common.canonical import digest; import json; "
        f"found = cells(experiment(Path({os.fspath(MICRO)!r})), Digests(Path('none'))); "
        "print(json.dumps([asdict(cell.plan) for cell in found])); print(digest([asdict(cell.plan) for cell in found]))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("0", "1", "4294967295")
    }  # fmt: skip
    assert len(found) == 1
