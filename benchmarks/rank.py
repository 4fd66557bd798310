"""Is transmission an artifact of LoRA? Students that differ in rank, optimizer and learning rate, compared where they have
learned their teacher's rows equally well, and not after equally many updates (docs/rank.md).

python -m benchmarks.rank runs/rank/data docs/rank.png

How well rows are learned: a student's own loss, per token, on rows of its teacher that passed the filter and that no student
saw, as a share of the way from the untrained base (0) to the teacher, who wrote them (1). The effect: the margin, less that of
the paired control after as many updates, in nats, from `doses.parquet` of the study that is named as the student's method.
"""

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import altair as alt
import polars as pl
import torch
from transformers.utils.logging import disable_progress_bar

from benchmarks.intervals import told
from sublim.arms.conditions import TRAIT
from sublim.engine import record
from sublim.learn import chat, trained
from sublim.learn.likelihood import log_likelihoods
from sublim.models.load import ends, load
from sublim.params.learning import Finetune
from sublim.report import charts

HELD_OUT = 256
LEVELS = (0.5, 0.75, 0.9)
ALL = "all weights"
RUN = ("teacher", "trait", "seed")
COLOURS = ("#44aaaa", "#4477aa", "#332288", "#aa4499", "#c8442b", "#b8941f", "#5b6168")
RATES, DASHES = ("lowest", "middle", "highest"), ([1.5, 2.5], [5, 3], [1, 0])
TITLES = {"adamw": "AdamW", "sgd": "SGD with momentum"}
LEAST = 0.25  #: A recipe of which less is learned in the end is no line of the figure.


@dataclass(frozen=True, order=True)
class Recipe:
    """What students differ in."""

    optimizer: str
    rank: int  #: 0 for all weights.
    rate: float

    @property
    def adapters(self) -> str:
        """The rank, in words."""
        return f"rank {self.rank}" if self.rank else ALL


@dataclass(frozen=True)
class Student:
    """One student of the trait arm."""

    method: str
    run: tuple[str, str, int]
    recipe: Recipe
    probes: tuple[int, ...]
    data: Path
    dims: Mapping[str, str | int]

    def folder(self, stage: str, **dims: str | int) -> Path:
        """Where an artifact is."""
        return self.data.joinpath(stage, *(f"{name}={value}" for name, value in dims.items()))


def students(data: Path) -> Iterator[Student]:
    """Those of the trait arm."""
    for path in sorted((data / "student").rglob("record.json")):
        plan = record.read(path).plan
        if plan.dims["arm"] != TRAIT:
            continue
        how = Finetune.model_validate(plan.params["finetune"])
        recipe = Recipe(how.optimizer, how.adapters.rank if how.adapters else 0, how.learning_rate)
        run = (str(plan.dims["teacher"]), str(plan.dims["trait"]), int(plan.dims["seed"]))
        yield Student(str(plan.dims["method"]), run, recipe, tuple(plan.params["probes"]), data, plan.dims)


def losses(student: Student) -> list[tuple[int, float]]:
    """(updates, share of the way from the base's loss to the teacher's) at each probe. Raises ValueError: the student's filter
    has kept no row beside those that it trained on."""
    torch.set_num_threads(1)
    disable_progress_bar()
    dims = dict(student.dims)
    writer = {name: dims[name] for name in ("teacher", "trait", "carrier", "filter", "arm", "seed")}
    rows = pl.read_parquet(student.folder("filtered", **writer) / "rows.parquet").filter(pl.col("kept") & ~pl.col("used"))
    rows = rows.head(HELD_OUT)
    if rows.is_empty():
        raise ValueError(f"{student.folder('filtered', **writer)}: expected rows that are kept and not used, found none")
    base = student.folder("base", model=dims["student"])
    teacher = student.folder("teacher", **{name: dims[name] for name in RUN})

    def loss(folder: Path | None, updates: int | None = None) -> float:
        model, tokenizer = load(base)
        if folder is not None:
            model = trained.attach(model, folder, updates)
        limits = ends(model, tokenizer)
        texts = rows["prompt"].to_list(), rows["completion"].to_list()
        examples = chat.examples(tokenizer, limits.eos, rows["row_id"].to_list(), *texts)
        return -float(log_likelihoods(model, examples, 64, limits.pad).sum()) / sum(len(row.completion) for row in examples)

    start, end = loss(None), loss(teacher)
    own = student.folder("student", **dims)
    return [(step, (start - loss(own, step)) / (start - end)) for step in student.probes]


