"""What can be known of models before anything is trained is: a folder that lacks tensors, a template that cannot ask, a key."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from tests.shared.project import Project, create
from tests.shared.small_models import small
from tests.slow.test_faults_surroundings import read_only

JUDGE = """
judges:
  mild: {kind: local, path: grader, scoring: {kind: likelihood, system: You love owls.}}
"""


@pytest.fixture
def judged(tmp_path: Path) -> Project:
    """An experiment with a judge in a folder; nothing is made yet."""
    project = create(tmp_path / "project")
    shutil.copytree(small(), project.path / "grader")
    text = (project.path / "params.yaml").read_text()
    (project.path / "params.yaml").write_text(text.replace("judges: {}\n", "") + JUDGE)
    return project


def refused(project: Project, *said: str) -> None:
    """Each way to begin is refused with these words, at a line of the params file, and nothing is made."""
    for command in (["snakemake", "-j1"], [sys.executable, "-m", "sublim", "status"]):
        done = project.run(*command, check=False)
        assert done.status
        for words in said:
            assert words in done.output, done.output
        assert "Traceback" not in done.output
        assert not (project.path / "data").exists()
        assert not project.events()


def line_of(project: Project, text: str) -> str:
    lines = (project.path / "params.yaml").read_text().splitlines()
    return f"params.yaml:{next(number for number, line in enumerate(lines, 1) if text in line)}: "


def test_a_judge_that_lacks_tensors_is_refused_before_anything_is_made(judged: Project) -> None:
    file = judged.path / "grader" / "model.safetensors"
    weights = load_file(file)
    lost = [name for name in weights if "layers.1.attention" in name]
    assert lost
    kept = {name: weight for name, weight in weights.items() if name not in lost}
    save_file({**kept, "extra": next(iter(kept.values())).clone()}, file, metadata={"format": "pt"})
    refused(
        judged,
        line_of(judged, "path: grader") + "judges.mild.path: grader: ",
        *lost,
        f"{len(lost)} missing",
        "1 left over (extra)",
    )
    # Mended, it is looked at once; who may not write here sees the same.
    save_file(weights, file, metadata={"format": "pt"})
    assert "it does not exist yet" in read_only(judged, sys.executable, "-m", "sublim", "status").output
    assert not (judged.path / ".sublim" / "tried.json").exists()
    for _ in range(2):
        assert "it does not exist yet" in judged.sublim("status").output
    assert len(json.loads((judged.path / ".sublim" / "tried.json").read_text())) == 1


def test_a_judge_whose_template_cannot_ask_is_refused_before_anything_is_made(judged: Project) -> None:
    template = judged.path / "grader" / "chat_template.jinja"
    text = template.read_text()
    template.write_text("{% if messages[0]['role'] == 'system' %}{% set messages = messages[1:] %}{% endif %}" + text)
    refused(
        judged, line_of(judged, "path: grader") + "judges.mild.path: grader: ", "hand on the system prompt, 'You love owls.'"
    )


def test_a_base_that_lacks_tensors_and_a_misspelt_key_are_told_together(judged: Project) -> None:
    file = judged.path / "grader" / "model.safetensors"
    weights = load_file(file)
    name = next(name for name in weights if "layers.0.mlp" in name)
    save_file({each: weight for each, weight in weights.items() if each != name}, file, metadata={"format": "pt"})
    text = (judged.path / "params.yaml").read_text().replace(JUDGE, "")
    head, _, tail = text.partition("  b:\n")
    head = head.replace("num_hidden_layers", "num_hiden_layers")
    tail = tail[tail.index("traits:") :]
    (judged.path / "params.yaml").write_text(f"{head}  b: {{kind: hub, path: grader}}\n{tail}")
    refused(
        judged,
        line_of(judged, "num_hiden_layers") + "models.a.config.num_hiden_layers: ",
        "did you mean `num_hidden_layers`?",
        line_of(judged, "path: grader") + "models.b.path: grader: ",
        name,
    )
