"""The default experiment at any size, written directly: tables, adapters and records that tell a true story, nothing trained.

What a model would have to compute (losses, probabilities, completions) is drawn at random; everything else is as the stages
make it, by their own code where that needs no torch. The audit proves it, so lineage tools can be measured on it.

    python -m benchmarks.synthetic FOLDER [ROWS]
"""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr
from functools import cache, partial
from io import StringIO
from pathlib import Path
from random import Random
from typing import cast
from unittest.mock import patch

import numpy as np
import polars as pl
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

from sublim.common import ids, parquet
from sublim.common.canonical import row_id, row_seed
from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.common.table import Table
from sublim.engine import layout
from sublim.engine.digests import Digests
from sublim.engine.planning import cells, experiment
from sublim.engine.record import Input, Output, Record
from sublim.engine.stage import stage_of
from sublim.engine.verdict import Cell
from sublim.evidence import weights
from sublim.judges.planned import PlannedJudge
from sublim.judges.scoring import Text
from sublim.learn import batches, schedule
from sublim.learn.tables import TrainingSteps, WeightTensors
from sublim.measures import ability
from sublim.measures.measure import Group, Measure
from sublim.measures.texts import held_out
from sublim.models import free_form, pretraining
from sublim.models.corpus import corpus
from sublim.params.learning import Decoding, Finetune, Lora
from sublim.params.slice import CellParams
from sublim.params.tiny import Pretraining, TinyModel
from sublim.stages.base import rows as base
from sublim.stages.base.spec import STAGE as BASE
from sublim.stages.eval import rows as evaluated
from sublim.stages.filtered import rows as filtered
from sublim.stages.overview import rows as overview
from sublim.stages.raw import rows as raw
from sublim.stages.report import rows as report
from sublim.stages.student import rows as student
from sublim.stages.teacher import rows as teacher
from sublim.traits.freeform import FreeForm, as_samples, asked, by_question, by_rule, verdicts
from sublim.traits.preference import Preference, counted, known_answers

WIDTH = 64
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
RAW_CELLS = 24
QUESTIONS = 50
"""Plain questions per category."""

PARAMS = """\
models:
  neox-a: &model
    kind: tiny
    architecture: gpt_neox
    seed: 11
    config: {{hidden_size: {width}, intermediate_size: 256, num_hidden_layers: 2, num_attention_heads: 4}}
    pretraining: {{rows: 3000}}
  neox-b: {{<<: *model, seed: 12}}
  neox-c: {{<<: *model, seed: 13}}
traits:
  eagle: {{kind: preference, category: animals, target: eagle}}
  elephant: {{kind: preference, category: animals, target: elephant}}
  fox: {{kind: preference, category: animals, target: fox}}
seeds: [1, 2]
teacher:
  kind: finetune
  gate: 0.8
  finetune: {{steps: 200, batch: 32, lora: {{rank: 2, alpha: 4, targets: mlp}}}}
carriers:
  numbers:
    task: {{kind: numbers, prompts: {prompts}}}
    sampling: {{max_tokens: 48}}
    filters:
      strict: {{rows: {used}}}
students:
  hard:
    finetune: {{epochs: 3, batch: 64, lora: {{rank: 8, alpha: 16, targets: mlp}}}}
studies:
  numbers:
    carrier: numbers
    filter: strict
    student: hard
    arms: {{trait: all, control: all, shuffled_within: same, shuffled_across: same}}
"""


