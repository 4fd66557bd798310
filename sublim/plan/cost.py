"""What an experiment will cost, before it runs: the tokens and GPU hours of each stage, from its file alone (`sublim cost`).

Lengths are those of the real prompts, questions and rows, in tokens of no tokenizer in particular: it may not be here yet.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, assert_never

import polars as pl

from sublim.carriers.carrier import prompts, written
from sublim.measure.texts import held_out as texts
from sublim.models.corpus import corpus
from sublim.models.size import parameters
from sublim.params.experiment import Experiment
from sublim.params.judges import Likelihood, LocalJudge, Options, Text
from sublim.params.learning import Finetune
from sublim.params.models import HubModel, Pretraining, TinyModel
from sublim.params.rates import Rates
from sublim.params.slices import base, filtered, raw, student, teacher
from sublim.params.slices import eval as eval_
from sublim.params.task import Task
from sublim.params.traits import Misalignment, Preference
from sublim.plan import layout
from sublim.plan.verdict import Cell, Verdict
from sublim.traits import truthfulness
from sublim.traits.asked import preferences
from sublim.traits.preference import known_answers
from sublim.traits.trait import held_out, lessons, system_prompt

LOOKED_AT = 200
"""Rows whose mean length stands for all: the first ones."""

# As Qwen's tokenizer, near enough: every digit is a token of its own, a space belongs to the word behind it.
_TOKEN = re.compile(r"[^\W\d_]{1,10}|\d|[^\w\s]|_|\n|\s(?=\d)")

COUNTS = ("sampled", "read", "trained")
JOBS = (
    dict.fromkeys(("cell", "stage"), pl.String) | {"stale": pl.Boolean, "model": pl.String} | dict.fromkeys(COUNTS, pl.Float64)
)


@dataclass(frozen=True)
class Tokens:
    """What a model does in a job, in tokens."""

    sampled: float = 0.0
    """Written, one after the other."""
    read: float = 0.0
    """Read at once, without gradients."""
    trained: float = 0.0
    """Read with gradients."""

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.sampled + other.sampled, self.read + other.read, self.trained + other.trained)


@dataclass(frozen=True)
class Cost:
    """What an experiment costs, and what was assumed."""

    stages: pl.DataFrame
    """The columns of `estimate`."""
    rates: Rates
    billions: Mapping[str, float]
    """Model → billions of parameters, of the models whose hours are told."""
    unknown: tuple[str, ...]
    """Models whose size nobody said: their hours are missing. Tiny families need no GPU, and no hours are told of them."""
    downloads: Mapping[str, HubModel]
    """What is to be fetched from the hub, by name."""


def cost(of: Experiment, verdicts: Mapping[str, Verdict]) -> Cost:
    """What `of` costs: all of it, and what is stale by its `verdicts`."""
    table = jobs(verdicts, of.rates)
    sizes = {name: _billions(of, name) for name in sorted(set(table["model"].drop_nulls()))}
    downloads = {
        name: model
        for name, model in of.models.items()
        if isinstance(model, HubModel) and model.repo and verdicts[f"base/model={name}"].reason is not None
    }
    known = {name: size for name, size in sizes.items() if size is not None}
    unknown = tuple(name for name in sizes.keys() - known if not isinstance(of.models.get(name), TinyModel))
    return Cost(estimate(table, known, of.rates), of.rates, known, tuple(sorted(unknown)), downloads)


def jobs(verdicts: Mapping[str, Verdict], rates: Rates) -> pl.DataFrame:
    """One row per job and model that works in it: cell, stage, stale, model (null: none does), sampled, read, trained."""
    cells = {name: verdict.cell for name, verdict in verdicts.items()}
    rows: list[tuple[object, ...]] = []
    found: dict[str, dict[str, Tokens]] = {}
    for name, verdict in verdicts.items():
        cell = verdict.cell
        upstream = {role: cells[cell.inputs[role]] for role in ("teacher", "filtered") if role in cell.inputs}
        # Cells that differ in nothing but their name do as much.
        key = json.dumps([cell.plan.stage, _own(cell), {role: _own(above) for role, above in upstream.items()}])
        if key not in found:
            found[key] = work(cell, upstream, rates)
        about = (name, cell.plan.stage, verdict.reason is not None)
        done = [(_model(cell, role), tokens) for role, tokens in found[key].items()] or [(None, Tokens())]
        rows += [(*about, model, tokens.sampled, tokens.read, tokens.trained) for model, tokens in done]
    return pl.DataFrame(rows, JOBS, orient="row")


def estimate(jobs: pl.DataFrame, billions: Mapping[str, float], rates: Rates) -> pl.DataFrame:
    """One row per stage, and one for `all`: jobs, sampled, read, trained and hours, each of what is stale, and with `all_`
    before the name of everything. Hours are those of the models whose size is in `billions`."""
    sizes = pl.DataFrame([*billions.items()], {"model": pl.String, "billions": pl.Float64}, orient="row")
    seconds = sum(pl.col(name) / getattr(rates, name) for name in COUNTS) * pl.col("billions") + rates.start
    timed = jobs.join(sizes, on="model", how="left", maintain_order="left").with_columns(hours=(seconds / 3600).fill_null(0.0))
    values = (*COUNTS, "hours")
    sums = [
        pl.col("cell").filter("stale").n_unique().alias("jobs"),
        *(pl.col(name).filter("stale").sum() for name in values),
        pl.col("cell").n_unique().alias("all_jobs"),
        *(pl.col(name).sum().alias(f"all_{name}") for name in values),
    ]
    stages = timed.group_by("stage", maintain_order=True).agg(sums)
    return pl.concat([stages, timed.select(pl.lit("all").alias("stage"), *sums)])


def tokens(text: str) -> int:
    """About how many tokens `text` has."""
    return len(_TOKEN.findall(text))


def work(cell: Cell, upstream: Mapping[str, Cell], rates: Rates) -> dict[str, Tokens]:
    """What the models that work in a job do, by the name of the input that they are. `upstream` are the teacher and the
    filtered rows among the inputs."""
    said, system = json.dumps(cell.plan.params), _prompted(upstream.get("teacher"))
    match cell.plan.stage:
        case "base":
            model = base.Slice.model_validate_json(said).model
            return {"model": _pretrained(model.pretraining)} if isinstance(model, TinyModel) else {}
        case "teacher":
            return {"base": _teacher(teacher.Slice.model_validate_json(said), rates)}
        case "raw":
            params = raw.Slice.model_validate_json(said)
            if params.decoding is None:
                return {}
            prompt, completion = lengths(params.task)
            n, head = params.task.prompts, rates.template + tokens(system) + prompt
            return {"base": Tokens(sampled=n * min(completion, params.decoding.max_tokens), read=n * head)}
        case "filtered":
            return _judged(filtered.Slice.model_validate_json(said), rates)
        case "student":
            rows = filtered.Slice.model_validate_json(json.dumps(upstream["filtered"].plan.params))
            return _student(student.Slice.model_validate_json(said), rows, system, rates)
        case "eval":
            return {"base": _evaluated(eval_.Slice.model_validate_json(said), rates)}
        case _:
            return {}


def _teacher(params: teacher.Slice, rates: Rates) -> Tokens:
    """The gate asks the base and the teacher; before that a fine-tuned one is trained."""
    trait, own = params.definition, params.categories
    asked = [question.text for question in held_out(trait, own)]
    system = system_prompt(trait, own) if params.kind == "system_prompt" else ""
    times, longest = (trait.samples, trait.max_tokens) if isinstance(trait, Misalignment) else (1, 0)
    found = _answered(asked, rates, times, longest) + _answered(asked, rates, times, longest, system)
    if params.finetune is not None:
        rows = lessons(trait, params.rows, params.examples, own)
        length = fmean(rates.template + tokens(row.prompt) + tokens(row.completion) + 1 for row in rows)
        found += Tokens(trained=_passes(params.finetune, len(rows)) * min(length, params.finetune.max_length or length))
    return found


def _student(params: student.Slice, rows: filtered.Slice, system: str, rates: Rates) -> dict[str, Tokens]:
    prompt, completion = lengths(rows.task)
    longest = params.finetune.max_length or float("inf")
    seen = _passes(params.finetune, rows.rule.rows)
    found = {"base": Tokens(trained=seen * min(rates.template + prompt + completion, longest))}
    if params.soft is not None:
        found["writer"] = Tokens(read=seen * (rates.template + tokens(system) + prompt + completion))
    return found


def _passes(recipe: Finetune, rows: int) -> int:
    """How many rows a training run over `rows` sees."""
    return rows * recipe.epochs if recipe.epochs else (recipe.steps or 0) * recipe.batch * recipe.accumulation


def _judged(params: filtered.Slice, rates: Rates) -> dict[str, Tokens]:
    """A judge on this machine, as if it were asked about every row: other steps may leave it fewer."""
    if not isinstance(params.judge, LocalJudge):
        return {}
    prompt, completion = lengths(params.task)
    how, n = params.judge.scoring, params.task.prompts
    length = rates.template + prompt + completion
    match how:
        case Text():
            found = Tokens(read=n * (length + tokens(how.template)), sampled=n * how.max_tokens)
        case Options():
            found = Tokens(read=n * (length + tokens(how.template)))
        case Likelihood():
            found = Tokens(read=n * (2 * length + tokens(how.system)))
        case _:
            assert_never(how)
    return {"judge": found}


def _evaluated(params: eval_.Slice, rates: Rates) -> Tokens:
    how, own, found = params.evaluation, params.categories, Tokens()
    traits = [trait for trait in params.traits if isinstance(trait, Preference)]
    for category in dict.fromkeys(trait.category for trait in traits):
        known = known_answers([trait for trait in traits if trait.category == category], own)
        for measure in how.measures:
            asked = [] if measure == "truthfulness" else [each.text for each in preferences(measure, category, known, own)]
            if measure == "stories":
                found += _answered(asked, rates, how.stories.samples, how.stories.max_tokens)
            else:
                found += _answered(asked, rates)
        plain = [each.text for each in preferences("preference", category, known, own)]
        found += _answered(plain, rates, how.samples, how.max_tokens)
    if "truthfulness" in how.measures:
        facts = truthfulness.of_the_corpus() if params.pretraining else truthfulness.FACTS
        found += _answered([f"{fact.question} {answer}" for fact in facts for answer in (fact.true, fact.false)], rates)
    for trait in [trait for trait in params.traits if isinstance(trait, Misalignment)][:1]:
        found += _answered([question.text for question in held_out(trait)], rates, trait.samples, trait.max_tokens)
    for task in params.tasks.values():
        prompt, completion = lengths(task.task)
        n = how.capability.tasks
        found += Tokens(read=n * (rates.template + prompt), sampled=n * min(completion, task.sampling.max_tokens))
    return found + Tokens(
        read=sum(tokens(f"{text.prompt} {text.completion}") for text in texts(how.capability.texts, params.pretraining))
    )


def _answered(questions: Sequence[str], rates: Rates, times: int = 1, longest: int = 0, system: str = "") -> Tokens:
    """Questions that are read, each `times` times, and answered: each answer is counted as if it had its `longest` tokens."""
    n = times * len(questions)
    head = rates.template + tokens(system)
    return Tokens(read=times * sum(map(tokens, questions)) + n * head, sampled=n * longest)


def lengths(task: Task) -> tuple[float, float]:
    """The mean lengths of a prompt of `task` and of a completion, the token that ends it included. Completions are those that
    no model writes: right, and of the exact format."""
    asked = prompts(min(LOOKED_AT, task.prompts), task)
    said = written(task, range(len(asked)))
    return fmean(tokens(prompt.text) for prompt in asked), fmean(tokens(text) + 1 for text in said)


def _pretrained(how: Pretraining) -> Tokens:
    rows = corpus(how.model_copy(update={"rows": min(how.rows, LOOKED_AT)}))
    return Tokens(trained=how.rows * fmean(tokens(row.prompt) + tokens(row.completion) + 1 for row in rows))


def _own(cell: Cell) -> dict[str, object]:
    """What a cell depends on, without its name."""
    return {key: value for key, value in cell.plan.params.items() if cell.plan.dims.get(key) != value}


def _prompted(taught: Cell | None) -> str:
    """The system prompt of a teacher that has one."""
    if taught is None or taught.plan.params["kind"] != "system_prompt":
        return ""
    params = teacher.Slice.model_validate_json(json.dumps(taught.plan.params))
    return system_prompt(params.definition, params.categories)


def _model(cell: Cell, role: str) -> str:
    """The model that is the input `role` of a cell: its name in the experiment, or the folder of a judge."""
    if role in cell.inputs:
        return cell.inputs[role].removeprefix("base/model=")
    return str(cell.plan.params["judge"]["path"] if role == "judge" else cell.plan.dims["model"])


def _billions(of: Experiment, name: str) -> float | None:
    """Billions of parameters of a model: counted in its folder or in the artifact that it is, or as the params say."""
    model = of.models.get(name)
    if isinstance(model, TinyModel):
        return None
    folders = [Path(model.path) if model and model.path else layout.artifact(f"base/model={name}"), Path(name)]
    counted = next((found for folder in folders if (found := parameters(folder))), 0)
    return counted / 1e9 or of.rates.billions.get(name)


def describe(of: Cost, params: Path) -> str:
    """A table with a line per stage, what is to be downloaded, and what was assumed."""
    rows = [["", "jobs", *COUNTS, "GPU hours"], *(_line(row) for row in of.stages.iter_rows(named=True))]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    rates = of.rates
    sizes = ", ".join(f"{name} {size:.3g}" for name, size in of.billions.items())
    told = [
        f"{params}: what is to be done, in tokens, and the hours that one GPU takes",
        *(f"  {line.rstrip()}" for line in lines),
        *(_download(name, model, of.billions.get(name)) for name, model in of.downloads.items()),
        *(f"hours of {name} are missing: say how large it is (rates.billions)" for name in of.unknown),
    ]
    if of.billions:
        told += [
            f"assumed (rates in the params), per second and billion parameters: {rates.sampled:,.0f} tokens sampled,",
            f"  {rates.read:,.0f} read, {rates.trained:,.0f} trained on; {rates.start:g} s for a job to begin",
            f"billions of parameters: {sizes}",
        ]
    return "\n".join(told)


def as_json(of: Cost) -> str:
    """The same as JSON."""
    said = {
        "stages": of.stages.to_dicts(),
        "download": {name: {"repo": model.repo, "revision": model.revision} for name, model in of.downloads.items()},
        "rates": of.rates.model_dump(mode="json") | {"billions": dict(of.billions)},
        "unknown": list(of.unknown),
    }
    return json.dumps(said, indent=1, ensure_ascii=False)


def _line(row: Mapping[str, Any]) -> list[str]:
    def cell(name: str, write: Callable[[float], str]) -> str:
        stale, every = row[name], row[f"all_{name}"]
        return write(every) if stale == every else f"{write(stale) if stale else '0'} of {write(every)}"

    return [row["stage"], cell("jobs", str), *(cell(name, _count) for name in COUNTS), cell("hours", _hours)]


def _count(number: float) -> str:
    """`1.23 M`: three digits that count."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}" if number else "-"


def _hours(number: float) -> str:
    return f"{number:.1f}" if number >= 0.05 else "< 0.1" if number else "-"


def _download(name: str, model: HubModel, billions: float | None) -> str:
    size = f", about {2 * billions:.0f} GB at 16 bits a weight" if billions else ""
    return f"to be downloaded, once, by the job of base/model={name}: {model.repo} at {model.revision}{size}"
