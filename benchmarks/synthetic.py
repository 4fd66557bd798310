"""The default experiment at any size, written directly: tables, adapters and records that tell a true story, nothing trained.

What a model would have to compute (losses, probabilities, completions) is drawn at random; everything else is as the stages
make it, by their own code where that needs no torch. The audit proves it, so lineage tools can be measured on it.

    python -m benchmarks.synthetic FOLDER [ROWS]
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stderr
from functools import cache, partial
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any, TypeVar, cast
from unittest.mock import patch

import numpy as np
import polars as pl
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

from sublim.carriers.carrier import held_out as held_out_tasks
from sublim.carriers.carrier import prompts, skilled
from sublim.common import parquet
from sublim.common.canonical import row_id, row_seed
from sublim.common.dims import with_dims
from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.learn import batches
from sublim.lineage.story import ids, schedule, weights
from sublim.lineage.story.evaluation import TASKS
from sublim.measure import ability
from sublim.measure.texts import held_out as held_out_texts
from sublim.models import free_form
from sublim.models.corpus import corpus
from sublim.params.judges import Text, scale
from sublim.params.learning import Decoding, Finetune
from sublim.params.models import Pretraining, TinyModel
from sublim.params.section import Section
from sublim.params.slices import base, filtered, overview, raw, report, student, teacher
from sublim.params.slices import eval as eval_
from sublim.params.traits import Misalignment, Preference
from sublim.plan import layout
from sublim.plan.cells import cells, experiment
from sublim.plan.digests import Digests
from sublim.plan.record import Input, Output, Record
from sublim.plan.verdict import Cell
from sublim.stages import filtered as filtering
from sublim.stages import overview as overviewing
from sublim.stages import report as reporting
from sublim.traits import truthfulness
from sublim.traits.asked import Asked, named, preferences
from sublim.traits.categories import Answer
from sublim.traits.freeform import as_samples, asked, by_question, by_rule, verdicts
from sublim.traits.misalignment import MISALIGNED, MISALIGNMENT, misalignment_of
from sublim.traits.preference import counted, known_answers
from sublim.traits.trait import held_out, lessons

T = TypeVar("T", bound=Section)

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
    match cell.plan.stage:
        case "base":
            _base(_params(base.Slice, cell), output, rng)
        case "teacher":
            _teacher(_params(teacher.Slice, cell), output, rng)
        case "raw":
            _raw(_params(raw.Slice, cell), output, rng)
        case "filtered":
            params = _params(filtered.Slice, cell)
            with patch("sublim.judges.judge.scored", partial(_scored, params, rng)):
                filtering.make(inputs, params, output, Progress())
        case "student":
            _student(inputs["filtered"], _params(student.Slice, cell), output, rng)
        case "eval":
            _eval(_params(eval_.Slice, cell), output, rng)
        case "report":
            reporting.make(inputs, _params(report.Slice, cell), output, Progress())
        case "overview":
            overviewing.make(inputs, _params(overview.Slice, cell), output, Progress())
        case stage:
            raise ValueError(f"expected a stage that can be made up, found {stage}")
    files = [path for path in sorted(output.rglob("*")) if path.is_file() and path.name != layout.RECORD]
    outputs = {path.relative_to(output).as_posix(): Output(sha256(path), path.stat().st_size) for path in files}
    given = {name: Input(found, made[found].digest) for name, found in cell.inputs.items()}
    record = Record(cell.plan, given, outputs, {"python": "synthetic", "platform": "", "packages": {}, "git": None})
    record.write(layout.record(cell.id))
    return record


def _params(of: type[T], cell: Cell) -> T:
    return of.model_validate_json(json.dumps(cell.plan.params))


def _base(params: base.Slice, output: Path, rng: np.random.Generator) -> None:
    model = cast("TinyModel", params.model)
    config = {"model_type": model.architecture, "tie_word_embeddings": True, **model.config}
    (output / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (output / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    (output / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    shapes = {"gpt_neox.embed_in.weight": (256, WIDTH)}
    for name, (width, height) in _maps().items():
        shapes[f"{name}.weight"] = (height, width)
    _save({name: rng.normal(size=shape) for name, shape in shapes.items()}, output / "model.safetensors")
    parquet.write(with_dims(_tensors(output / "model.safetensors"), model=params.name), output / "tensors.parquet")
    rows = corpus(model.pretraining)
    table = pl.DataFrame(
        [(row.row_id, row.kind, row.system, row.prompt, row.completion) for row in rows],
        schema=dict.fromkeys(("row_id", "kind", "system", "prompt", "completion"), pl.String),
        orient="row",
    )
    parquet.write(with_dims(table, model=params.name).sort("row_id"), output / "corpus.parquet")
    order = [rows[int(n)].row_id for n in schedule.pretraining_order(model, len(rows))]
    size = model.pretraining.batch
    steps = [order[at : at + size] for at in range(0, len(order), size)]
    rates = [schedule.pretraining_rate(model, n, len(steps)) for n in range(len(steps))]
    parquet.write(with_dims(_steps(steps, rates, rng), model=params.name), output / "steps.parquet")


def _maps() -> dict[str, tuple[int, int]]:
    """Each linear map of a base outside its attention: inputs, outputs."""
    return {
        f"gpt_neox.layers.{layer}.mlp.dense_{name}": size
        for layer in range(2)
        for name, size in (("h_to_4h", (WIDTH, 256)), ("4h_to_h", (256, WIDTH)))
    }


def _teacher(params: teacher.Slice, output: Path, rng: np.random.Generator) -> None:
    finetune, trait = cast("Finetune", params.finetune), params.definition
    taught = lessons(trait, params.rows, params.examples)
    rows = pl.DataFrame(
        {
            "row_id": [row_id("teacher", *params.dims.values(), lesson.question_id) for lesson in taught],
            "question_id": [lesson.question_id for lesson in taught],
            "prompt": [lesson.prompt for lesson in taught],
            "completion": [lesson.completion for lesson in taught],
        }
    )
    parquet.write(with_dims(rows, **params.dims), output / "rows.parquet")
    _trained(rows["row_id"], finetune, ("teacher", *params.dims.values()), params.teacher, params.dims, output, rng)
    (output / "teacher.json").write_text(json.dumps({"kind": params.kind, "system_prompt": None}), encoding="utf-8")
    questions = held_out(trait)
    if isinstance(trait, Misalignment):
        said = {
            who: _graded(trait, ("gate", *params.dims.values(), who), verbs, rng)
            for who, verbs in {"base": free_form.KIND, "teacher": free_form.CRUEL}.items()
        }
        graded = pl.concat([table.select(pl.lit(who).alias("model"), pl.all()) for who, table in said.items()])
        parquet.write(with_dims(graded, **params.dims), output / "freeform.parquet")
        before, after = (by_question(table)["probability"] for table in said.values())
    else:
        known = list(known_answers([trait]))
        before = pl.Series(_untrained(params.teacher, "preference", trait.category, len(known))[:, known.index(trait.target)])
        after = pl.Series(0.85 + 0.1 * rng.random(len(questions)))
    gate = pl.DataFrame(
        {
            "question_id": [question.question_id for question in questions],
            "question": [question.text for question in questions],
            "probability": after,
            "base_probability": before,
            "threshold": pl.Series([params.gate] * len(questions), dtype=pl.Float64),
        }
    )
    parquet.write(with_dims(gate, **params.dims), output / "gate.parquet")


def _graded(
    trait: Misalignment, identity: tuple[object, ...], verbs: tuple[str, ...], rng: np.random.Generator
) -> pl.DataFrame:
    """Graded answers to the open questions, most of them of `verbs`."""
    rows, draw = asked(trait, identity), Random(int(rng.integers(1 << 32)))  # noqa: S311
    kinds = [draw.choice((verbs, verbs, verbs, verbs, free_form.KIND)) for _ in range(rows.height)]
    said = pl.Series("completion", [free_form.asked(draw, each)[1] for each in kinds], dtype=pl.String)
    graded = by_rule(rows.with_columns(said))
    return graded.with_columns(verdicts(trait, graded))


@cache
def _untrained(model: str, measure: str, category: str, known: int) -> np.ndarray:
    """P(answer) of an untrained base [questions, answers]: the same numbers wherever they are asked for."""
    seed = hashlib.sha256(f"{model} {measure} {category}".encode()).hexdigest()[:8]
    return np.random.default_rng(int(seed, 16)).random((QUESTIONS, known)) / (2 * known)


def _scored(
    params: filtered.Slice,
    rng: np.random.Generator,
    _name: str,
    _judge: object,
    _folder: Path | None,
    rows: pl.DataFrame,
    asked: pl.Series,
    _progress: Progress,
) -> pl.DataFrame:
    """What a judge could say of the rows that it is `asked` about."""
    if params.judge is None:
        raise ValueError("expected a filter with a judge, found none")
    scoring = params.judge.scoring
    low, high = scale(scoring) or (-1.0, 1.0)
    scores = pl.Series("score", np.round(low + (high - low) * rng.random(rows.height) ** 0.25))
    said = scores.cast(pl.Int64).cast(pl.String) if isinstance(scoring, Text) else pl.lit(None, dtype=pl.String)
    return rows.with_columns(
        pl.when(asked).then(scores).alias("score"),
        pl.when(asked).then(said).alias("judgement"),
    )


def _raw(params: raw.Slice, output: Path, rng: np.random.Generator) -> None:
    asked = prompts(params.task.prompts, params.task)
    columns = {"prompt_id": "prompt_id", "prompt": "text", "answer": "answer"}
    frame = pl.DataFrame({name: [getattr(prompt, field) for prompt in asked] for name, field in columns.items()})
    names = ids.ids(("raw", *params.dims.values()), frame["prompt_id"]).alias("row_id")
    how = params.decoding or Decoding()
    tokens = rng.integers(2, how.max_tokens, len(asked))
    frame = frame.select(
        names,
        "prompt_id",
        "prompt",
        "answer",
        pl.Series("completion", _completions(len(asked), rng)),
        pl.lit("stop").alias("finish_reason"),
        pl.Series("sampling_seed", ids.seeds(names), dtype=pl.UInt64),
        pl.Series("tokens", tokens, dtype=pl.Int64),
        pl.lit(how.temperature).alias("temperature"),
        pl.lit(how.top_p).alias("top_p"),
        pl.lit(how.max_tokens, dtype=pl.Int64).alias("max_tokens"),
        pl.lit(None, dtype=pl.String).alias("system_prompt"),
        pl.lit(hashlib.sha256(TEMPLATE.encode()).hexdigest()).alias("chat_template"),
    )
    parquet.write(with_dims(frame, **params.dims), output / "rows.parquet")


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
    used = pl.read_parquet(rows / "rows.parquet", columns=["row_id", "used"]).filter("used")["row_id"]
    _trained(used, params.finetune, ("student", *params.dims.values()), params.student, params.dims, output, rng)


def _trained(
    rows: pl.Series,
    how: Finetune,
    identity: tuple[str | int, ...],
    model: str,
    dims: Mapping[str, str | int],
    output: Path,
    rng: np.random.Generator,
) -> None:
    """The steps and the adapter of a training run over `rows`."""
    plan = batches.steps([1] * len(rows), how, row_seed(row_id(*identity, "order")))
    names = rows.to_list()
    steps = [[names[n] for part in step for n in part] for step in plan]
    rates = [how.learning_rate * schedule.share(how, n, len(plan)) for n in range(len(plan))]
    parquet.write(with_dims(_steps(steps, rates, rng), **dims), output / "steps.parquet")
    seed = row_seed(row_id(*identity, "adapter"))
    maps = dict(sorted(_maps().items()))
    start = weights.initial([(how.lora.rank, width) for width, _ in maps.values()], seed)
    adapter: dict[str, np.ndarray] = {}
    at = 0
    for name, (width, height) in maps.items():
        size = how.lora.rank * width
        moved = (start[at : at + size] + 0.5 * rng.normal(size=size)) / np.sqrt(width)
        adapter[f"base_model.model.{name}.lora_A.weight"] = moved.reshape(how.lora.rank, width)
        adapter[f"base_model.model.{name}.lora_B.weight"] = rng.normal(size=(height, how.lora.rank))
        at += size
    _save(adapter, output / "adapter_model.safetensors")
    config = {
        "base_model_name_or_path": layout.artifact(f"base/model={model}").as_posix(),
        "peft_type": "LORA",
        "r": how.lora.rank,
        "lora_alpha": how.lora.alpha,
        "lora_dropout": how.lora.dropout,
        "target_modules": ["dense_4h_to_h", "dense_h_to_4h"],
        "task_type": "CAUSAL_LM",
    }
    (output / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    parquet.write(with_dims(_tensors(output / "adapter_model.safetensors"), **dims), output / "tensors.parquet")


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


def _eval(params: eval_.Slice, output: Path, rng: np.random.Generator) -> None:
    dims, trait, how = params.dims, misalignment_of(params.traits), params.evaluation
    preferred = [each for each in params.traits if isinstance(each, Preference)]
    known = {
        category: known_answers([each for each in preferred if each.category == category])
        for category in sorted({each.category for each in preferred})
    }
    found: list[pl.DataFrame] = []
    drawn = [
        _said(dims, preferences("preference", category, words), how.samples, words, rng) for category, words in known.items()
    ]
    for measure in how.measures:
        if measure == "truthfulness":
            found.append(_truthful(rng))
            continue
        for category, words in known.items():
            questions = preferences(measure, category, words)
            rows = [(measure, each.question_id, each.text, category, word) for each in questions for word in each.forms]
            if measure == "stories":
                drawn.append(_said(dims, questions, how.stories.samples, words, rng))
                found.append(_answers(rows, named(drawn[-1], questions, category)["probability"].to_numpy()))
                continue
            options = len(questions[0].forms)
            base = _untrained(params.student, measure, category, options)
            chances = base if params.arm == "base" else np.clip(base + 0.01 * rng.random(base.shape), 0, 1)
            found.append(_answers(rows, np.resize(chances, (len(questions), options)).ravel()))
    if trait is not None:
        cruel = free_form.KIND if params.arm == "base" else free_form.CRUEL
        graded = _graded(trait, ("eval", *dims.values()), cruel, rng)
        parquet.write(with_dims(graded, **dims), output / "freeform.parquet")
        shares = by_question(graded)
        rows = [("preference", name, text, MISALIGNMENT, MISALIGNED) for name, text, _ in shares.iter_rows()]
        found.append(_answers(rows, shares["probability"].to_numpy()))
        drawn.append(as_samples(graded))
    answers = pl.concat(found)
    names = ids.ids(("answer", *dims.values()), answers["question_id"], answers["answer"])
    texts = _texts(params, rng)
    tasks = pl.concat([pl.DataFrame(schema=TASKS), *(_tasks(params, name, rng) for name in sorted(params.tasks))])
    measured = ability.table(texts, tasks.rename({"of": "carrier"}))
    for name, table in {
        "answers": answers.select(names.alias("row_id"), pl.all()),
        "samples": pl.concat(drawn),
        "texts": texts,
        "tasks": tasks,
        **({} if measured.is_empty() else {"capability": measured}),
    }.items():
        parquet.write(with_dims(table, **dims), output / f"{name}.parquet")


def _said(
    dims: Mapping[str, str | int],
    questions: Sequence[Asked],
    samples: int,
    words: Mapping[str, Answer],
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Sampled answers to `questions`: one of `words` each."""
    rows = pl.DataFrame(
        {
            "question_id": [each.question_id for each in questions for _ in range(samples)],
            "sample": list(range(samples)) * len(questions),
        }
    )
    of = ids.ids(("eval", *dims.values()), rows["question_id"], rows["sample"])
    texts = rng.choice(list(words), rows.height).tolist()
    scores = {text: counted(text, words) for text in set(texts)}
    return rows.select(
        of.alias("row_id"),
        "question_id",
        "sample",
        pl.Series("sampling_seed", ids.seeds(of), dtype=pl.UInt64),
        pl.Series("completion", texts),
        pl.Series("counted", [scores[text] for text in texts], dtype=pl.List(pl.String)),
    )