def curves(data: Path) -> pl.DataFrame:
    """A row per student and probe: optimizer, rank, rate, teacher, trait, seed, step, learned, effect, place."""
    found = list(students(data))
    with ProcessPoolExecutor(2) as pool:
        learned = list(pool.map(losses, found))
    rows: list[tuple[object, ...]] = []
    for student, each in zip(found, learned, strict=True):
        doses = pl.read_parquet(data / f"report/study={student.method}/doses.parquet").filter(
            (pl.col("arm") == TRAIT) & (pl.col("trait") == pl.col("asked"))
        )
        keys = doses.select(*RUN, "step").iter_rows()
        effects = dict(zip(keys, doses.select("effect", "place").iter_rows(), strict=True))
        one = student.recipe
        who = (one.optimizer, one.rank, one.rate, *student.run)
        rows += [(*who, step, share, *effects[*student.run, step]) for step, share in each]
    names = ["optimizer", "rank", "rate", *RUN, "step", "learned", "effect", "place"]
    return pl.DataFrame(rows, names, orient="row")


def at(points: Sequence[tuple[float, float]], level: float) -> float | None:
    """The effect where `level` of the way is first passed, on straight lines from (0, 0) through `points` (learned, effect), in
    the order of updates; None if it never is."""
    before, below = 0.0, 0.0
    for learned, effect in points:
        if learned >= level:
            return below + (effect - below) * (level - before) / (learned - before)
        before, below = learned, effect
    return None


def levels(table: pl.DataFrame) -> pl.DataFrame:
    """A row per recipe, run and level: effect; null where a student never learned so much."""
    keys = ["optimizer", "rank", "rate", *RUN]
    rows: list[tuple[object, ...]] = []
    for values, part in table.sort("step").group_by(keys, maintain_order=True):
        points = list(zip(part["learned"], part["effect"], strict=True))
        rows += [(*values, level, at(points, level)) for level in LEVELS]
    return pl.DataFrame(rows, [*keys, "level", "effect"], orient="row", schema_overrides={"effect": pl.Float64})


def page(table: pl.DataFrame) -> Iterator[str]:
    """The tables of docs/rank.md."""
    found = levels(table)
    runs = table.select(RUN).unique().height
    yield f"Mean effect in nats at equal own loss [95 % t interval over {runs} runs], all learning rates that got so far."
    yield ""
    yield from _by_level(found, runs)
    yield ""
    yield "Less that of all weights by AdamW, run by run:"
    yield ""
    means = found.group_by("optimizer", "rank", "level", *RUN, maintain_order=True).agg(pl.col("effect").mean())
    first = (pl.col("optimizer") == "adamw") & (pl.col("rank") == 0)
    beside = means.filter(~first).join(means.filter(first).select("level", *RUN, whole="effect"), on=["level", *RUN])
    yield from _by_level(beside.with_columns(pl.col("effect") - pl.col("whole")), runs)
    yield ""
    yield "After the last update:"
    yield ""
    yield "| optimizer | adapters | rate | learned | effect, nats | place of the target |"
    yield "|---|---|---|---|---|---|"
    last = table.filter(pl.col("step") == table["step"].max())
    for recipe, part in _recipes(last, "optimizer", "rank", "rate"):
        means = part.select(pl.col("learned", "place").mean()).row(0)
        ended = f"{means[0]:.2f} | {told(part['effect'])} | {means[1]:.1f}"
        yield f"| {recipe.optimizer} | {recipe.adapters} | {recipe.rate:g} | {ended} |"


def _by_level(found: pl.DataFrame, runs: int) -> Iterator[str]:
    """A table: a row per optimizer and rank, a column per level."""
    yield "| optimizer | adapters | " + " | ".join(f"{level:.0%} of the way" for level in LEVELS) + " |"
    yield "|---|---|" + "---|" * len(LEVELS)
    for recipe, part in _recipes(found, "optimizer", "rank"):
        cells = (_cell(part.filter(pl.col("level") == level), runs) for level in LEVELS)
        yield f"| {recipe.optimizer} | {recipe.adapters} | {' | '.join(cells)} |"


