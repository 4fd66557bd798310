"""The story of what was trained here, adapters or all weights: of its steps, and of what they made of its base."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import polars as pl

from sublim.evidence import adapter, training, weights, whole
from sublim.evidence.accident import Accident
from sublim.evidence.source import Source
from sublim.learn import schedule
from sublim.learn.tables import TrainingSteps
from sublim.models.adapter import PROBES, WEIGHTS, probe
from sublim.models.hub import WEIGHTS as MODEL
from sublim.params.learning import Finetune


def finetuned(source: Source, cell: str, base: str, what: str, rows: pl.Series | None, recipe: Finetune) -> Iterator[Accident]:
    """What does not hold in the weights of `cell`, trained from its input `base`, and in the steps by which they were trained
    on `rows` (ids), which are `what`; None if it is not known which rows these are."""
    yield from training.finetuned(source, cell, what, rows, recipe)
    if recipe.adapters is None:
        yield from whole.trained(source, cell, base)
    else:
        travel = schedule.travel(recipe, 0 if rows is None else len(rows))
        yield from adapter.trained(source, cell, base, recipe.adapters, travel)


def probed(source: Source, cell: str, updates: Sequence[int]) -> Iterator[Accident]:
    """What does not hold in the weights of `cell` that were kept after so many `updates`: a file for each and no other, with
    tensors like those at the end, and after the last of all these themselves."""
    outputs = source.record(cell).outputs
    due, found = {probe(n) for n in updates}, {name for name in outputs if fnmatchcase(name, PROBES)}
    if odd := sorted(due ^ found):
        what = "none" if odd[0] in due else "one"
        yield Accident("probes", f"expected weights after {list(updates)} updates, found {what} called {odd[0]}")
        return
    if not due:
        return
    adapted = WEIGHTS in outputs
    end = weights.tensors(source.path(cell, WEIGHTS if adapted else MODEL))
    steps = source.table(cell, TrainingSteps).height
    for n in updates:
        each = weights.tensors(source.path(cell, probe(n)))
        # Whole models are saved by other names than they have in memory, where transformers has renamed some.
        both = end.keys() | each.keys() if adapted else end.keys() & each.keys()
        form = {name: [(one[name].shape, one[name].dtype) if name in one else None for one in (end, each)] for name in both}
        if odd := sorted(name for name, (one, other) in form.items() if one != other):
            one, other = form[odd[0]]
            yield Accident("probes", f"{probe(n)}: expected {odd[0]} as {one}, as at the end, found {other}")
        elif n > steps or (n == steps and any(end[name].sha256() != each[name].sha256() for name in both)):
            yield Accident("probes", f"{probe(n)}: expected the weights at the end, after {steps} updates, found others")