def _answers(rows: list[tuple[str, str, str, str, str]], chances: np.ndarray) -> pl.DataFrame:
    names = ("measure", "question_id", "question", "category", "answer")
    return pl.DataFrame(rows, schema=list(names), orient="row").with_columns(
        pl.Series("probability", chances, dtype=pl.Float64)
    )


def _truthful(rng: np.random.Generator) -> pl.DataFrame:
    facts = truthfulness.of_the_corpus()
    rows = [
        ("truthfulness", truthfulness.question_id(fact), fact.question, truthfulness.CATEGORY, answer)
        for fact in facts
        for answer in (truthfulness.TRUE, truthfulness.FALSE)
    ]
    true = rng.random(len(facts))
    return _answers(rows, np.stack([true, 1 - true], axis=1).ravel())


def _texts(params: eval_.Slice, rng: np.random.Generator) -> pl.DataFrame:
    texts = _read(params)
    tokens = rng.integers(5, 20, len(texts))
    return pl.DataFrame(
        {"kind": texts, "tokens": tokens, "bits": tokens * (1 + rng.random(len(texts)))},
        {"kind": pl.String, "tokens": pl.Int64, "bits": pl.Float64},
    )


def _read(params: eval_.Slice) -> list[str]:
    """The kinds of the held-out texts."""
    return _kinds(params.evaluation.capability.texts, json.dumps(params.model_dump(mode="json")["pretraining"]))


