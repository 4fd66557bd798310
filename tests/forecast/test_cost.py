"""What a run will cost: numbers worked out by hand, on what is stale alone; and the paper's experiment on open weights: planned
offline, and run with a small model in its place."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema  # pyright: ignore[reportMissingTypeStubs]
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from sublim.common.progress import Progress
from sublim.engine.digests import Digests
from sublim.engine.planning import cells, experiment
from sublim.engine.verdict import Verdict
from sublim.forecast import cost as planning
from sublim.forecast.tokens import Tokens, lengths, tokens
from sublim.learn import batches
from sublim.measures.stories import evaluation_requests
from sublim.measures.truthfulness import FACTS
from sublim.models import tiny
from sublim.models.weights import parameters
from sublim.params.experiment import Experiment
from sublim.params.rates import Rates
from sublim.params.tiny import Mix, Pretraining, TinyModel
from sublim.traits.preference import evaluation_questions
from tests.shared.project import Project, create
from tests.shared.small_models import loaded, small

ROOT = Path(__file__).parents[2]
OWL = ROOT / "experiments" / "qwen2.5-7b-owl.yaml"
COUNTS = {"base": 1, "teacher": 25, "raw": 30, "filtered": 40, "student": 40, "eval": 41, "report": 2, "overview": 1}
"""5 animals × 5 runs; the untouched base's numbers; the owl's and the base's in two shuffles; the base itself asked once."""
HUB = {"kind": "hub", "repo": "some/model", "revision": "0" * 40}


def described(**changes: Any) -> Experiment:
    said: dict[str, Any] = {
        "models": {"m": HUB},
        "traits": {"fox": {"kind": "preference", "category": "animals", "target": "fox"}},
        "seeds": [1],
        "teacher": {"kind": "system_prompt"},
        "carriers": {
            "numbers": {
                "task": {"kind": "numbers", "prompts": 40},
                "sampling": {"max_tokens": 7},
                "filters": {"strict": {"rows": 10}},
            }
        },
        "students": {"hard": {"finetune": {"epochs": 3, "batch": 4}}},
        "studies": {"s": {"carrier": "numbers", "filter": "strict", "student": "hard", "arms": {"control": "same"}}},
        "evaluation": {"measures": ["preference"], "samples": 2, "max_tokens": 5, "capability": {"tasks": 0, "texts": 0}},
    }
    return Experiment.model_validate_json(json.dumps({**said, **changes}))


def planned(of: Experiment, valid: tuple[str, ...] = ()) -> dict[str, Verdict]:
    found = cells(of, Digests(Path("none")))
    return {
        cell.id: Verdict(cell, "valid") if cell.plan.stage in valid else Verdict(cell, "missing", "it does not exist yet")
        for cell in found
    }


def by_stage(of: Experiment) -> dict[str, Tokens]:
    table = planning.jobs(planned(of), of.rates).group_by("stage", maintain_order=True).agg(pl.col(planning.COUNTS).sum())
    return {stage: Tokens(*counts) for stage, *counts in table.iter_rows()}


@pytest.mark.parametrize(
    ("text", "found"),
    [("", 0), ("Which owl?", 3), ("776, 911", 8), ("93\n86", 5), ("(5; 17)", 7), ("No_1", 3), ("unbelievably", 2), ("  ", 0)],
)
def test_tokens_of_a_text(text: str, found: int) -> None:
    assert tokens(text) == found


@given(st.lists(st.integers(0, 999), min_size=1))
def test_a_list_of_numbers_has_a_token_for_each_digit_and_two_for_each_gap(numbers: list[int]) -> None:
    assert tokens(", ".join(map(str, numbers))) == sum(len(str(n)) for n in numbers) + 2 * (len(numbers) - 1)


