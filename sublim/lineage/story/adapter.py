"""The story of an adapter: it fits its base, is as the params say, and grew from the initial weights of its own seed.

What content can tell: an adapter of another base, rank or choice of weights does not fit; two swapped ones are told apart by
what they started from (`weights`), though their tables and records may have been rewritten to agree. What it cannot tell is
whether the steps that were put down are what made this adapter of those initial weights, or whether an evaluation asked this
very adapter. Only making it again can (`sublim audit --replay`).
"""

import re
from collections.abc import Iterator, Mapping
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sublim.common.canonical import row_id, row_seed
from sublim.common.files import sha256
from sublim.lineage.finding import UNVERIFIABLE
from sublim.lineage.story import weights
from sublim.lineage.story.accident import Accident
from sublim.lineage.story.source import Source, recorded_path
from sublim.lineage.story.weights import Tensor
from sublim.params.learning import Lora
from sublim.plan.record import Plan

TENSORS = {
    "name": pl.String,
    "shape": pl.List(pl.Int64),
    "dtype": pl.String,
    "sha256": pl.String,
    "norm": pl.Float64,
}
FILE = "adapter_model.safetensors"
_SAME = 1e-6
_PARTS = re.compile(r"\Abase_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight\Z")


def check(source: Source, cell: str, lora: Lora, way: float) -> Iterator[Accident]:
    """What does not hold in the adapter of a teacher or student. `way` is the sum of its learning rates."""
    base = source.record(cell).inputs["base"].cell
    config = source.json(cell, "adapter_config.json")
    said = {
        "base_model_name_or_path": recorded_path(base), "peft_type": "LORA", "r": lora.rank, "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
    }  # fmt: skip
    for name, expected in said.items():
        if config.get(name) != expected:
            yield Accident("adapter", f"adapter_config.json: expected {name} {expected!r}, found {config.get(name)!r}")
    found = weights.tensors(source.path(cell, FILE))
    yield from in_table(source, cell, found)
    upstream = source.upstream(cell, "base")
    fits = list(_fits(source, upstream, lora, config.get("target_modules"), found))
    yield from fits
    if not fits:
        yield from _own(source, cell, found, way)


def brought(source: Source, cell: str, files: Mapping[str, str]) -> Iterator[Accident]:
    """What does not hold in an adapter that was made elsewhere, of the `files` (name → sha256) that the plan names."""
    found = weights.tensors(source.path(cell, FILE))
    if sha256(source.path(cell, FILE)) != files.get(FILE):
        yield Accident("adapter", f"{FILE}: expected the file that was given, with sha256 {files.get(FILE)}, found another")
    expected = recorded_path(source.record(cell).inputs["base"].cell)
    if (named := source.json(cell, "adapter_config.json").get("base_model_name_or_path")) != expected:
        yield Accident("adapter", f"adapter_config.json: expected base_model_name_or_path {expected!r}, found {named!r}")
    yield from in_table(source, cell, found)


def in_table(source: Source, cell: str, found: dict[str, Tensor]) -> Iterator[Accident]:
    """Whether tensors.parquet says what is in the files of weights."""
    table = source.table(cell, "tensors.parquet", TENSORS)
    names = sorted(found)
    if table["name"].to_list() != names:
        lost = sorted({*names} ^ {*table["name"].to_list()})
        yield Accident(
            "weights", f"tensors.parquet: expected the {len(names)} tensors of the weights, found others, first {lost[:1]}"
        )
        return
    for row in table.iter_rows(named=True):
        tensor = found[row["name"]]
        actual = {"shape": list(tensor.shape), "dtype": tensor.dtype, "sha256": tensor.sha256()}
        wrong = [name for name, value in actual.items() if row[name] != value]
        norm = tensor.norm() if not wrong else None
        if norm is not None and not np.isclose(row["norm"], norm, rtol=_SAME, atol=0):
            wrong, actual = ["norm"], {"norm": norm}
        if wrong:
            yield Accident(
                "weights",
                f"{row['name']}: expected {wrong[0]} {row[wrong[0]]} as in tensors.parquet, found {actual[wrong[0]]}",
            )
            return