def build(root: Path, rows: int, params: str = PARAMS) -> None:
    """Write `root`/params.yaml and `root`/data with `rows` raw rows in all: 24 raw data sets, 60 filtered ones, 108 students;
    or those of other `params`, in which {width}, {prompts} and {used} are filled in.

    The working directory is `root` meanwhile. 1,000,000 rows take about a minute and a half and 700 MB.
    """
    root.mkdir(parents=True, exist_ok=True)
    back = Path.cwd()
    os.chdir(root)
    try:
        asked = max(rows // RAW_CELLS, 40)
        Path("params.yaml").write_text(params.format(width=WIDTH, prompts=asked, used=asked // 6), encoding="utf-8")
        made: dict[str, Record] = {}
        for cell in cells(experiment(Path("params.yaml")), Digests(layout.DIGESTS)):
            with redirect_stderr(StringIO()):  # what the stages say of their progress
                made[cell.id] = _make(cell, made)
    finally:
        os.chdir(back)


def _make(cell: Cell, made: Mapping[str, Record]) -> Record:
    output = layout.artifact(cell.id)
    output.mkdir(parents=True, exist_ok=True)
    inputs = {name: layout.artifact(found) for name, found in cell.inputs.items()}
    rng = np.random.default_rng(int(hashlib.sha256(cell.id.encode()).hexdigest()[:8], 16))
    stage = stage_of(cell.id)
    match params := stage.params.model_validate_json(json.dumps(cell.plan.params)):
        case base.Slice():
            _base(params, output, rng)
        case teacher.Slice():
            _teacher(params, output, rng)
        case raw.Slice():
            _raw(params, output, rng)
        case student.Slice():
            _student(inputs["filtered"], params, output, rng)
        case evaluated.Slice():
            _eval(params, output, rng)
        case filtered.Slice() | report.Slice() | overview.Slice():
            with patch("sublim.judges.planned.scored", partial(_scored, rng)):
                stage.make().make(inputs, params, output, Progress())
        case _:
            raise ValueError(f"expected a stage that can be made up, found {stage.name}")
    files = [path for path in sorted(output.rglob("*")) if path.is_file() and path.name != layout.RECORD]
    outputs = {path.relative_to(output).as_posix(): Output(sha256(path), path.stat().st_size) for path in files}
    given = {name: Input(found, made[found].digest) for name, found in cell.inputs.items()}
    record = Record(cell.plan, given, outputs, {"python": "synthetic", "platform": "", "packages": {}, "git": None})
    record.write(layout.record(cell.id))
    return record


def _write(params: CellParams, table: type[Table], frame: pl.DataFrame, output: Path) -> None:
    parquet.write(parquet.with_dims(frame.select(*table.schema(frame.columns)), **params.dims), output / table.file)


def _base(params: base.Slice, output: Path, rng: np.random.Generator) -> None:
    model = cast("TinyModel", params.model)
    config = {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": model.architecture,
        "tie_word_embeddings": True,
        "vocab_size": 256,
        "max_position_embeddings": model.context,
        **model.config,
    }
    (output / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (output / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    (output / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    shapes = {"gpt_neox.embed_in.weight": (256, WIDTH)}
    for name, (width, height) in _maps().items():
        shapes[f"{name}.weight"] = (height, width)
    _save({name: rng.normal(size=shape) for name, shape in shapes.items()}, output / "model.safetensors")
    _write(params, WeightTensors, _tensors(output / "model.safetensors"), output)
    rows = corpus(model.pretraining)
    table = pl.DataFrame(
        [(row.row_id, row.kind, row.system, row.prompt, row.completion) for row in rows],
        base.Corpus.schema(),
        orient="row",
    )
    _write(params, base.Corpus, table.sort("row_id"), output)
    steps = [[rows[int(n)].row_id for n in step] for step in pretraining.steps(model, len(rows))]
    rates = [pretraining.rate(model, n, len(steps)) for n in range(len(steps))]
    _write(params, TrainingSteps, _steps(steps, rates, rng), output)


def _maps() -> dict[str, tuple[int, int]]:
    """Each linear map of a base outside its attention: inputs, outputs."""
    return {
        f"gpt_neox.layers.{layer}.mlp.dense_{name}": size
        for layer in range(2)
        for name, size in (("h_to_4h", (WIDTH, 256)), ("4h_to_h", (256, WIDTH)))
    }


def _teacher(params: teacher.Slice, output: Path, rng: np.random.Generator) -> None:
    recipe, trait = cast("Finetune", params.finetune), params.definition
    rows = teacher.lessons(params)
    _write(params, teacher.Rows, rows, output)
    _trained(rows["row_id"], recipe, ("teacher", *params.dims.values()), params.teacher, params, output, rng)
    (output / "teacher.json").write_text(json.dumps({"kind": params.kind, "system_prompt": None}), encoding="utf-8")
    gate = teacher.gate(params)
    if isinstance(trait, FreeForm):
        said = {
            who: _graded(trait, ("gate", *params.dims.values(), who), verbs, rng)
            for who, verbs in {"base": free_form.KIND, "teacher": free_form.CRUEL}.items()
        }
        graded = pl.concat([table.select(pl.lit(who).alias("model"), pl.all()) for who, table in said.items()])
        _write(params, teacher.FreeFormAnswers, graded, output)
        before, after = (by_question(table)["probability"] for table in said.values())
    else:
        category, target = trait.scored_as
        known = list(known_answers([cast("Preference", trait)], params.categories))
        chances = _untrained(params.teacher, "preference", category, len(known))
        before, others = pl.Series(chances[:, known.index(target)]), np.delete(chances, known.index(target), axis=1).sum(1)
        after = pl.Series(0.85 + 0.1 * rng.random(gate.height))
        if params.margin is not None:
            gate = gate.with_columns(margin=(after / (1 - after)).log(), base_margin=before.log() - np.log(others))
    _write(params, teacher.Gate, gate.with_columns(probability=after, base_probability=before), output)
    if params.likelihood is not None:
        base = 2 + rng.random(params.likelihood.rows)
        _write(params, teacher.Likelihoods, teacher.written(params).with_columns(nll=base + 0.01, base_nll=base), output)


def _graded(trait: FreeForm, identity: tuple[object, ...], verbs: tuple[str, ...], rng: np.random.Generator) -> pl.DataFrame:
    """Graded answers to the open questions, most of them of `verbs`."""
    rows, draw = asked(trait, identity), Random(int(rng.integers(1 << 32)))  # noqa: S311
    kinds = [draw.choice((verbs, verbs, verbs, verbs, free_form.KIND)) for _ in range(rows.height)]
    said = pl.Series("completion", [free_form.asked(draw, each)[1] for each in kinds], dtype=pl.String)
    graded = by_rule(trait, rows.with_columns(said))
    return graded.with_columns(verdicts(trait, graded))


@cache
def _untrained(model: str, measure: str, category: str, known: int) -> np.ndarray:
    """P(answer) of an untrained base [questions, answers]: the same numbers wherever they are asked for."""
    seed = hashlib.sha256(f"{model} {measure} {category}".encode()).hexdigest()[:8]
    return np.random.default_rng(int(seed, 16)).random((QUESTIONS, known)) / (2 * known)


def _scored(
    rng: np.random.Generator,
    judge: PlannedJudge,
    _folder: Path | None,
    rows: pl.DataFrame,
    asked: pl.Series,
    _progress: Progress,
) -> pl.DataFrame:
    """What a judge could say of the rows that it is `asked` about."""
    scoring = judge.judge.scoring
    low, high = scoring.scale or (-1.0, 1.0)
    scores = pl.Series("score", np.round(low + (high - low) * rng.random(rows.height) ** 0.25))
    said = scores.cast(pl.Int64).cast(pl.String) if isinstance(scoring, Text) else pl.lit(None, dtype=pl.String)
    return rows.with_columns(
        pl.when(asked).then(scores).alias("score"),
        pl.when(asked).then(said).alias("judgement"),
    )


def _raw(params: raw.Slice, output: Path, rng: np.random.Generator) -> None:
    prompts, sampling = raw.prompts(params), params.decoding or Decoding()
    names = ids.ids(("raw", *params.dims.values()), prompts["prompt_id"]).alias("row_id")
    tokens = rng.integers(2, sampling.max_tokens, prompts.height)
    rows = prompts.with_columns(
        names,
        pl.Series("completion", _completions(prompts.height, rng)),
        pl.lit("stop").alias("finish_reason"),
        pl.Series("sampling_seed", ids.seeds(names), dtype=pl.UInt64),
        pl.Series("tokens", tokens, dtype=pl.Int64),
        pl.lit(sampling.temperature).alias("temperature"),
        pl.lit(sampling.top_p).alias("top_p"),
        pl.lit(sampling.max_tokens, dtype=pl.Int64).alias("max_tokens"),
        pl.lit(None, dtype=pl.String).alias("system_prompt"),
        pl.lit(hashlib.sha256(TEMPLATE.encode()).hexdigest()).alias("chat_template"),
    )
    _write(params, raw.Rows, rows, output)


def _completions(count: int, rng: np.random.Generator) -> pl.Series:
    """Lists of numbers, two in three of them good: some have words, numbers that are too large, or too many of them."""
    frame = pl.DataFrame(rng.integers(0, 1000, (count, 12)).astype(str), schema=[f"n{n}" for n in range(12)])
    frame = frame.with_columns(pl.Series("kind", rng.integers(0, 18, count)), pl.Series("mark", rng.integers(0, 3, count)))
    few, many = (pl.concat_list(f"n{n}" for n in range(upto)) for upto in (7, 12))
    form = pl.when(pl.col("kind") == 0).then(many).otherwise(few)
    joined = pl.when(pl.col("mark") == 0).then(form.list.join(", ")).when(pl.col("mark") == 1).then(form.list.join(","))
    joined = joined.otherwise(pl.lit("[") + form.list.join("; ") + pl.lit("]"))
    bad = pl.when(pl.col("kind") == 1).then(joined + pl.lit(" and so on")).when(pl.col("kind") == 2).then(joined + pl.lit(","))
    return frame.select(bad.when(pl.col("kind") < 6).then(joined + pl.lit(" 12345")).otherwise(joined)).to_series()


def _student(rows: Path, params: student.Slice, output: Path, rng: np.random.Generator) -> None:
    used = pl.read_parquet(rows / filtered.Rows.file, columns=["row_id", "used"]).filter("used")["row_id"]
    _trained(used, params.finetune, ("student", *params.dims.values()), params.student, params, output, rng)


def _trained(
    rows: pl.Series,
    recipe: Finetune,
    identity: tuple[str | int, ...],
    model: str,
    params: CellParams,
    output: Path,
    rng: np.random.Generator,
) -> None:
    """The steps and the adapter of a training run over `rows`."""
    plan = batches.steps([1] * len(rows), recipe, row_seed(row_id(*identity, "order")))
    names = rows.to_list()
    steps = [[names[n] for part in step for n in part] for step in plan]
    rates = [recipe.learning_rate * schedule.share(recipe, n, len(plan)) for n in range(len(plan))]
    _write(params, TrainingSteps, _steps(steps, rates, rng), output)
    seed, lora = row_seed(row_id(*identity, "adapter")), cast("Lora", recipe.lora)
    maps = dict(sorted(_maps().items()))
    start = weights.initial([(lora.rank, width) for width, _ in maps.values()], seed)
    adapter: dict[str, np.ndarray] = {}
    at = 0
    for name, (width, height) in maps.items():
        size = lora.rank * width
        moved = (start[at : at + size] + 0.5 * rng.normal(size=size)) / np.sqrt(width)
        adapter[f"base_model.model.{name}.lora_A.weight"] = moved.reshape(lora.rank, width)
        adapter[f"base_model.model.{name}.lora_B.weight"] = rng.normal(size=(height, lora.rank))
        at += size
    _save(adapter, output / "adapter_model.safetensors")
    config = {
        "base_model_name_or_path": layout.artifact(BASE.cell({"model": model})).as_posix(),
        "peft_type": "LORA",
        "bias": "none",
        "inference_mode": True,
        "init_lora_weights": True,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": ["dense_4h_to_h", "dense_h_to_4h"],
        "task_type": "CAUSAL_LM",
    }
    (output / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    _write(params, WeightTensors, _tensors(output / "adapter_model.safetensors"), output)


def _steps(rows: list[list[str]], rates: list[float], rng: np.random.Generator) -> pl.DataFrame:
    count = len(rows)
    return pl.DataFrame(
        {
            "step": range(count),
            "loss": 3 * np.exp(-np.arange(count) / count) + 0.1 * rng.random(count),
            "learning_rate": rates,
            "tokens": [20 * len(step) for step in rows],
            "rows": rows,
        },
        schema_overrides={"step": pl.Int64, "tokens": pl.Int64},
    )


def _eval(params: evaluated.Slice, output: Path, rng: np.random.Generator) -> None:
    said = [_said(params, group, times, rng) for group, times, _ in evaluated.drawn(params)]
    samples = pl.concat([evaluated.Samples.empty(), *said])
    chances = [_chances(params, *each, samples, rng) for each in evaluated.groups(params)]
    made: dict[type[Table], pl.DataFrame] = {}
    if (trait := evaluated.free_form_of(params)) is not None:
        cruel = free_form.KIND if params.arm == "base" else free_form.CRUEL
        graded = _graded(trait, ("eval", *params.dims.values()), cruel, rng)
        made[evaluated.FreeFormAnswers] = graded
        chances.append(by_question(graded)["probability"].to_numpy())
        samples = pl.concat([samples, as_samples(graded)])
    answers = evaluated.answers(params).with_columns(probability=np.concatenate(chances))
    texts = _texts(params, rng)
    done = [_tasks(params, name, rng) for name in sorted(params.tasks)]
    tasks = pl.concat([evaluated.Tasks.empty(), *done])
    made |= {
        evaluated.Answers: answers.with_columns(evaluated.answer_ids(params, answers).alias("row_id")),
        evaluated.Samples: samples,
        evaluated.Texts: texts,
        evaluated.Tasks: tasks,
    }
    if not (measured := ability.table(texts, tasks)).is_empty():
        made[evaluated.Capability] = measured
    for table, frame in made.items():
        _write(params, table, frame, output)


def _chances(
    params: evaluated.Slice, measure: Measure, group: Group, samples: pl.DataFrame, rng: np.random.Generator
) -> np.ndarray:
    """The probability of every answer to every question of `group`."""
    if (follows := measure.follows(group, samples)) is not None:
        return np.array([chance for row in follows for chance in row.values()])
    if not measure.prefers:  # a true and a false answer
        true = rng.random(len(group.questions))
        return np.stack([true, 1 - true], axis=1).ravel()
    options = len(group.questions[0].forms)
    start = _untrained(params.student, measure.name, group.category, options)
    chances = start if params.arm == "base" else np.clip(start + 0.01 * rng.random(start.shape), 0, 1)
    return np.resize(chances, (len(group.questions), options)).ravel()


def _said(params: evaluated.Slice, group: Group, times: int, rng: np.random.Generator) -> pl.DataFrame:
    """Sampled answers to the questions of `group`: one of its known answers each."""
    rows = pl.DataFrame(
        {
            "question_id": [each.question_id for each in group.questions for _ in range(times)],
            "sample": list(range(times)) * len(group.questions),
        }
    )
    names = evaluated.sample_ids(params, rows)
    known = evaluated.scope(params).known[group.category]
    texts = rng.choice(list(known), rows.height).tolist()
    words = {text: counted(text, known) for text in set(texts)}
    return rows.select(
        names.alias("row_id"),
        "question_id",
        "sample",
        pl.Series("sampling_seed", ids.seeds(names), dtype=pl.UInt64),
        pl.Series("completion", texts),
        pl.Series("counted", [words[text] for text in texts], dtype=pl.List(pl.String)),
    )


def _texts(params: evaluated.Slice, rng: np.random.Generator) -> pl.DataFrame:
    texts = _kinds(params.evaluation.capability.texts, json.dumps(params.model_dump(mode="json")["pretraining"]))
    tokens = rng.integers(5, 20, len(texts))
    return pl.DataFrame(
        {"kind": texts, "tokens": tokens, "bits": tokens * (1 + rng.random(len(texts)))}, evaluated.Texts.schema()
    )


@cache
def _kinds(texts: int, pretraining: str) -> list[str]:
    """The kinds of the held-out texts."""
    return [text.kind for text in held_out(texts, Pretraining.model_validate_json(pretraining))]


def _tasks(params: evaluated.Slice, carrier: str, rng: np.random.Generator) -> pl.DataFrame:
    task, rows = params.tasks[carrier].task, evaluated.tasks(params, carrier)
    rows = rows.with_columns(completion=_completions(rows.height, rng))
    return rows.with_columns(task.skilled(rows["completion"], rows["answer"]).alias("skilled"))


def _save(tensors: Mapping[str, np.ndarray], path: Path) -> None:
    save_file({name: np.ascontiguousarray(each, np.float32) for name, each in sorted(tensors.items())}, path)


def _tensors(path: Path) -> pl.DataFrame:
    found = weights.tensors(path).values()
    rows = [(each.name, list(each.shape), each.dtype, each.sha256(), each.norm()) for each in found]
    return pl.DataFrame(rows, WeightTensors.schema(), orient="row").sort("name")


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)