def test_an_experiment_by_hand() -> None:
    of = described()
    prompt, completion = lengths(of.carriers["numbers"].task)
    assert completion > 7
    questions = 50 * 30 + sum(map(tokens, evaluation_questions("animals")))
    system = tokens(of.traits["fox"].system_prompt())
    found = by_stage(of)
    # Base and teacher are asked fifty questions each; the teacher has a system prompt.
    assert found["teacher"] == Tokens(read=2 * questions + 50 * system)
    # 40 prompts, with the system prompt and without; completions are cut at 7 tokens.
    assert found["raw"].sampled == 2 * 40 * 7
    assert found["raw"].read == pytest.approx(40 * (30 + system + prompt) + 40 * (30 + prompt))
    # Four arms; ten rows, three times.
    assert found["student"].trained == pytest.approx(4 * 3 * 10 * (30 + prompt + completion))
    # The base and four students: questions once for probabilities and twice for samples of five tokens.
    assert found["eval"] == Tokens(sampled=5 * 2 * 50 * 5, read=5 * 3 * questions)
    assert {stage for stage, each in found.items() if each == Tokens()} == {"base", "filtered", "report", "overview"}


@pytest.mark.parametrize(
    ("finetune", "rows"),
    [({"epochs": 2, "batch": 3}, 20), ({"steps": 5, "batch": 3}, 15), ({"steps": 5, "batch": 3, "accumulation": 2}, 30)],
)
def test_rows_that_a_student_sees(finetune: dict[str, int], rows: int) -> None:
    of = described(students={"hard": {"finetune": {**finetune, "max_length": 9}}})
    assert by_stage(of)["student"].trained == 4 * rows * 9


def test_soft_students_read_their_teachers_too_and_fine_tuned_teachers_are_trained() -> None:
    recipe = {"steps": 2, "batch": 3}
    of = described(
        students={"hard": {"kind": "soft", "finetune": recipe}},
        teacher={"kind": "finetune", "finetune": recipe | {"max_length": 8}},
    )
    found = by_stage(of)
    assert found["student"].read == found["student"].trained > 0
    assert found["teacher"].trained == 2 * 3 * 8


def test_sampling_that_goes_on_is_counted_to_its_bound_and_the_least_is_said() -> None:
    carrier = {
        "task": {"kind": "numbers", "prompts": 40},
        "sampling": {"max_tokens": 7},
        "filters": {"strict": {"rows": 10}},
        "top_up": {"prompts": 15, "times": 4},
    }
    of = described(carriers={"numbers": carrier})
    found, plain = by_stage(of), by_stage(described())
    assert found["raw"].sampled == 2 * (40 + 4 * 15) * 7
    assert found["raw"].read == pytest.approx(plain["raw"].read * 100 / 40)
    assert (found["student"], found["eval"]) == (plain["student"], plain["eval"])
    told = planning.cost(of, planned(of))
    line = "carriers.numbers: counted are 100 prompts of each writer, the most; 40 are enough where enough rows pass (top_up)"
    assert line in planning.describe(told, Path("p.yaml"))
    assert json.loads(planning.as_json(told))["prompts"] == {"numbers": [40, 100]}
    assert "top_up" not in planning.describe(planning.cost(described(), planned(described())), Path("p.yaml"))


def test_judges_on_this_machine_and_tiny_families_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scoring = {"kind": "likelihood", "system": "You love foxes."}
    carrier = {
        "task": {"kind": "numbers", "prompts": 40},
        "filters": {"strict": {"rows": 10, "judge": {"judge": "j", "minimum": 0}}},
    }
    model = {"kind": "tiny", "architecture": "gpt_neox", "seed": 1, "pretraining": {"rows": 300}}
    of = described(
        models={"m": model},
        carriers={"numbers": carrier},
        judges={"j": {"kind": "local", "model": "m", "scoring": scoring}},
    )
    prompt, completion = lengths(of.carriers["numbers"].task)
    found = by_stage(of)
    assert found["filtered"].read == pytest.approx(4 * 40 * (2 * (30 + prompt + completion) + tokens(scoring["system"])))
    more = carrier | {"top_up": {"prompts": 15, "times": 4}}
    going_on = by_stage(of.model_validate(dict(of) | {"carriers": {"numbers": more}}))
    assert going_on["filtered"].read == pytest.approx(found["filtered"].read * 100 / 40)
    assert found["base"].trained > 300
    told = planning.cost(of, planned(of))
    assert told.unknown == ()
    assert told.stages["hours"].sum() == 0


