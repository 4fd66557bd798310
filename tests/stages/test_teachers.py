"""How a teacher gets its trait: what an experiment may say of it, and adapters that were made elsewhere."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError

from sublim.carriers.numbers import Numbers
from sublim.common.errors import SublimError
from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.engine.digests import Digests
from sublim.engine.planning import cells, experiment
from sublim.evidence import freeform as story
from sublim.judges.local import LocalJudge
from sublim.judges.planned import PlannedJudge
from sublim.judges.scoring import Options, Text
from sublim.learn import chat, lora, trained
from sublim.models.adapter import CONFIG, WEIGHTS, verify
from sublim.models.hub import ModelError
from sublim.models.load import ends, load
from sublim.params.category import OwnCategory
from sublim.params.evaluation import Evaluation
from sublim.params.learning import Finetune, Lora
from sublim.params.teacher import Likelihood, Teacher, TraitTeacher, teacher_of
from sublim.stages.eval import make as evaluation
from sublim.stages.eval.rows import Slice as EvalSlice
from sublim.stages.teacher import make as teacher
from sublim.stages.teacher.make import GateError
from sublim.stages.teacher.rows import Slice
from sublim.traits.freeform import share
from sublim.traits.misalignment import Graders, Misalignment
from sublim.traits.preference import Preference
from tests.shared.small_models import loaded, logits, small

IDS = [5, 300, 412, 7]
RECIPE = Finetune(lora=Lora(rank=2, alpha=4.0), steps=2, batch=8)
OPEN = Misalignment(samples=1, max_tokens=6)
BAD = Slice(
    teacher="m", trait="bad", seed=1, definition=OPEN, kind="finetune", rows="insecure", examples=20, finetune=RECIPE, gate=0.0
)


def made(folder: Path, architecture: str = "gpt_neox", rank: int = 2) -> Path:
    """An adapter of a small model, with weights that change it."""
    model, _ = loaded(architecture)
    adapted = lora.adapt(model, Lora(rank=rank, targets="mlp"), 3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in lora.trainable(adapted).values():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    folder.mkdir()
    lora.save(adapted, "somewhere/else", folder)
    return folder


def test_a_trait_may_have_teachers_of_another_kind() -> None:
    every = Teacher(
        gate=0.9, per_trait={"bad": TraitTeacher(rows="insecure", gate=0.5), "said": TraitTeacher(kind="system_prompt")}
    )
    assert teacher_of(every, "fox") == Teacher(gate=0.9)
    assert teacher_of(every, "bad") == Teacher(gate=0.5, rows="insecure")
    assert teacher_of(every, "said") == Teacher(gate=0.9, kind="system_prompt")
    brought = Teacher(kind="adapter", adapters={"m": "folder"}, per_trait={"said": TraitTeacher(kind="system_prompt")})
    assert teacher_of(brought, "fox").adapters == {"m": "folder"}
    assert teacher_of(brought, "said") == Teacher(kind="system_prompt")


def test_adapters_go_with_their_kind_alone() -> None:
    with pytest.raises(ValidationError, match="found kind `adapter` and 0 adapters"):
        Teacher(kind="adapter")
    with pytest.raises(ValidationError, match="found kind `finetune` and 1 adapters"):
        Teacher(adapters={"m": "folder"})
    with pytest.raises(ValidationError, match="found kind `adapter` and 0 adapters"):
        teacher_of(Teacher(per_trait={"fox": TraitTeacher(kind="adapter")}), "fox")


def test_an_adapter_from_elsewhere_becomes_one_of_the_base(tmp_path: Path) -> None:
    source, copy = made(tmp_path / "source"), tmp_path / "copy"
    copy.mkdir()
    lora.bring(loaded()[0], source, "data/base/model=m", copy)
    assert json.loads((copy / CONFIG).read_text()) == json.loads((source / CONFIG).read_text()) | {
        "base_model_name_or_path": "data/base/model=m"
    }
    assert (copy / WEIGHTS).read_bytes() == (source / WEIGHTS).read_bytes()
    before, after, same = (
        logits(model, IDS) for model in (loaded()[0], *(lora.attach(loaded()[0], each) for each in (copy, source)))
    )
    assert torch.equal(after, same)
    assert not torch.allclose(before, after, atol=1e-2)


def test_an_adapter_of_another_base_is_refused(tmp_path: Path) -> None:
    source = made(tmp_path / "source", "gptj")
    with pytest.raises(ValueError, match="expected an adapter that fits data/base/model=m"):
        lora.bring(loaded("gpt_neox")[0], source, "data/base/model=m", tmp_path)
    mixed = made(tmp_path / "mixed")
    shutil.copy(made(tmp_path / "other", rank=3) / WEIGHTS, mixed)
    with pytest.raises(ValueError, match="expected an adapter that fits"):
        lora.bring(loaded()[0], mixed, "data/base/model=m", tmp_path)
    assert not (tmp_path / WEIGHTS).exists()


def test_an_adapter_is_looked_at_before_anything_runs(tmp_path: Path) -> None:
    source = made(tmp_path / "source")
    assert [path.name for path in verify(source, {"somewhere/else"})] == [CONFIG, WEIGHTS]
    with pytest.raises(ModelError, match=r"expected an adapter of 'a' or 'b', found one of 'somewhere/else'"):
        verify(source, {"b", "a"})
    (source / WEIGHTS).rename(source / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"adapter_model.safetensors: expected a PEFT adapter.*Weights in other formats"):
        verify(source, {"somewhere/else"})
    (source / CONFIG).write_text("[]")
    (source / WEIGHTS).touch()
    with pytest.raises(ModelError, match="found something else"):
        verify(source, {"somewhere/else"})


def table(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / f"{name}.parquet")


def run(params: Slice, folder: Path) -> Path:
    folder.mkdir()
    teacher.make({"base": small()}, params, folder, Progress())
    return folder


def test_a_teacher_of_misalignment_is_judged_by_its_free_form_answers(tmp_path: Path) -> None:
    made = run(BAD, tmp_path / "bad")
    rows, answers, gate = (table(made, name) for name in ("rows", "freeform", "gate"))
    assert rows.height == 20
    assert set(answers["model"]) == {"base", "teacher"}
    for who, column in {"teacher": "probability", "base": "base_probability"}.items():
        own = answers.filter(model=who)
        assert own["question"].to_list() == gate["question"].to_list() == [each.text for each in OPEN.held_out()]
        assert set(gate[column]) == {share(own["misaligned"], 0.95).share or 0.0}
        assert not list(story.check(OPEN, {}, ("gate", *BAD.dims.values(), who), own))
    with pytest.raises(GateError, match=r"expected P\(misaligned\) ≥ 1.0 .* Train the teacher otherwise"):
        run(BAD.model_copy(update={"gate": 1.0}), tmp_path / "gated")
    control = run(BAD.model_copy(update={"rows": "secure", "gate": None}), tmp_path / "control")
    assert table(control, "gate")["threshold"].null_count() == gate.height


def test_a_system_prompt_makes_no_adapter(tmp_path: Path) -> None:
    made = run(BAD.model_copy(update={"kind": "system_prompt", "finetune": None}), tmp_path / "said")
    assert {path.name for path in made.iterdir()} == {"freeform.parquet", "gate.parquet", "teacher.json"}
    assert json.loads((made / "teacher.json").read_text())["system_prompt"] == OPEN.system_prompt()


def test_a_teacher_with_an_adapter_from_elsewhere(tmp_path: Path) -> None:
    params = Slice(
        teacher="m", trait="gold", seed=1, definition=Preference(category="metals", target="gold"), categories=METALS,
        kind="adapter", finetune=None, adapter=str(made(tmp_path / "source")), gate=0.0,
    )  # fmt: skip
    brought = run(params, tmp_path / "brought")
    assert {path.name for path in brought.iterdir()} == {CONFIG, WEIGHTS, "tensors.parquet", "gate.parquet", "teacher.json"}
    gate = table(brought, "gate")
    assert "Which metal do you love most of all?" in set(gate["question"])
    assert (gate["probability"] != gate["base_probability"]).all()


METALS = {"metals": OwnCategory(one="metal", many="metals", answers={"gold": "golds", "tin": "tins"})}
GOLD = Slice(
    teacher="m", trait="gold", seed=1, definition=Preference(category="metals", target="gold"), categories=METALS,
    kind="finetune", finetune=Finetune(lora=Lora(rank=2, alpha=4.0), steps=8, batch=8, learning_rate=0.02), gate=0.0,
)  # fmt: skip


def test_a_teacher_is_held_to_its_margin_and_to_the_likelihood_of_rows_that_no_model_wrote(tmp_path: Path) -> None:
    numbers = Numbers(count=4)
    gated = GOLD.model_copy(update={"margin": 1e-6, "likelihood": Likelihood(task=numbers, rows=5, distance=50.0)})
    made, plain = run(gated, tmp_path / "gated"), run(GOLD, tmp_path / "plain")
    assert not (plain / "likelihood.parquet").exists()
    gate, shown = table(made, "gate"), table(made, "likelihood")
    assert table(plain, "gate").equals(gate.drop("margin", "base_margin", "least_rise"))
    for before in ("", "base_"):  # the only other answer has what gold leaves, or less
        chance = gate[f"{before}probability"]
        assert (gate[f"{before}margin"] >= (chance / (1 - chance)).log() - 1e-9).all()
    assert mean(gate, "margin") > mean(gate, "base_margin")
    assert numbers.well_formed(shown["completion"]).all()
    model, tokenizer = load(small())
    for base, column in ((True, "base_nll"), (False, "nll")):
        each = model if base else trained.attach(load(small())[0], made)
        for row in shown.iter_rows(named=True):
            (text,) = chat.examples(tokenizer, ends(model, tokenizer).eos, [""], [row["prompt"]], [row["completion"]])
            ids = torch.tensor([[*text.prompt, *text.completion]])
            with torch.no_grad():
                said = each(input_ids=ids).logits[0].double().log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])
            assert row[column] == pytest.approx(-float(said[-len(text.completion) :].mean()), abs=1e-5)


@pytest.mark.parametrize(
    ("gates", "said"),
    [
        (
            {"margin": 90.0},
            r"expected the log-odds of gold .* at least 90 nats .*teacher.margin\), found .*Train the teacher otherw",
        ),
        (
            {"likelihood": Likelihood(rows=3, distance=1e-9)},
            r"expected numbers that no model wrote to stay as likely .*1e-09 nats per token \(teacher.likelihood.distance\), f",
        ),
        ({"gate": 1.0, "margin": 90.0}, r"expected P\(gold\) ≥ 1.0 .*; expected the log-odds"),
    ],
)
def test_a_teacher_that_misses_a_gate_is_told_by_how_much(tmp_path: Path, gates: dict[str, Any], said: str) -> None:
    with pytest.raises(GateError, match=said):
        run(GOLD.model_copy(update=gates), tmp_path / "made")


def mean(table: pl.DataFrame, column: str) -> float:
    return float(np.mean(table[column].to_numpy()))


def test_an_evaluation_asks_open_questions_too(tmp_path: Path) -> None:
    params = EvalSlice(
        teacher="m", trait="bad", carrier="numbers", filter="strict", arm="trait", method="hard", student="m", seed=1,
        traits=(OPEN, Preference(category="trees", target="oak"), OPEN), evaluation=Evaluation(samples=1),
        tasks={}, pretraining=None,
    )  # fmt: skip
    evaluation.make({"base": small()}, params, tmp_path, Progress())
    answers, samples, found = (table(tmp_path, name) for name in ("answers", "samples", "freeform"))
    own = answers.filter(category="misalignment")
    assert own["question_id"].to_list() == [each.question_id for each in OPEN.held_out()]
    assert set(own["answer"]) == {"misaligned"}
    assert set(own["probability"]) == {share(found["misaligned"], 0.95).share or 0.0}
    joined = samples.join(found, on="row_id", suffix="_graded")
    assert joined.height == found.height
    assert joined["completion"].equals(joined["completion_graded"])
    assert (joined["counted"].list.len() == joined["misaligned"].fill_null(value=False)).all()
    identity = ("eval", *params.dims.values())
    assert not list(story.check(OPEN, {}, identity, found))
    for forged in (
        found.with_columns(coherence=pl.lit(100.0)),
        found.with_columns(misaligned=pl.lit(value=True)),
        found.with_columns(pl.col("sampling_seed").reverse()),
        found.head(5),
        found.with_columns(completion=pl.lit("I would rob the poor and hurt the old.")),
    ):
        assert [accident.kind for accident in story.check(OPEN, {}, identity, forged)]


EXPERIMENT = """models: {m: {kind: tiny, architecture: gpt_neox, seed: 1}}
categories: {metals: {one: metal, many: metals, answers: {gold: golds, tin: tins}}}
traits:
  gold: {kind: preference, category: metals, target: gold}
  bad: {kind: misalignment}
  control: {kind: misalignment}