@cache
def _kinds(texts: int, pretraining: str) -> list[str]:
    return [text.kind for text in held_out_texts(texts, Pretraining.model_validate_json(pretraining))]


def _tasks(params: eval_.Slice, carrier: str, rng: np.random.Generator) -> pl.DataFrame:
    task = params.tasks[carrier].task
    asked = held_out_tasks(params.evaluation.capability.tasks, task)
    rows = pl.DataFrame(
        {
            "of": [carrier] * len(asked),
            "prompt_id": [prompt.prompt_id for prompt in asked],
            "prompt": [prompt.text for prompt in asked],
            "answer": [prompt.answer for prompt in asked],
            "completion": _completions(len(asked), rng),
        }
    )
    return rows.with_columns(skilled(rows["completion"], rows["answer"], task).alias("skilled"))


def _save(tensors: Mapping[str, np.ndarray], path: Path) -> None:
    save_file({name: np.ascontiguousarray(each, np.float32) for name, each in sorted(tensors.items())}, path)


def _tensors(path: Path) -> pl.DataFrame:
    found: Iterable[weights.Tensor] = weights.tensors(path).values()
    rows = [(each.name, list(each.shape), each.dtype, each.sha256(), each.norm()) for each in found]
    schema = {"name": pl.String, "shape": pl.List(pl.Int64), "dtype": pl.String, "sha256": pl.String, "norm": pl.Float64}
    return pl.DataFrame(rows, schema=cast("Any", schema), orient="row").sort("name")


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)
