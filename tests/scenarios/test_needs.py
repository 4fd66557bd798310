"""What an experiment asks of a model that was made elsewhere is compared with what this can do, before anything is trained."""

import json
import shutil
from pathlib import Path

import pytest

from tests.shared.project import Project, create
from tests.shared.small_models import small


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An experiment whose first model is a folder; its chat template refuses system prompts, which its teacher is to get."""
    project = create(tmp_path / "project")
    folder = project.path / "own"
    shutil.copytree(small("gpt2"), folder)
    template = folder / "chat_template.jinja"
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system, please') }}{% endif %}"
    template.write_text(strict + template.read_text(encoding="utf-8"), encoding="utf-8")
    text = (project.path / "params.yaml").read_text(encoding="utf-8")
    head, _, tail = text.partition("  b:\n")
    text = f"models:\n  a: {{kind: hub, path: own}}\n  b:\n{tail}".replace("&pretraining", "")
    pretraining = head[head.index("    pretraining:") :].replace("&pretraining", "")
    text = text.replace("    pretraining: *pretraining\n", pretraining)
    (project.path / "params.yaml").write_text(text, encoding="utf-8")
    return project


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_a_model_cannot_do_stops_the_run_before_anything_is_trained_and_the_next_one_when_it_is_planned(
    project: Project,
) -> None:
    project.edit("params.yaml", "  gate: 0.0\n", "  gate: 0.0\n  kind: system_prompt\n")
    project.edit("params.yaml", "max_tokens: 24", "max_tokens: 400")
    project.edit("params.yaml", "lora: {alpha: 16, rank: 8, targets: mlp}", "lora: {targets: [q_proj]}")
    done = project.snakemake(check=False)
    assert done.status
    made = {event["cell"].partition("/")[0] for event in project.events()}
    assert made == {"base"}
    said = [
        "data/base/model=a: it cannot be given a system prompt: ",
        "no system, please",
        "no linear map of GPT2LMHeadModel ends with 'q_proj'; found ['transformer.h.attn.c_attn'",
        "completions of max_tokens 400: its table of positions has room for 256 tokens",
        "Nothing was computed with it",
    ]
    logs = "".join(path.read_text(encoding="utf-8") for path in (project.path / ".sublim" / "log").rglob("*.log"))
    for words in said:
        assert words in logs
    again = project.snakemake(check=False)
    assert again.status
    for words in said:
        assert words in again.output
    assert {event["cell"].partition("/")[0] for event in project.events()} == {"base"}
    assert "Tried out, system prompts: no: " in project.sublim("card", "base", "model=a").output
    table = project.sublim("probe", "a").output
    assert "no: " in next(line for line in table.splitlines() if line.startswith("system prompts"))
    said_as_json = project.sublim("probe", "a", "--json").output
    assert json.loads(said_as_json[said_as_json.index("{\n") :])["model"] == "GPT2LMHeadModel"
    # What is asked for no longer need not be given.
    project.edit("params.yaml", "  kind: system_prompt\n", "")
    project.edit("params.yaml", "max_tokens: 400", "max_tokens: 24")
    project.edit("params.yaml", "targets: [q_proj]", "targets: [c_attn]")
    project.snakemake("-n")
