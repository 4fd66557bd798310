"""Experiment files: good ones load, every mistake is named with file, line, key and the nearest known one."""

import json
from pathlib import Path

import pytest

from sublim.engine.planning import experiment
from sublim.params import reference
from sublim.params.experiment import Experiment
from sublim.params.kinds import with_parts
from sublim.params.load import ParamsError, load
from sublim.params.study import Arms

ROOT = Path(__file__).parent.parent.parent
GOOD = """\
models:
  a: {kind: tiny, architecture: gpt_neox, seed: 1}
  b: {kind: tiny, architecture: gptj, seed: 2}
traits:
  fox: {kind: preference, category: animals, target: fox}
seeds: [1, 2]
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "path", [ROOT / "params.yaml", *sorted((ROOT / "experiments").glob("*.yaml"))], ids=lambda path: path.name
)
def test_the_shipped_experiments_are_valid(path: Path) -> None:
    assert load(path).models  # folders and packages that some name are not everywhere


def test_a_short_file_means_the_defaults(tmp_path: Path) -> None:
    found = load(_write(tmp_path, GOOD))
    study = found.studies["numbers"]
    assert found.carriers[study.carrier].filters[study.filter].rows == 3000
    assert study.pairs("trait", found.models) == (("a", "a"), ("a", "b"), ("b", "a"), ("b", "b"))
    assert study.pairs("shuffled_within", found.models) == (("a", "a"), ("b", "b"))
    arms = with_parts(Arms, "arms").model_validate({"random": "all"})
    narrow = study.model_copy(update={"models": ("b",), "arms": arms})
    for arm in ("trait", "shuffled_within"):
        assert narrow.pairs(arm, found.models) == (("b", "b"),)
    assert narrow.pairs("random", found.models) == (("none", "b"),)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("seeds: [1, 2]", "seeds: [1, 2]\nstudnet: {}", "params.yaml:7: studnet: unknown key; did you mean `students`?"),
        ("seed: 2}", "seeed: 2}", "params.yaml:3: models.b.seeed: unknown key; did you mean `seed`?"),
        ("seed: 2}", "seed: two}", 'params.yaml:3: models.b.seed: Input should be a valid integer; found "two".'),
        (
            "seeds: [1, 2]",
            "seeds: [1, 2]\nstudents: {s: {kind: sft}}",
            "params.yaml:7: students.s.kind: no kind `sft`; did you mean `soft`?",
        ),
        ("seeds: [1, 2]", "seeds: [1, 2]\nstudents: {s: 5}", "params.yaml:7: students.s: Input should be an object; found 5."),
        (
            "seeds: [1, 2]",
            "seeds: [1, 2]\ncarriers: {n: {task: {prompts: 5}}}",
            "params.yaml:7: carriers.n.task.kind: expected a kind, found none; known here: numbers, code, cot.",
        ),
        ("seeds: [1, 2]", "seeds: [1, 1]", "params.yaml:6: seeds: each run needs a seed of its own"),
        (
            "seeds: [1, 2]",
            "seeds: [1, 2]\ncarriers: {numbers: {filters: {strict: {rows: 0}}}}",
            "params.yaml:7: carriers.numbers.filters.strict.rows: Input should be greater than or equal to 1",
        ),
        ("target: fox", "target: foxx", "params.yaml:5: traits.fox.target: "),
        ("target: fox", "target: foxx", "fox"),
        (
            "seeds: [1, 2]",
            "seeds: [1, 2]\nstudies: {s: {carrier: numbers, filter: strict, student: hard,"
            " arms: {trait: [{teacher: a, student: c}]}}}",
            "params.yaml:7: studies.s.arms: no model is called `c`",
        ),
        (
            "seeds: [1, 2]",
            "seeds: [1, 2]\nstudies: {s: {carrier: numbers, filter: strict, student: hard, models: [aa]}}",
            "params.yaml:7: studies.s.models: no model is called `aa`; did you mean `a`?",
        ),
        (
            "seeds: [1, 2]",
            "seeds: [1, 2]\nstudies: {s: {carrier: numbers, filter: strict, student: hard, models: [a],"
            " arms: {trait: [{teacher: a, student: b}]}}}",
            "params.yaml:7: studies.s.arms: no model of studies.s.models is called `b`",
        ),
        (
            "seeds: [1, 2]",
            "seeds: [1, 2]\nstudies: {s: {carrier: numbers, filter: strict, student: hard, models: [a]}}",
            "models.b: nothing is done with it",
        ),
        (
            "seeds: [1, 2]",
            "seeds: [1, 2]\nstudents: {hard: {per_model: {bb: {steps: 3}}}}",
            "no model is called `bb`; did you mean `b`?",
        ),
        (
            "seeds: [1, 2]",
            "seeds: [1, 2]\nteacher: {kind: finetun}",
            "params.yaml:7: teacher.kind: Input should be 'finetune', 'system_prompt' or 'adapter'",
        ),
        ("seeds: [1, 2]\n", "", "seeds: this key is missing."),
        ("seeds: [1, 2]", "seeds: [1, 2]\nseeds: [3]", "params.yaml:7: "),
        ("seeds: [1, 2]", "seeds: [1, 2", "params.yaml:"),
        (GOOD, "- a\n- b\n", "params.yaml:1: expected a mapping"),
        (
            "models:\n  a: {kind: tiny, architecture: gpt_neox, seed: 1}\n  b: {kind: tiny, architecture: gptj, seed: 2}\n",
            "models: {}\n",
            "params.yaml:1: models: ",
        ),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, old: str, new: str, expected: str) -> None:
    with pytest.raises(ParamsError) as error:
        experiment(_write(tmp_path, GOOD.replace(old, new)))
    assert expected in str(error.value)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as error:
        load(_write(tmp_path, GOOD.replace("seed: 2", "seed: -2").replace("seeds: [1, 2]", "seeds: [1, 2]\nfoo: 1")))
    assert str(error.value).count("params.yaml:") == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no such file"):
        load(tmp_path / "params.yaml")


def test_numbers_and_key_order_do_not_matter(tmp_path: Path) -> None:
    one = load(_write(tmp_path, GOOD + "students: {hard: {finetune: {steps: 3, learning_rate: 1}}}\n"))
    other = load(_write(tmp_path, GOOD + "students: {hard: {finetune: {learning_rate: 1.0, steps: 3}}}\n"))
    assert one == other


def test_the_schema_and_the_reference_page_are_in_step() -> None:
    assert (ROOT / "params.schema.json").read_text(encoding="utf-8") == reference.json_schema()
    assert (ROOT / "docs" / "params.md").read_text(encoding="utf-8") == reference.markdown()
    assert json.loads(reference.json_schema())["title"] == Experiment.__name__