def _fits(source: Source, base: str | None, lora: Lora, targets: object, found: dict[str, Tensor]) -> Iterator[Accident]:
    """Whether each pair of maps belongs to a linear map of the base and has its shape, and those of the params are there."""
    parts = {name: match for name in found if (match := _PARTS.match(name))}
    if strange := sorted(found.keys() - parts.keys()):
        yield Accident("adapter", f"expected pairs of maps of low rank, found {strange[0]}")
        return
    modules = sorted({match["module"] for match in parts.values()})
    ends = [str(end) for end in cast("list[object]", targets)] if isinstance(targets, list) else []
    for module in modules:
        if not any(module == end or module.endswith(f".{end}") for end in ends):
            yield Accident("adapter", f"expected weights for target_modules {ends} alone, found some for {module}")
            return
    if base is None:
        return
    shapes = _shapes(source, base)
    for module in modules:
        down, up = (found.get(f"base_model.model.{module}.lora_{side}.weight") for side in "AB")
        of_base = shapes.get(f"{module}.weight")
        if down is None or up is None or of_base is None:
            yield Accident(
                "adapter", f"expected a pair of maps for each of the base's linear maps, found {module}, which is none"
            )
            return
        pair = (up.shape[0], down.shape[1]) if len(up.shape) == len(down.shape) == 2 else ()
        if down.shape[0] != lora.rank or up.shape[1:] != (lora.rank,) or pair not in (of_base, of_base[::-1]):
            yield Accident(
                "adapter",
                f"expected rank {lora.rank} and the base's {of_base} for {module}, found {down.shape} and {up.shape}",
            )
            return
    yield from _chosen(source, base, lora, modules, shapes)


def _chosen(
    source: Source, base: str, lora: Lora, modules: list[str], shapes: dict[str, tuple[int, ...]]
) -> Iterator[Accident]:
    maps = [name.removesuffix(".weight") for name, shape in shapes.items() if _linear(name, shape)]
    attention = {name for name in maps if any("attention" in part or "attn" in part for part in name.split(".")[:-1])}
    match lora.targets:
        case "attention":
            chosen = attention
        case "mlp":
            chosen = set(maps) - attention
        case "all-linear":
            chosen = set(maps)
        case names:
            chosen = {name for name in maps if any(name == end or name.endswith(f".{end}") for end in names)}
    strange = sorted(set(modules) - chosen)
    # Of a model made elsewhere a matrix in a block may be something else than a linear map: what is missing proves nothing.
    missing = sorted(chosen - set(modules)) if source.has(base, "corpus.parquet") else []
    if strange or missing:
        said = f"also {strange[0]}" if strange else f"none for {missing[0]}"
        yield Accident("adapter", f"expected weights for {lora.targets} of {base}, found {said}")


def _linear(name: str, shape: tuple[int, ...]) -> bool:
    return name.endswith(".weight") and len(shape) == 2 and any(part.isdigit() for part in name.split("."))


def _shapes(source: Source, base: str) -> dict[str, tuple[int, ...]]:
    def compute() -> dict[str, tuple[int, ...]]:
        table = source.table(base, "tensors.parquet", TENSORS)
        return {name: tuple(shape) for name, shape in table.select("name", "shape").iter_rows()}

    return source.once(("shapes", base), compute)


def _own(source: Source, cell: str, found: dict[str, Tensor], way: float) -> Iterator[Accident]:
    maps = weights.downwards(found)
    trained = weights.grown(maps)
    shapes = tuple(each.shape for each in maps)
    own = _initial(source, source.record(cell).plan, shapes)
    if weights.likeness(trained, own) >= weights.CERTAIN:
        return
    others = [other for stage in ("teacher", "student") for other in source.tree.cells(stage) if other != cell]
    for other in others:
        if weights.likeness(trained, _initial(source, source.record(other).plan, shapes)) >= weights.CERTAIN:
            yield Accident(
                "adapter", f"expected weights that grew from those of its own seed, found those of {other}", also=(other,)
            )
            return
    # A short way cannot lead far from where it began; a long one may, and then that no trace is left says nothing.
    short = len(trained) >= 4 * weights.CERTAIN**2 and way <= min((shape[1] ** -0.5 for shape in shapes), default=0.0)
    if short or weights.visible(trained, own) >= 2 * weights.CERTAIN:
        yield Accident(
            "adapter",
            "expected weights that grew from those of its own seed, found no trace of them",
            status=Accident.status if short else UNVERIFIABLE,
        )


def _initial(source: Source, plan: Plan, shapes: tuple[tuple[int, ...], ...]) -> NDArray[np.float64]:
    seed = row_seed(row_id(plan.stage, *plan.dims.values(), "adapter"))
    return source.once(("initial", plan.cell, shapes), lambda: weights.initial(shapes, seed))
