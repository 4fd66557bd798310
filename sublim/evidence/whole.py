"""The story of a model all of whose weights were trained: it has the tensors of its base, and grew from these and no other's.

Nothing in it comes from a seed of its own: that two of one base were swapped, with their tables and records, is beyond what
content can tell. Making one again can (`sublim audit --replay`).
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sublim.engine.stage import stage_of
from sublim.evidence import weights
from sublim.evidence.accident import Accident
from sublim.evidence.adapter import in_table
from sublim.evidence.source import Source
from sublim.evidence.weights import Tensor
from sublim.learn.tables import TrainingSteps
from sublim.models.adapter import WEIGHTS as ADAPTER
from sublim.models.hub import CONFIG, WEIGHTS

_FREE = frozenset({"transformers_version", "dtype", "torch_dtype", "use_cache"})
"""What in a configuration says nothing of the function that it gives."""
_ENOUGH = 4 * weights.CERTAIN**2  #: Numbers of a model in which its origin shows.


def trained(source: Source, cell: str, base: str) -> Iterator[Accident]:
    """What does not hold in the model `cell`, which was trained from its input `base`."""
    if ADAPTER in source.record(cell).outputs:
        yield Accident("weights", f"expected all weights in {WEIGHTS} and nothing beside, found {ADAPTER} as well")
    found = weights.tensors(source.path(cell, WEIGHTS))
    yield from in_table(source, cell, found)
    yield from grew(source, cell, base, found)


def grew(source: Source, cell: str, base: str, found: dict[str, Tensor]) -> Iterator[Accident]:
    """What does not hold in the tensors `found` of the model `cell`, which were to be those of its input `base` and trained."""
    origin = source.upstream(cell, base)
    if origin is None:
        return
    yield from _same_configuration(source, cell, origin)
    own = _tensors(source, origin)
    if not own:
        return
    fits = list(_fits(source, origin, own, found))
    yield from fits
    if not fits:
        yield from _grown(source, cell, origin, own, found)


def _same_configuration(source: Source, cell: str, base: str) -> Iterator[Accident]:
    if not source.has(base, CONFIG):
        return
    due, found = source.json(base, CONFIG), source.json(cell, CONFIG)
    for name in sorted(due.keys() & found.keys() - _FREE):
        one, other = due[name], found[name]
        # transformers rewrites lists and mappings of older configurations, and what is not set.
        if isinstance(one, bool | int | float | str) and type(other) is type(one) and one != other:
            yield Accident("config", f"{CONFIG}: expected {name} {one!r} as its base has it, found {other!r}")
            return


def _fits(source: Source, base: str, own: dict[str, Tensor], found: dict[str, Tensor]) -> Iterator[Accident]:
    """Whether the tensors are those of the base, none of them as before where all are."""
    # A model made elsewhere may be stored by other names than transformers saves it under.
    names = own.keys() | found.keys() if source.has(base, TrainingSteps.file) else own.keys() & found.keys()
    form = {name: [(each[name].shape, each[name].dtype) if name in each else None for each in (own, found)] for name in names}
    if odd := sorted(name for name, (due, has) in form.items() if due != has):
        due, has = form[odd[0]]
        said = (
            f"expected {odd[0]} of {due} as {base} has it, found {has or 'none'}" if due else f"expected no {odd[0]}, found one"
        )
        yield Accident("weights", f"{said}; {len(odd)} such in all")
    elif names and all(own[name].sha256() == found[name].sha256() for name in names):
        yield Accident("weights", f"expected weights that training has changed, found those of {base}")


def _grown(source: Source, cell: str, base: str, own: dict[str, Tensor], found: dict[str, Tensor]) -> Iterator[Accident]:
    """Training moves weights by little steps: what they were stays visible in them. They are set beside those of all bases but
    itself, and what comes of it."""
    names = sorted(name for name in own.keys() & found.keys() if len(own[name].shape) == 2)
    numbers = weights.grown([found[name] for name in names])
    if len(numbers) < _ENOUGH:
        return

    def before(cell: str) -> NDArray[np.float64]:
        """The numbers in these places of another base; nothing, if it has no such places."""
        there = own if cell == base else _tensors(source, cell)
        alike = all(name in there and there[name].shape == own[name].shape for name in names)
        return weights.grown([there[name] for name in names]) if alike else np.empty(0)

    others = [other for other in source.tree.cells(stage_of(base).name) if cell not in source.tree.upstream([other])]
    bases = [base, *(other for other in others if other != base)]
    held = {each: source.once(("origin", base, len(numbers), each), partial(before, each)) for each in bases}
    like = {each: weights.likeness(numbers, start) for each, start in held.items()}
    said = f"expected weights that grew from those of {base}, found"
    nearest = max(bases, key=lambda each: like[each])  # the first of several: it itself, of models with two names
    if like[nearest] < weights.CERTAIN:
        yield Accident("weights", f"{said} no trace of them")
    elif nearest != base:
        yield Accident("weights", f"{said} those of {nearest}", also=(nearest,))


def _tensors(source: Source, cell: str) -> dict[str, Tensor]:
    """The tensors in all files of the model `cell`; nothing, if they are not in the tree."""
    names = [name for name in source.record(cell).outputs if name.endswith(".safetensors")]
    if not all(source.has(cell, name) for name in names):
        return {}
    return {name: tensor for file in names for name, tensor in weights.tensors(source.path(cell, file)).items()}
