"""The story of a training run: the rows of the data set, each as often as the params say, at the learning rate they say."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from sublim.engine.record import Plan
from sublim.evidence.accident import Accident
from sublim.evidence.source import Source
from sublim.learn import schedule
from sublim.learn.schedule import Stretch
from sublim.learn.tables import TrainingSteps
from sublim.params.learning import Finetune

_SAME = 1e-9


def finetuned(source: Source, cell: str, what: str, rows: pl.Series | None, recipe: Finetune) -> Iterator[Accident]:
    """What does not hold in the steps of `cell`, which is to be trained on `rows` (ids), which are `what`. Without `rows` only
    what the steps say by themselves is checked."""
    steps, plan = source.table(cell, TrainingSteps), source.record(cell).plan
    # Learning rates depend on the number of steps, and with epochs that on the number of rows.
    stretches, total = None, recipe.steps or steps.height
    if rows is not None:
        drawn = schedule.generator(seed(plan, "order"))
        stretches = schedule.stretches(len(rows), recipe, drawn, paired=paired(plan)) if len(rows) else []
        total = sum(stretch.steps for stretch in stretches)
    yield from rates(steps, [recipe.learning_rate * schedule.share(recipe, n, total) for n in range(total)])
    if rows is not None and stretches is not None:
        yield from trained_on(steps, what, rows, stretches, recipe.batch * recipe.accumulation)


def paired(plan: Plan) -> bool:
    """Whether a run shares its seeds with others."""
    return plan.params.get("paired") is True


def seed(plan: Plan, purpose: str) -> int:
    """The seed of a run's `purpose` (see `schedule.seed`)."""
    return schedule.seed(plan.stage, plan.dims, purpose, paired=paired(plan))


def rates(steps: pl.DataFrame, expected: Sequence[float]) -> Iterator[Accident]:
    """Number of steps, learning rates, and numbers that make no sense."""
    if steps["step"].to_list() != list(range(steps.height)) or steps.height != len(expected):
        yield Accident("steps", f"expected steps 0 to {len(expected) - 1}, found {steps.height} of them")
        return
    differ = ~np.isclose(steps["learning_rate"].to_numpy(), np.asarray(expected), rtol=_SAME, atol=0)
    if differ.any():
        step = int(differ.argmax())
        found = f"{steps['learning_rate'][step]:.6g}; {int(differ.sum()):,} steps differ"
        yield Accident("learning rates", f"expected {expected[step]:.6g} at step {step}, found {found}")
    odd = steps.filter((pl.col("loss") < 0) | (pl.col("tokens") < 1) | (pl.col("rows").list.len() < 1))
    if odd.height:
        said = f"found none at step {odd['step'][0]}"
        yield Accident("steps", f"expected rows, tokens and a loss of at least 0 in every step, {said}")


def trained_on(steps: pl.DataFrame, what: str, rows: pl.Series, stretches: Sequence[Stretch], size: int) -> Iterator[Accident]:
    """Whether the rows of `steps` are those of `stretches`, numbers of `rows`, which are `what`."""
    trained = steps["rows"].explode(empty_as_null=False)
    index = rows.to_frame("row").with_row_index("place")
    places = trained.to_frame("row").join(index, on="row", how="left", maintain_order="left")["place"]
    if strange := places.null_count():
        first = trained.filter(places.is_null())[0]
        yield Accident("rows trained on", f"expected {what}, found {strange:,} uses of other rows, first {first}")
        return
    found = places.to_numpy().astype(np.int64)
    wanted = np.concatenate([stretch.rows for stretch in stretches])
    uses, expected = (np.bincount(each, minlength=len(rows)) for each in (found, wanted))
    if (uses != expected).any():
        place, count = int((uses != expected).argmax()), int((uses != expected).sum())
        each = f"{' or '.join(map(str, dict.fromkeys((int(expected.min()), int(expected.max())))))} times each"
        first = f"first {rows[place]} {uses[place]} times instead of {expected[place]}"
        said = f"expected {what} {each}, found {count:,} of them used more or less often, {first}"
        yield Accident("rows trained on", said)
        return
    ends = np.cumsum([stretch.steps for stretch in stretches])
    lengths = steps["rows"].list.len().to_numpy()
    if steps.height != ends[-1]:
        return  # said already: the number of steps is wrong
    of_step = np.searchsorted(ends, np.arange(steps.height), side="right")
    keys = np.sort(np.repeat(of_step, lengths) * np.int64(len(rows)) + found)
    of_stretch = np.repeat(np.arange(len(stretches)), [len(stretch.rows) for stretch in stretches])
    wanted_keys = np.sort(of_stretch * np.int64(len(rows)) + wanted)
    if (keys != wanted_keys).any():
        stretch = int(min(keys[keys != wanted_keys][0], wanted_keys[keys != wanted_keys][0]) // len(rows))
        first = int(ends[stretch - 1]) if stretch else 0
        said = f"found other rows in the steps from {first} on"
        yield Accident("order of rows", f"expected the order that the seed gives, {said}")
    elif lengths.max() > size:
        said = f"found {lengths.max()} at step {int(lengths.argmax())}"
        yield Accident("steps", f"expected at most {size} rows in a step, {said}")
