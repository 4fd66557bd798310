"""The story of an adapter: it fits its base, is as the params say, and grew from the initial weights of its own seed.

What content can tell: an adapter of another base, rank or choice of weights does not fit; two swapped ones are told apart by
what they started from (`weights`), though their tables and records may have been rewritten to agree. What it cannot tell is
whether the steps that were put down are what made this adapter of those initial weights, or whether an evaluation asked this
very adapter. Only making it again can (`sublim audit --replay`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from sublim.common.files import sha256
from sublim.engine.record import Plan
from sublim.evidence import training, weights
from sublim.evidence.accident import Accident
from sublim.evidence.finding import UNVERIFIABLE
from sublim.evidence.source import Source, recorded_path
from sublim.evidence.weights import Tensor
from sublim.learn.tables import TrainingSteps, WeightTensors
from sublim.models.adapter import CONFIG, WEIGHTS
from sublim.models.hub import WEIGHTS as MODEL
from sublim.params.learning import Lora

_SAME = 1e-6
_OFF: tuple[object, ...] = (None, False, {}, [])  #: How peft writes down that something is not used.
_FREE = frozenset({"fan_in_fan_out", "megatron_core", "peft_version", "qalora_group_size", "target_modules"})
"""What in an adapter's configuration says nothing of the function that it gives: which way round a map is stored (peft corrects
that), settings of what is off. `target_modules` are compared with the weights."""
_PARTS = re.compile(r"\Abase_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight\Z")


def trained(source: Source, cell: str, base: str, lora: Lora, travel: float) -> Iterator[Accident]:
    """What does not hold in the adapter `cell` of its input `base`, which was to be `lora`. `travel`: about as far as training
    can have taken a weight."""
    model = source.record(cell).inputs[base].cell
    config = source.json(cell, CONFIG)
    due = {"base_model_name_or_path": recorded_path(model), "peft_type": "LORA", "r": lora.rank}
    due |= {"lora_alpha": lora.alpha, "lora_dropout": lora.dropout, "bias": "none"}
    due |= {"init_lora_weights": True, "inference_mode": True, "task_type": "CAUSAL_LM"}
    for name in sorted(due.keys() | config.keys() - _FREE):
        # What the params do not say is off: scaling by rank, ranks and scales of single maps, weights beside the adapter's.
        expected = due.get(name, config.get(name) if config.get(name) in _OFF else None)
        if config.get(name) != expected:
            yield Accident("adapter", f"{CONFIG}: expected {name} {expected!r}, found {config.get(name)!r}")
            break
    if MODEL in source.record(cell).outputs:
        yield Accident("adapter", f"expected an adapter and nothing beside, found {MODEL} as well")
    found = weights.tensors(source.path(cell, WEIGHTS))
    yield from in_table(source, cell, found)
    fits = list(_fits(source, source.upstream(cell, base), lora, config.get("target_modules"), found))
    yield from fits
    if not fits:
        yield from _own(source, cell, found, travel)


def brought(source: Source, cell: str, base: str, files: Mapping[str, str]) -> Iterator[Accident]:
    """What does not hold in an adapter of the input `base` that was made elsewhere, of the `files` (name → sha256) that the
    plan names."""
    found = weights.tensors(source.path(cell, WEIGHTS))
    if sha256(source.path(cell, WEIGHTS)) != files.get(WEIGHTS):
        yield Accident(
            "adapter", f"{WEIGHTS}: expected the file that was given, with sha256 {files.get(WEIGHTS)}, found another"
        )
    expected = recorded_path(source.record(cell).inputs[base].cell)
    if (named := source.json(cell, CONFIG).get("base_model_name_or_path")) != expected:
        yield Accident("adapter", f"{CONFIG}: expected base_model_name_or_path {expected!r}, found {named!r}")
    yield from in_table(source, cell, found)


def in_table(source: Source, cell: str, found: dict[str, Tensor]) -> Iterator[Accident]:
    """Whether tensors.parquet says what is in the files of weights."""
    table = source.table(cell, WeightTensors)
    names = sorted(found)
    if table["name"].to_list() != names:
        lost = sorted({*names} ^ {*table["name"].to_list()})
        said = f"expected the {len(names)} tensors of the weights, found others, first {lost[:1]}"
        yield Accident("weights", f"tensors.parquet: {said}")
        return
    for row in table.iter_rows(named=True):
        tensor = found[row["name"]]
        actual = {"shape": list(tensor.shape), "dtype": tensor.dtype, "sha256": tensor.sha256()}
        wrong = [name for name, value in actual.items() if row[name] != value]
        norm = tensor.norm() if not wrong else None
        if norm is not None and not np.isclose(row["norm"], norm, rtol=_SAME, atol=0):
            wrong, actual = ["norm"], {"norm": norm}
        if wrong:
            said = f"expected {wrong[0]} {row[wrong[0]]} as in tensors.parquet, found {actual[wrong[0]]}"
            yield Accident("weights", f"{row['name']}: {said}")
            return


def _fits(source: Source, base: str | None, lora: Lora, targets: object, found: dict[str, Tensor]) -> Iterator[Accident]:
    """Whether each pair of maps belongs to a linear map of the base and has its shape, and those of the params are there."""
    parts = {name: match for name in found if (match := _PARTS.match(name))}
    if strange := sorted(found.keys() - parts.keys()):
        yield Accident("adapter", f"expected pairs of maps of low rank, found {strange[0]}")
        return
    modules = sorted({match["module"] for match in parts.values()})
    ends = [str(end) for end in cast("list[object]", targets)] if isinstance(targets, list) else []
    if others := [module for module in modules if not _ends(module, ends)]:
        yield Accident("adapter", f"expected weights for target_modules {ends} alone, found some for {others[0]}")
        return
    if unused := [end for end in ends if not any(_ends(module, [end]) for module in modules)]:
        yield Accident("adapter", f"expected weights for each of target_modules, found none for {unused[0]}")
        return
    if base is None:
        return
    table = source.once(("tensors", base), lambda: source.table(base, WeightTensors).select("name", "shape"))
    shapes: dict[str, tuple[int, ...]] = {name: tuple(shape) for name, shape in table.iter_rows()}
    for module in modules:
        down, up = (found.get(f"base_model.model.{module}.lora_{side}.weight") for side in "AB")
        of_base = shapes.get(f"{module}.weight")
        if down is None or up is None or of_base is None:
            said = f"expected a pair of maps for each of the base's linear maps, found {module}, which is none"
            yield Accident("adapter", said)
            return
        pair = (up.shape[0], down.shape[1]) if len(up.shape) == len(down.shape) == 2 else ()
        if down.shape[0] != lora.rank or up.shape[1:] != (lora.rank,) or pair not in (of_base, of_base[::-1]):
            said = f"expected rank {lora.rank} and the base's {of_base} for {module}, found {down.shape} and {up.shape}"
            yield Accident("adapter", said)
            return
    yield from _chosen(source, base, lora, modules, shapes)


def _chosen(
    source: Source, base: str, lora: Lora, modules: list[str], shapes: dict[str, tuple[int, ...]]
) -> Iterator[Accident]:
    maps = {name.removesuffix(".weight") for name, shape in shapes.items() if _linear(name, shape)}
    attention = {name for name in maps if any("attention" in part or "attn" in part for part in name.split(".")[:-1])}
    match lora.targets:
        case "attention":
            chosen = attention
        case "mlp":
            chosen = maps - attention
        case "all-linear":
            chosen = maps
        case names:
            chosen = {name for name in maps if _ends(name, names)}
    strange = sorted(set(modules) - chosen)
    # Of a model made elsewhere a matrix in a block may be something else than a linear map: what is missing proves nothing.
    missing = sorted(chosen - set(modules)) if source.has(base, TrainingSteps.file) else []
    if strange or missing:
        said = f"also {strange[0]}" if strange else f"none for {missing[0]}"
        yield Accident("adapter", f"expected weights for {lora.targets} of {base}, found {said}")


def _ends(name: str, ends: Iterable[str]) -> bool:
    return any(name == end or name.endswith(f".{end}") for end in ends)


def _linear(name: str, shape: tuple[int, ...]) -> bool:
    return name.endswith(".weight") and len(shape) == 2 and any(part.isdigit() for part in name.split("."))


def _own(source: Source, cell: str, found: dict[str, Tensor], travel: float) -> Iterator[Accident]:
    maps = weights.downwards(found)
    trained = weights.grown(maps)
    shapes = tuple(each.shape for each in maps)
    own = _initial(source, source.record(cell).plan, shapes)
    if weights.likeness(trained, own) >= weights.CERTAIN:
        return
    said = "expected weights that grew from those of its own seed, found"
    others = {
        other: record.plan for other, record in source.tree.records.items() if other != cell and WEIGHTS in record.outputs
    }
    for other, plan in others.items():
        if weights.likeness(trained, _initial(source, plan, shapes)) >= weights.CERTAIN:
            yield Accident("adapter", f"{said} those of {other}", also=(other,))
            return
    # A short way cannot lead far from where it began; a long one may, and then that no trace is left says nothing.
    short = len(trained) >= 4 * weights.CERTAIN**2 and travel <= min((shape[1] ** -0.5 for shape in shapes), default=0.0)
    if short or weights.visible(trained, own) >= 2 * weights.CERTAIN:
        yield Accident("adapter", f"{said} no trace of them", Accident.status if short else UNVERIFIABLE)


def _initial(source: Source, plan: Plan, shapes: tuple[tuple[int, ...], ...]) -> NDArray[np.float64]:
    seed = training.seed(plan, "adapter")
    return source.once(("initial", seed, shapes), lambda: weights.initial(shapes, seed))