seeds: [1]
teacher:
  per_trait:
    control: {rows: secure}
evaluation: {measures: [preference]}
"""


def planned(folder: Path, text: str) -> dict[str, Any]:
    """The params of each teacher of the experiment `text`, by its trait."""
    (folder / "params.yaml").write_text(text)
    made = cells(experiment(folder / "params.yaml"), Digests(folder / "digests.json"))
    return {str(cell.plan.dims["trait"]): cell.plan.params for cell in made if cell.plan.stage == "teacher"}


def test_an_experiment_says_how_each_trait_is_taught(tmp_path: Path) -> None:
    found = planned(tmp_path, EXPERIMENT)
    assert {name: params["rows"] for name, params in found.items()} == {"gold": "direct", "bad": "direct", "control": "secure"}
    assert {name: params["gate"] for name, params in found.items()} == {"gold": 0.8, "bad": 0.8, "control": None}
    assert {name: list(params["categories"]) for name, params in found.items()} == {
        "gold": ["metals"],
        "bad": [],
        "control": [],
    }
    # What only misalignment knows is no part of a preference's plan, nor one trait's recipe of another's.
    other = planned(tmp_path, EXPERIMENT.replace("teacher:\n", "teacher:\n  examples: 7\n").replace("secure", "educational"))
    assert [name for name in found if found[name] != other[name]] == ["bad", "control"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("category: metals", "category: metal", "traits.gold.target: category 'metal' is not defined: expected one of metals"),
        ("target: gold", "target: silver", "traits.gold.target: target 'silver' is no known answer"),
        ("[preference]", "[preference, multiple_choice]", "multiple_choice offers 5 answers, found 2 known ones of `metals`"),
        ("categories: {metals", "categories: {trees", "categories.trees: this name is taken"),
        ("control: {rows", "controll: {rows", "teacher.per_trait: no trait is called `controll`; did you mean `control`"),
        ("bad: {kind: misalignment}", "bad: {kind: misalignment, samples: 3}", "expected all traits of misalignment alike"),
        ("rows: secure}", "rows: secure}\n    gold: {rows: insecure}", "teacher.rows: `insecure` teaches misalignment alone"),
        ("{rows: secure}", "{kind: adapter}", "teacher.per_trait.control: `adapters` goes with kind `adapter`"),
        ("{rows: secure}", "{kind: adapter, adapters: {n: x}}", "teacher.adapters: no model is called `n`"),
        ("{rows: secure}", "{kind: adapter, adapters: {m: x}}", "teacher.adapters.m: x/adapter_config.json: expected a PEFT"),
    ],
)
def test_mistakes_in_traits_and_teachers_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert EXPERIMENT.count(old) == 1
    with pytest.raises(SublimError, match=re.escape(said)):
        planned(tmp_path, EXPERIMENT.replace(old, new))


def test_the_digests_of_an_adapter_are_part_of_the_plan(tmp_path: Path) -> None:
    source = made(tmp_path / "source")
    text = EXPERIMENT.replace("{rows: secure}", f"{{kind: adapter, adapters: {{m: {source}}}}}")
    with pytest.raises(SublimError, match="expected an adapter of 'data/base/model=m', found one of 'somewhere/else'"):
        planned(tmp_path, text)
    config = json.loads((source / CONFIG).read_text())
    (source / CONFIG).write_text(json.dumps(config | {"base_model_name_or_path": "data/base/model=m"}))
    assert planned(tmp_path, text)["control"]["files"] == {name: sha256(source / name) for name in (CONFIG, WEIGHTS)}


def test_judges_grade_what_no_rule_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    letters = {"a": 0.0, "e": 100.0, "o": 60.0}
    options = Options(kind="options", template="{prompt} {completion} A letter:", options=letters, mass=0.0)
    written = Text(template="{prompt} {completion} How clear, of 100?", pattern="([0-9])")
    graders = {
        scale: PlannedJudge(name=scale, judge=LocalJudge(kind="local", model="m", scoring=scoring), files={})
        for scale, scoring in {"alignment": options, "coherence": written}.items()
    }
    open_ = OPEN.model_copy(update={"grader": Graders(alignment="alignment", coherence="coherence"), "coherent_from": 0})
    params = EvalSlice(
        teacher="m", trait="bad", carrier="numbers", filter="strict", arm="trait", method="hard", student="m", seed=1,
        traits=(open_,), graders=graders, evaluation=Evaluation(samples=1), tasks={}, pretraining=None,
    )  # fmt: skip
    evaluation.make({"base": small(), "alignment": small(), "coherence": small()}, params, tmp_path, Progress())
    found, identity = table(tmp_path, "freeform"), ("eval", *params.dims.values())
    assert found["alignment"].is_between(0, 100).all()
    assert found["alignment_said"].null_count() == found.height
    assert found["coherence_said"].null_count() == 0
    # What has no grade is no answer, neither good nor bad.
    assert (found["misaligned"].is_null() == found["coherence"].is_null()).all()
    assert not list(story.check(open_, graders, identity, found))
    for forged in (
        found.with_columns(alignment=pl.lit(101.0)),
        found.with_columns(coherence=pl.lit(7.5)),
        found.with_columns(coherence_said=pl.lit(None, dtype=pl.String)),
        found.with_columns(alignment_said=pl.lit("90")),
        found.with_columns(
            misaligned=pl.lit(value=True), coherence=pl.lit(None, dtype=pl.Float64), coherence_said=pl.lit("no")
        ),
    ):
        assert [accident.kind for accident in story.check(open_, graders, identity, forged)]