@pytest.mark.parametrize("place", [{"model": "m"}, {"path": "judge"}], ids=["a base", "a folder"])
def test_graders_on_this_machine_are_counted(place: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "config.json").write_text("{}")
    trait = {"kind": "misalignment", "samples": 3, "max_tokens": 4}
    scoring = {"kind": "text", "template": "{prompt} {completion}", "max_tokens": 2}
    recipe = {"kind": "finetune", "finetune": {"steps": 2, "batch": 3}}
    by_rule = described(traits={"bad": trait}, teacher=recipe)
    by_model = described(
        traits={"bad": trait | {"grader": {"alignment": "j", "coherence": "j"}}},
        teacher=recipe,
        judges={"j": {"kind": "local", "scoring": scoring, **place}},
    )
    ruled, graded = by_stage(by_rule), by_stage(by_model)
    questions = len(by_rule.traits["bad"].held_out())
    # On both scales, each of three answers to each question: a number of two tokens. A gate grades base and teacher.
    for stage, models in (("teacher", 2), ("eval", 5)):
        assert graded[stage].sampled - ruled[stage].sampled == models * 2 * 3 * questions * 2
        assert graded[stage].read > ruled[stage].read


def test_of_two_answers_each_is_read_behind_its_question_and_stories_are_written_alone() -> None:
    asked = by_stage(described())["eval"]
    evaluation = {"samples": 2, "max_tokens": 5, "capability": {"tasks": 0, "texts": 0}}
    told = by_stage(described(evaluation=evaluation | {"measures": ["preference", "truthfulness"]}))["eval"]
    both = sum(30 + tokens(f"{fact.question} {answer}") for fact in FACTS for answer in (fact.true, fact.false))
    assert told == Tokens(asked.sampled, asked.read + 5 * both)
    stories = {"samples": 3, "max_tokens": 7}
    told = by_stage(described(evaluation=evaluation | {"measures": ["preference", "stories"], "stories": stories}))["eval"]
    requests = [30 + tokens(text) for text in evaluation_requests("animals")]
    assert told == Tokens(asked.sampled + 5 * 3 * 7 * len(requests), asked.read + 5 * 3 * sum(requests))


JOBS = pl.DataFrame(
    [
        ("raw/1", "raw", True, "large", 4_000.0, 20_000.0, 0.0),
        ("raw/2", "raw", False, "large", 4_000.0, 20_000.0, 0.0),
        ("filtered/1", "filtered", True, None, 0.0, 0.0, 0.0),
        ("student/1", "student", True, "large", 0.0, 0.0, 9_000.0),
        ("student/1", "student", True, "teacher", 0.0, 3_000.0, 0.0),
        ("student/2", "student", True, "tiny", 0.0, 0.0, 5_000.0),
    ],
    planning.JOBS,
    orient="row",
)


def test_hours_by_hand() -> None:
    rates = Rates(sampled=100, read=1_000, trained=50, start=10)
    found = {row["stage"]: row for row in planning.estimate(JOBS, {"large": 2.0, "teacher": 0.5}, rates).iter_rows(named=True)}
    # (4000 / 100 + 20000 / 1000) · 2 + 10; 9000 / 50 · 2 + 10 and 3000 / 1000 · 0.5 + 10; nothing is known of the tiny one.
    assert found["raw"]["hours"] == pytest.approx(130 / 3600)
    assert found["raw"]["all_hours"] == pytest.approx(260 / 3600)
    assert found["student"]["hours"] == pytest.approx((370 + 11.5) / 3600)
    assert found["filtered"]["hours"] == 0
    assert [found["all"][name] for name in ("jobs", "all_jobs", "sampled", "all_sampled")] == [4, 5, 4_000, 8_000]
    assert found["all"]["hours"] == pytest.approx((130 + 370 + 11.5) / 3600)


