"""What an experiment will cost, before it runs: the tokens and GPU hours of each stage, from its file alone (`sublim cost`).

Lengths are those of the real prompts, questions and rows, in tokens of no tokenizer in particular: it may not be here yet.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sublim.engine import layout
from sublim.engine.stage import stage
from sublim.engine.verdict import Cell, Verdict
from sublim.forecast.tokens import Tokens
from sublim.models.weights import parameters
from sublim.params.elsewhere import HubModel
from sublim.params.experiment import Experiment
from sublim.params.models import root
from sublim.params.rates import Rates
from sublim.params.tiny import TinyModel

COUNTS = ("sampled", "read", "trained")
JOBS = (
    dict.fromkeys(("cell", "stage"), pl.String) | {"stale": pl.Boolean, "model": pl.String} | dict.fromkeys(COUNTS, pl.Float64)
)


@dataclass(frozen=True)
class Cost:
    """What an experiment costs, and what was assumed."""

    stages: pl.DataFrame  #: The columns of `estimate`.
    rates: Rates
    billions: Mapping[str, float]  #: Model → billions of parameters, of the models whose hours are told.
    unknown: tuple[str, ...]
    """Models whose size nobody said: their hours are missing. Tiny families need no GPU, and no hours are told of them."""
    downloads: Mapping[str, tuple[str, HubModel]]
    """What is to be fetched from the hub, by name: the cell whose job does it, and the model."""
    prompts: Mapping[str, tuple[int, int]]
    """Carriers whose sampling may go on → the fewest and the most prompts of each writer; the most are counted."""


def cost(experiment: Experiment, verdicts: Mapping[str, Verdict]) -> Cost:
    """What `experiment` costs: all of it, and what is stale by its `verdicts`."""
    table = jobs(verdicts, experiment.rates)
    sizes = {name: _billions(experiment, name) for name in sorted(set(table["model"].drop_nulls()))}
    downloads = {
        name: (cell, model)
        for name, model in experiment.models.items()
        if isinstance(model, HubModel) and model.repo and verdicts[cell := _cell_of(verdicts, name)].reason is not None
    }
    prompts = {
        name: (carrier.task.prompts, carrier.most)
        for name, carrier in experiment.carriers.items()
        if carrier.top_up is not None
    }
    known = {name: size for name, size in sizes.items() if size is not None}
    unknown = tuple(name for name in sizes.keys() - known if not _tiny(experiment, name))
    return Cost(estimate(table, known, experiment.rates), experiment.rates, known, tuple(sorted(unknown)), downloads, prompts)


def jobs(verdicts: Mapping[str, Verdict], rates: Rates) -> pl.DataFrame:
    """One row per job and model that works in it: cell, stage, stale, model (null: none does), sampled, read, trained."""
    cells = {name: verdict.cell for name, verdict in verdicts.items()}
    rows: list[tuple[object, ...]] = []
    found: dict[str, dict[str, Tokens]] = {}
    for name, verdict in verdicts.items():
        cell = verdict.cell
        work = stage(cell.plan.stage).work
        upstream = {role: cells[above] for role, above in cell.inputs.items()} if work else {}
        # Cells that differ in nothing but their name do as much.
        key = json.dumps([cell.plan.stage, _own(cell), {role: _own(above) for role, above in upstream.items()}])
        if key not in found:
            above = {role: _params(each) for role, each in upstream.items()}
            found[key] = dict(work(_params(cell), above, rates)) if work else {}
        about = (name, cell.plan.stage, verdict.reason is not None)
        done = [(_model(cell, role, cells), tokens) for role, tokens in found[key].items()] or [(None, Tokens())]
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


def _params(cell: Cell) -> Any:
    return stage(cell.plan.stage).params.model_validate_json(json.dumps(cell.plan.params))


def _own(cell: Cell) -> dict[str, object]:
    """What a cell depends on, without its name."""
    return {key: value for key, value in cell.plan.params.items() if cell.plan.dims.get(key) != value}


def _model(cell: Cell, role: str, cells: Mapping[str, Cell]) -> str:
    """The model that is the input `role` of a cell, or the cell itself where that is empty: its name in the experiment, or the
    folder of a judge."""
    if role and role not in cell.inputs:
        return role
    made = cells[cell.inputs[role]] if role else cell
    return str(made.plan.dims["model"])


def _cell_of(verdicts: Mapping[str, Verdict], model: str) -> str:
    """The cell that is the base `model`."""
    return next(name for name, verdict in verdicts.items() if verdict.cell.plan.dims == {"model": model})


def _tiny(experiment: Experiment, name: str) -> bool:
    return name in experiment.models and isinstance(root(experiment.models, name), TinyModel)


def _billions(experiment: Experiment, name: str) -> float | None:
    """Billions of parameters of a model: counted in its folder or in the artifact that it is, or as the params say."""
    model = experiment.models.get(name)
    if _tiny(experiment, name):
        return None
    here = sorted(layout.DATA.glob(f"*/model={name}"))
    folders = [Path(model.path)] if isinstance(model, HubModel) and model.path else here
    counted = next((found for folder in (*folders, Path(name)) if (found := parameters(folder))), 0)
    return counted / 1e9 or experiment.rates.billions.get(name)


def describe(costs: Cost, params: Path) -> str:
    """A table with a line per stage, what is to be downloaded, and what was assumed."""
    rows = [["", "jobs", *COUNTS, "GPU hours"], *(_line(row) for row in costs.stages.iter_rows(named=True))]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    rates = costs.rates
    sizes = ", ".join(f"{name} {size:.3g}" for name, size in costs.billions.items())
    told = [
        f"{params}: what is to be done, in tokens, and the hours that one GPU takes",
        *(f"  {line.rstrip()}" for line in lines),
        *(_download(cell, model, costs.billions.get(name)) for name, (cell, model) in costs.downloads.items()),
        *(f"hours of {name} are missing: say how large it is (rates.billions)" for name in costs.unknown),
    ]
    told += [
        f"carriers.{name}: counted are {most:,} prompts of each writer, the most; {least:,} are enough where enough rows pass "
        "(top_up)"
        for name, (least, most) in costs.prompts.items()
    ]
    if costs.billions:
        told += [
            f"assumed (rates in the params), per second and billion parameters: {rates.sampled:,.0f} tokens sampled,",
            f"  {rates.read:,.0f} read, {rates.trained:,.0f} trained on; {rates.start:g} s for a job to begin",
            f"billions of parameters: {sizes}",
        ]
    return "\n".join(told)


def as_json(costs: Cost) -> str:
    """The same as JSON."""
    said = {
        "stages": costs.stages.to_dicts(),
        "download": {name: {"repo": model.repo, "revision": model.revision} for name, (_, model) in costs.downloads.items()},
        "rates": costs.rates.model_dump(mode="json") | {"billions": dict(costs.billions)},
        "unknown": list(costs.unknown),
        "prompts": {name: list(each) for name, each in costs.prompts.items()},
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


def _download(cell: str, model: HubModel, billions: float | None) -> str:
    size = f", about {2 * billions:.{0 if billions >= 1 else 1}f} GB at 16 bits a weight" if billions else ""
    return f"to be downloaded, once, by the job of {cell}: {model.repo} at {model.revision}{size}"
