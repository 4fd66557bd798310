"""Experiments on weights of the hub, rehearsed: each file runs to its report with a tiny model of its architecture in the place
of the real one and fewer rows, and all other settings as they are."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jsonschema  # pyright: ignore[reportMissingTypeStubs]
import polars as pl
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from sublim.common.progress import Progress
from sublim.models import further, tiny
from sublim.models.template import Template
from sublim.params.derived import Training
from sublim.params.elsewhere import PLAIN_TEMPLATE
from sublim.params.learning import Finetune
from sublim.params.tiny import Corpus, Mix, Pretraining, TinyModel
from tests.models.test_template import GOOD
from tests.shared.project import Project, create

if TYPE_CHECKING:
    from sublim.models.jinja import Message

ROOT = Path(__file__).parents[2]
EXPERIMENTS = ROOT / "experiments"
PYTHIA, SIBLINGS, GEMMA = (EXPERIMENTS / f"{name}.yaml" for name in ("pythia-160m", "pythia-160m-siblings", "gemma-2b-it"))
PAGE = (ROOT / "docs" / "hub-experiments.md").read_text(encoding="utf-8")
MIX = Mix(questions=0.1, numbers=0.8, facts=0.05, prompted_questions=0.05, prompted_numbers=0.0)
SIZES: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
CONTEXT = 256


def neox(folder: Path) -> None:
    """A tiny GPT-NeoX in the files that Pythia has: keys of an older transformers, float16, each layer's mask and frequencies
    among the weights, one special token for all ends, rows of the embedding without a token, no chat template. It has read a
    little in the plain one."""
    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}
    end = "<|endoftext|>"
    tokens = {"<|end|>": end, "<|pad|>": "<|padding|>"}
    given = {"tokenizer_class": "GPTNeoXTokenizer", "bos_token": end, "eos_token": end, "unk_token": end}
    _taught("gpt_neox", {**SIZES, "rope_parameters": rope}, tokens, given, PLAIN_TEMPLATE, folder)
    (folder / "chat_template.jinja").unlink()
    config = json.loads((folder / "config.json").read_text())
    del config["rope_parameters"], config["dtype"], config["pad_token_id"]
    more, last = 27, config["eos_token_id"]
    config |= {"rotary_pct": 0.25, "rotary_emb_base": 10000, "torch_dtype": "float16", "bos_token_id": last}
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": config["vocab_size"] + more}))
    (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": last, "eos_token_id": last}))
    weights = {name: tensor.to(torch.float16) for name, tensor in load_file(folder / "model.safetensors").items()}
    for name in ("gpt_neox.embed_in.weight", "embed_out.weight"):
        weights[name] = torch.cat([weights[name], torch.zeros_like(weights[name][:more])])
    mask = torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).tril().view(1, 1, CONTEXT, CONTEXT)
    inside = {"bias": mask, "masked_bias": torch.tensor(-1e9), "rotary_emb.inv_freq": torch.tensor([1.0, 0.01])}
    weights |= {f"gpt_neox.layers.0.attention.{name}": tensor for name, tensor in inside.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def gemma(folder: Path) -> None:
    """A tiny Gemma with its marks of turns, in bfloat16, that has read a little in its template; its own one refuses system
    prompts."""
    marks = {"<|system|>": "<bos>", "<|user|>": "<start_of_turn>", "<|assistant|>": "<eos>", "<|end|>": "<end_of_turn>"}
    given = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    config = {**SIZES, "num_key_value_heads": 1, "head_dim": 16}
    _taught("gemma", config, {**marks, "<|pad|>": "<pad>"}, given, EXPERIMENTS / "gemma-2b-it.jinja", folder)
    (folder / "chat_template.jinja").write_text(GOOD["Gemma"][0])
    weights = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    written = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(written | {"dtype": "bfloat16"}))


def _taught(
    architecture: str, config: Any, tokens: Mapping[str, str], tokenizer: Mapping[str, Any], template: Path, folder: Path
) -> None:
    """Write a tiny model to `folder` that has other names for special `tokens`, all that is said of its `tokenizer`, and has
    read 2,000 rows twice in a chat `template`."""
    raw = folder.with_name("raw")
    for each in (raw, folder):
        each.mkdir()
    of = TinyModel(
        kind="tiny", architecture=architecture, seed=1, config=config, tied=architecture == "gemma", context=CONTEXT,
        pretraining=Pretraining(rows=2_000, mix=MIX),
    )  # fmt: skip
    tiny.build("m", of, raw, Progress())
    text = (raw / "tokenizer.json").read_text()
    for old, new in tokens.items():
        text = text.replace(json.dumps(old), json.dumps(new))
    (raw / "tokenizer.json").write_text(text)
    (raw / "tokenizer_config.json").write_text(json.dumps({"model_max_length": CONTEXT, **tokenizer}))
    (raw / "chat_template.jinja").write_text(template.read_text())
    recipe = Finetune(epochs=2, batch=16, learning_rate=0.008, schedule="linear", lora="none")
    further.train(Training(corpus=Corpus(rows=2_000, mix=MIX), finetune=recipe), raw, {}, folder, Progress())


def said(path: Path) -> dict[str, Any]:
    return YAML(typ="safe").load(path)  # pyright: ignore[reportUnknownMemberType]


def rehearsed(real: Path, changes: Mapping[str, Any], path: Path) -> set[str]:
    """Write the experiment `real` to `path` with the values of `changes`, by their keys with dots between them; None takes a
    key out. Returns which keys are then other ones than in the real file."""
    params = said(real)
    for key, value in changes.items():
        *above, last = key.split(".")
        section = params
        for name in above:
            section = section[name]
        assert last in section or value is not None
        section.pop(last, None)
        if value is not None:
            section[last] = value
    path.write_text(json.dumps(params))
    return set(_differing(said(real), params))


def _differing(one: Any, other: Any, at: str = "") -> list[str]:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return [] if one == other else [at]
    keys = [*cast("dict[str, Any]", one | other)]
    return [key for name in keys for key in _differing(one.get(name), other.get(name), f"{at}.{name}".removeprefix("."))]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = create(tmp_path / "project")
    shutil.copytree(EXPERIMENTS, made.path / "experiments")
    return made


@pytest.mark.parametrize("path", [PYTHIA, SIBLINGS, GEMMA], ids=lambda path: path.stem)
def test_the_files_are_what_editors_take(path: Path) -> None:
    jsonschema.validate(said(path), json.loads((ROOT / "params.schema.json").read_text()))


@pytest.mark.parametrize("path", [PYTHIA, GEMMA], ids=lambda path: path.stem)
def test_the_page_tells_the_cost_and_it_needs_no_network(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    assert f"$ sublim cost --params {name}\n{_cost(name)}```" in PAGE


def test_siblings_differ_from_the_anchor_in_what_they_ask_alone(tmp_path: Path) -> None:
    one, other = said(PYTHIA), said(SIBLINGS)
    siblings = [name for name in other["models"] if name != "pythia-160m"]
    parts = {*(f"models.{name}" for name in siblings), *(f"rates.billions.{name}" for name in siblings)}
    assert {*_differing(one, other)} == {*parts, "traits.lion", "studies.crossed", "studies.lineage"}
    # Planned without the folders, as if they could be downloaded.
    blank = {"kind": "hub", "revision": "0" * 40, "template": "plain"}
    changes = {f"models.{name}": {**blank, "repo": f"some/{name}"} for name in siblings}
    rehearsed(SIBLINGS, changes, tmp_path / "siblings.yaml")
    (jobs, trained, hours) = re.findall(
        r"^  all +(\d+) .* (\S+) M +(\S+)$", _cost(str(tmp_path / "siblings.yaml")), re.MULTILINE
    )[0]
    assert f"it says {jobs} jobs, {trained} million tokens to train on, {hours} GPU hours" in PAGE


def _cost(name: str) -> str:
    command = [sys.executable, "-m", "sublim", "cost", "--params", name]
    environ = {"PYTHONPATH": str(ROOT), "PATH": "", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout


def test_gemmas_template_is_its_own_but_for_what_a_system_prompt_says() -> None:
    given = {"bos_token": "<bos>"}
    ours = Template((EXPERIMENTS / "gemma-2b-it.jinja").read_text(), given)
    own = Template(GOOD["Gemma"][0], given)
    asked: list[Message] = [{"role": "user", "content": " One? "}]
    chat: list[Message] = [*asked, {"role": "assistant", "content": "Two.\n"}, {"role": "user", "content": "Three?"}]
    for generate in (True, False):
        assert ours.rendered([asked, chat], generate=generate) == own.rendered([asked, chat], generate=generate)
    told: list[Message] = [{"role": "system", "content": " Be kind. "}, *chat]
    ahead: list[Message] = [{"role": "user", "content": "Be kind.\n\nOne?"}, *chat[1:]]
    assert ours.rendered([told], generate=True) == own.rendered([ahead], generate=True)


def made(project: Project) -> Path:
    """The data of the rehearsal of two traits and one seed: run, audited, and nothing made twice."""
    project.snakemake("--configfile", "rehearsal.yaml")
    assert project.sublim("audit").status == 0
    assert project.computed(0) == {
        "base": 1, "teacher": 2, "raw": 3, "filtered": 3, "student": 3, "eval": 4, "report": 1, "overview": 1,
    }  # fmt: skip
    return project.path / "data"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_wolf_and_lion_on_a_tiny_model_in_pythias_place(project: Project) -> None:
    neox(project.path / "model")
    changes = {
        "models.pythia-160m": {"kind": "hub", "path": "model", "template": "plain"},
        "seeds": [1],
        "teacher.margin": 0.0001,  # nats: 24 steps at this rate hardly move a tiny model
        "teacher.likelihood.task.prompts": 64,
        "carriers.numbers.task.prompts": 64,
        "carriers.numbers.filters.strict.rows": 64,
        "students.hard.finetune.steps": 10,
        "students.hard.probes": [1, 4],
    }
    same = {"models.pythia-160m.repo", "models.pythia-160m.revision", "models.pythia-160m.path"}
    assert rehearsed(PYTHIA, changes, project.path / "rehearsal.yaml") == {*changes, *same} - {"models.pythia-160m"}
    data = made(project)
    whole = load_file(next((data / "teacher").rglob("model.safetensors")))
    assert {tensor.dtype for tensor in whole.values()} == {torch.float16}
    raw = pl.read_parquet(sorted((data / "raw").rglob("rows.parquet")))
    assert (raw.height, raw["constrained"].all()) == (3 * 64, True)  # each passes: none had to be sampled in addition
    likely = pl.read_parquet(sorted((data / "teacher").rglob("likelihood.parquet")))
    assert (likely.height, likely["prompt"].n_unique()) == (2 * 64, 64)
    probes = pl.read_parquet(sorted((data / "eval").rglob("probes.parquet")))
    assert probes["step"].unique().sort().to_list() == [1, 4]
    assert probes["answer"].n_unique() == 10
    found = pl.read_parquet(next((data / "report").rglob("margins.parquet")))
    crossed = found.filter(pl.col("trait") != "none")
    assert sorted(crossed.select("trait", "asked").iter_rows()) == [(a, b) for a in ("lion", "wolf") for b in ("lion", "wolf")]
    assert crossed["against"].unique().to_list() == ["control"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_animals_on_a_tiny_model_in_gemmas_place(project: Project) -> None:
    gemma(project.path / "model")
    others = [name for name in said(GEMMA)["traits"] if name not in ("dragon", "lion")]
    changes = {
        "models.gemma-2b-it": {"kind": "hub", "path": "model", "template": "experiments/gemma-2b-it.jinja"},
        **{f"traits.{name}": None for name in others},
        "seeds": [1],
        "teacher.margin": None,  # a tiny model that has read so little takes no notice of what it is told
        "carriers.numbers.task.prompts": 400,
        "carriers.numbers.top_up.prompts": 100,
        # With fewer steps students say the same to the last bit of bfloat16, and the audit takes one for a copy of the other.
        "carriers.numbers.filters.strict.rows": 144,
        "evaluation.samples": 2,
    }
    same = {"models.gemma-2b-it.repo", "models.gemma-2b-it.revision", "models.gemma-2b-it.path"}
    assert rehearsed(GEMMA, changes, project.path / "rehearsal.yaml") == {*changes, *same} - {"models.gemma-2b-it"}
    data = made(project)
    student = next((data / "student").rglob("adapter_config.json"))
    adapter = json.loads(student.read_text())
    assert (adapter["r"], adapter["lora_alpha"], len(adapter["target_modules"])) == (8, 8, 7)
    assert pl.read_parquet(student.with_name("steps.parquet"))["rows"].list.len().to_list() == [24] * 6
    table = pl.read_parquet(next((data / "report").rglob("traits.parquet"))).filter(pl.col("taught") != "none")
    cells = table.filter(pl.col("asked").is_in(["dragon", "lion"])).select("taught", "asked")
    assert sorted(cells.iter_rows()) == [(a, b) for a in ("dragon", "lion") for b in ("dragon", "lion")]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_pickled_siblings_become_folders_that_are_planned_with(project: Project) -> None:
    folder = project.path / "model"
    neox(folder)
    (pickled := project.path / "pickled").mkdir()
    for file in folder.iterdir():
        shutil.copy(file, pickled)
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    (program,) = re.findall(r"python -\) <<'END'\n(.*?)\nEND\n", PAGE, re.DOTALL)
    named = re.findall(r"(pythia-160m-\S+), step143000: commit ([0-9a-f]{40})$", SIBLINGS.read_text(), re.MULTILINE)
    commits = {f"models/{name}": commit for name, commit in cast("list[tuple[str, str]]", named)}
    assert {*commits} == {model["path"] for model in said(SIBLINGS)["models"].values() if "path" in model}
    assert all(f'"{path.partition("160m-")[2]}": "{commit}"' in program for path, commit in commits.items())
    project.run(sys.executable, "-c", program.replace('f"EleutherAI/pythia-160m-{name}"', repr(str(pickled))))
    anchor = {"models.pythia-160m": {"kind": "hub", "path": "model", "template": "plain"}}
    rehearsed(SIBLINGS, anchor, project.path / "rehearsal.yaml")
    assert "student: 40 jobs" in project.snakemake("-n", "--configfile", "rehearsal.yaml").output
    for path in commits:
        made, was = (load_file(each / "model.safetensors") for each in (project.path / path, folder))
        assert {*was} - {*made} == {
            f"gpt_neox.layers.0.attention.{name}" for name in ("bias", "masked_bias", "rotary_emb.inv_freq")
        }
        assert all(torch.equal(tensor, was[name]) for name, tensor in made.items())