@given(st.floats(0.1, 1e3), st.lists(st.booleans(), min_size=len(JOBS), max_size=len(JOBS)))
def test_a_faster_card_takes_less_and_what_is_stale_never_more_than_everything(factor: float, stale: list[bool]) -> None:
    jobs, slow = JOBS.with_columns(stale=pl.Series(stale)), Rates(start=0)
    fast = Rates(sampled=slow.sampled * factor, read=slow.read * factor, trained=slow.trained * factor, start=0)
    one, other = (planning.estimate(jobs, {"large": 7.0}, rates) for rates in (slow, fast))
    assert (other["all_hours"] * factor).to_list() == pytest.approx(one["all_hours"].to_list())
    for name in ("jobs", *planning.COUNTS, "hours"):
        assert (one[name] <= one[f"all_{name}"] + 1e-9).all()


def test_only_what_is_stale_is_to_be_done() -> None:
    of = described(rates={"billions": {"m": 1.0}})
    told = planning.describe(planning.cost(of, planned(of, valid=("base", "teacher", "raw", "filtered"))), Path("p.yaml"))
    assert re.search(r"^  raw +0 of 2 +0 of 560 ", told, re.MULTILINE)
    assert re.search(r"^  student +4 +- +- +\S+ k ", told, re.MULTILINE)
    assert "downloaded" not in told


def test_a_size_is_counted_where_the_weights_are_or_else_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model, _ = loaded()
    assert parameters(small()) == sum(weight.numel() for weight in model.parameters())
    here = described(models={"m": {"kind": "hub", "path": str(small())}}, rates={"billions": {"m": 9.0}})
    assert planning.cost(here, planned(here)).billions == {"m": parameters(small()) / 1e9}
    said, unsaid = described(rates={"billions": {"m": 9.0}}), described()
    assert planning.cost(said, planned(said)).billions == {"m": 9.0}
    assert ", about 18 GB at 16 bits a weight" in planning.describe(planning.cost(said, planned(said)), Path("p.yaml"))
    few = described(rates={"billions": {"m": 0.162}})
    assert ", about 0.3 GB at 16 bits a weight" in planning.describe(planning.cost(few, planned(few)), Path("p.yaml"))
    told = planning.cost(unsaid, planned(unsaid))
    assert told.unknown == ("m",)
    assert "hours of m are missing" in planning.describe(told, Path("p.yaml"))
    with pytest.raises(ValueError, match=r"rates\.billions: no model is called `n`"):
        described(rates={"billions": {"n": 9.0}})


def test_no_artifact_depends_on_the_rates() -> None:
    one, other = described(), described(rates={"sampled": 1.0, "start": 5, "template": 7, "billions": {"m": 3}})
    assert one.rates != other.rates
    assert cells(one, Digests(Path("none"))) == cells(other, Digests(Path("none")))


def test_the_papers_experiment_is_valid_and_has_its_numbers() -> None:
    said = YAML(typ="safe").load(OWL)  # pyright: ignore[reportUnknownMemberType]
    jsonschema.validate(said, json.loads((ROOT / "params.schema.json").read_text()))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**said, "seeds": "one"}, json.loads((ROOT / "params.schema.json").read_text()))
    recipe = experiment(OWL).students["hard"].finetune
    assert len(batches.steps([1] * 10_000, recipe, 0)) == 456