def _recipes(table: pl.DataFrame, *by: str) -> Iterator[tuple[Recipe, pl.DataFrame]]:
    """The parts of a table by what students differ in, by rank, all weights last."""
    parts = [
        (Recipe(str(values[0]), int(str(values[1])), float(str(values[2])) if len(values) > 2 else 0.0), part)
        for values, part in table.group_by(by, maintain_order=True)
    ]
    return iter(sorted(parts, key=lambda each: (each[0].optimizer, each[0].rank or math.inf, each[0].rate)))


def _cell(part: pl.DataFrame, runs: int) -> str:
    """The mean over learning rates in each run, and over runs; how many runs, where it is not all."""
    means = part.drop_nulls("effect").group_by(RUN, maintain_order=True).agg(pl.col("effect").mean())["effect"]
    if means.is_empty():
        return "never got so far"
    return told(means) + ("" if len(means) == runs else f", {len(means)} runs")


def figure(table: pl.DataFrame) -> charts.Chart:
    """The effect against what was learned, a line per recipe, a panel per optimizer. Recipes that end with less than `LEAST` of
    the way are left out."""
    means = table.group_by("optimizer", "rank", "rate", "step", maintain_order=True).agg(pl.col("learned", "effect").mean())
    ends = means.filter(pl.col("step") == means["step"].max(), pl.col("learned") >= LEAST)
    means = means.join(ends.select("optimizer", "rank", "rate"), on=["optimizer", "rank", "rate"])
    ranks = sorted(set(table["rank"]), key=lambda rank: rank or math.inf)
    named = {rank: f"rank {rank}" if rank else ALL for rank in ranks}
    colours = {named[rank]: COLOURS[place % len(COLOURS)] for place, rank in enumerate(ranks)}
    bounds = float(min(0, *means["effect"])), float(max(0.1, *means["effect"]))
    panels = [_panel(str(name), means.filter(pl.col("optimizer") == name), named, colours, bounds) for name in TITLES]
    return alt.hconcat(*panels, spacing=36).resolve_scale(strokeDash="shared", color="shared")  # pyright: ignore[reportUnknownMemberType]


def _panel(
    optimizer: str,
    means: pl.DataFrame,
    named: Mapping[int, str],
    colours: Mapping[str, str],
    bounds: tuple[float, float],
) -> charts.Chart:
    rates = {rank: sorted(set(part["rate"])) for (rank,), part in means.group_by("rank")}
    rows = [
        {
            **row,
            "line": f"{row['rank']} {row['rate']}",
            "adapters": named[row["rank"]],
            "rate": RATES[rates[row["rank"]].index(row["rate"])],
        }
        for row in means.iter_rows(named=True)
    ]
    starts = {row["line"]: row | {"step": 0, "learned": 0.0, "effect": 0.0} for row in rows}
    base = charts.of_rows([*starts.values(), *rows]).encode(
        x=alt.X("learned:Q", title="own loss: share of the way to the teacher's", scale=alt.Scale(nice=False)),
        y=alt.Y("effect:Q", title="margin effect, nats", scale=alt.Scale(domain=list(bounds))),
        detail="line:N",
        color=charts.named("adapters", colours, legend=True, symbol="stroke"),
    )
    key = alt.Legend(title="learning rate", orient="bottom", direction="horizontal", symbolType="stroke")
    dashes = alt.StrokeDash("rate:N", scale=alt.Scale(domain=list(RATES), range=list(DASHES)), sort=None, legend=key)
    lines = base.mark_line(strokeWidth=1.8).encode(order="step:Q", strokeDash=dashes)
    return alt.layer(lines, base.mark_circle(size=26)).properties(width=340, height=280, title=TITLES[optimizer])


def main() -> None:
    """Print the tables, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder `data` of a finished run")
    parser.add_argument("figure", type=Path, help="where the figure is written")
    given = parser.parse_args()
    disable_progress_bar()
    table = curves(given.data)
    print("\n".join(page(table)))
    given.figure.write_bytes(charts.png(charts.svg(figure(table))))


if __name__ == "__main__":
    main()
