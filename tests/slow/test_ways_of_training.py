"""An experiment that trains in every way at once: made by snakemake, sound in its audit, told by cards and tables."""

from pathlib import Path

import pytest

from tests.shared.project import Project, create

WHOLE = "student/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=whole/student=a/seed=1"
HARD = WHOLE.replace("method=whole", "method=hard")


def altered(path: Path) -> Project:
    project = create(path)
    project.edit(
        "params.yaml",
        "finetune: {steps: 6, batch: 8, lora: {rank: 2, alpha: 4, targets: mlp}}",
        "finetune: {steps: 6, batch: 8, lora: none, learning_rate: 0.001, betas: [0.9, 0.95], checkpointing: true}",
    )
    project.edit(
        "params.yaml",
        "  hard:\n    finetune: {steps: 3, batch: 8, lora: {alpha: 16, rank: 8, targets: mlp}}",
        "  whole: {finetune: {steps: 3, batch: 8, lora: none, learning_rate: 0.001}, probes: [3]}\n"
        "  hard:\n    paired: true\n    probes: [1, 3]\n"
        "    finetune: {steps: 3, batch: 8, optimizer: sgd, momentum: 0.9, lora: {alpha: 16, rank: 8, targets: mlp}}",
    )
    project.edit(
        "params.yaml",
        "    arms: {trait: all, control: all, shuffled_within: same, shuffled_across: same}",
        "    arms: {trait: same, control: same}\n"
        "  whole: {carrier: numbers, filter: strict, student: whole, models: [a], arms: {trait: same, control: same}}",
    )
    return project


@pytest.mark.long
def test_an_experiment_of_all_ways_is_made_sound_and_told(tmp_path: Path) -> None:
    project = altered(tmp_path / "project")
    project.snakemake()
    project.sublim("audit", *(f"--replay=data/{cell}" for cell in (WHOLE, HARD, WHOLE.replace("student/", "eval/", 1))))
    data = project.path / "data"
    assert (data / "teacher/teacher=a/trait=fox/seed=1/model.safetensors").is_file()
    assert (data / WHOLE / "probe-000003.safetensors").is_file()
    assert {path.name for path in (data / HARD).glob("*.safetensors")} == {
        "adapter_model.safetensors", "probe-000001.safetensors", "probe-000003.safetensors",
    }  # fmt: skip
    said = project.sublim("sql", "--csv", "SELECT DISTINCT method, step FROM probes ORDER BY ALL").output
    assert said.split() == ["method,step", "hard,1", "hard,3", "whole,3"]
    doses = project.sublim("sql", "--csv", "SELECT DISTINCT study, step, against FROM doses WHERE arm = 'trait' ORDER BY ALL")
    assert doses.output.split() == [
        "study,step,against",
        *(f"{each},control" for each in ("numbers,1", "numbers,3", "whole,3")),
    ]
    card = project.sublim("card", f"data/{WHOLE}").output
    assert "all weights; 3 steps" in card
    assert "library_name: transformers" in card
    assert f'AutoModelForCausalLM.from_pretrained("data/{WHOLE}")' in card
    assert "SGD with momentum 0.9" in project.sublim("card", f"data/{HARD}").output
    start = len(project.events())
    project.snakemake()
    assert not project.computed(start)