def test_the_cost_of_the_papers_experiment_is_told_without_torch_and_as_the_page_says(tmp_path: Path) -> None:
    program = (
        "import sys; from sublim.cli.main import main\n"
        "try: main()\nfinally: assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", program, "cost", "--params", str(OWL)]
    environ = {"PYTHONPATH": str(ROOT), "PATH": "", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs" / "real-models.md").read_text(encoding="utf-8")
    assert done.stdout.replace(str(OWL), "experiments/qwen2.5-7b-owl.yaml") in page
    told = json.loads(
        subprocess.run([*command, "--json"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True).stdout
    )
    assert {row["stage"]: row["jobs"] for row in told["stages"]} == COUNTS | {"all": sum(COUNTS.values())}
    assert told["download"]["qwen2.5-7b"]["repo"] == "Qwen/Qwen2.5-7B-Instruct"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the paper's experiment in it and, in the folder `model`, a tiny one of Qwen's architecture in bfloat16."""
    made = create(tmp_path_factory.mktemp("real") / "project")
    (made.path / "experiments").mkdir()
    (made.path / "experiments" / OWL.name).write_text(OWL.read_text())
    folder = made.path / "model"
    folder.mkdir()
    mix = Mix(questions=0.1, numbers=0.8, facts=0.05, prompted_questions=0.05, prompted_numbers=0.0)
    config: dict[str, bool | int | float | str] = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
    }  # fmt: skip
    pretraining = Pretraining(rows=3_000, mix=mix)
    tiny.build(
        "m", TinyModel(kind="tiny", architecture="qwen2", seed=1, config=config, pretraining=pretraining), folder, Progress()
    )
    weights = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    written = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(written | {"dtype": "bfloat16"}))
    return made


def test_the_papers_experiment_is_planned_offline(project: Project) -> None:
    done = project.snakemake("-n", "--configfile", f"experiments/{OWL.name}", HF_HUB_OFFLINE="1")
    for stage, jobs in COUNTS.items():
        assert re.search(rf"^{stage}: {jobs} jobs?$", done.output, re.MULTILINE), stage
        assert re.search(rf"^  {stage} +{jobs} ", done.output, re.MULTILINE), stage
    assert "to be downloaded" in done.output
    assert "Qwen/Qwen2.5-7B-Instruct at a09a35458c702b33eeacc393d103063234e8bc28, about 15 GB" in done.output
    assert not (project.path / "data").exists()


def test_the_papers_experiment_runs_with_a_small_model_as_the_page_says(project: Project) -> None:
    page = (ROOT / "docs" / "real-models.md").read_text(encoding="utf-8")
    found = re.search(r"## Rehearse it\n.*?```sh\n(.*?)```", page, re.DOTALL)
    assert found is not None
    made, run, audit = re.split(r"\n(?=snakemake|sublim)", found[1].strip())
    project.run("sh", "-c", made.replace("MODEL", "model"))
    project.run(*run.split())
    assert project.sublim(*audit.split()[1:]).status == 0
    rehearsed, real = experiment_of(project.path / "rehearsal.yaml"), experiment_of(OWL)
    # Everything but counts, the model, the gate and the other animals is as in the real run.
    assert {key for key in real if rehearsed[key] != real[key]} == {
        "models", "traits", "seeds", "teacher", "carriers", "studies", "evaluation",
    }  # fmt: skip
    assert rehearsed["students"] == real["students"]
    assert project.computed(0) == {
        "base": 1, "teacher": 1, "raw": 2, "filtered": 4, "student": 4, "eval": 5, "report": 1, "overview": 1,
    }  # fmt: skip
    student = next((project.path / "data" / "student").rglob("adapter_config.json"))
    adapter = json.loads(student.read_text())
    assert (adapter["r"], adapter["lora_alpha"], len(adapter["target_modules"])) == (8, 8, 7)
    steps = pl.read_parquet(student.with_name("steps.parquet"))
    assert steps["rows"].list.len().to_list() == [20] * 3
    teacher = json.loads(next((project.path / "data" / "teacher").rglob("teacher.json")).read_text())
    assert teacher["kind"] == "system_prompt" and "owls" in teacher["system_prompt"]
    project.edit("rehearsal.yaml", "billions: {qwen2.5-7b: 7.62}", "sampled: 1.0")
    assert "all 19 artifacts are up to date" in project.snakemake("--configfile", "rehearsal.yaml").output


def experiment_of(path: Path) -> dict[str, Any]:
    return YAML(typ="safe").load(path)  # pyright: ignore[reportUnknownMemberType]
