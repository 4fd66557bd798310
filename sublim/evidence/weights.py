"""Weights without torch: what is in a safetensors file, and whether an adapter grew from the initial weights of its own seed.

A LoRA adapter starts from numbers that its seed gives, and training moves it away by little steps: what it started from stays
visible in it. So adapters that were swapped are told apart by content alone, though nothing else in them says whose they are.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sublim.evidence.accident import UnfitError
from sublim.models.weights import WeightsError, header

ENOUGH = 200_000  #: Numbers of an adapter that are compared: a swapped one shows in a few hundred.
CERTAIN = 6.0
"""Standard deviations that a correlation must have to be no coincidence: one in 10⁹ pairs of adapters reaches it by chance."""
PIECE = 1 << 22

_TYPES = {
    "F64": ("float64", "<f8"), "F32": ("float32", "<f4"), "F16": ("float16", "<f2"), "BF16": ("bfloat16", "<u2"),
    "I64": ("int64", "<i8"), "I32": ("int32", "<i4"), "I16": ("int16", "<i2"), "I8": ("int8", "i1"), "U8": ("uint8", "u1"),
    "BOOL": ("bool", "?"),
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """By its name in torch, e.g. `bfloat16`; by its name in the file where torch's is another question (8-bit floats)."""
    data: NDArray[np.generic]  #: Its numbers, flat, as stored: mapped from the file and read when looked at.

    def sha256(self) -> str:
        """sha256 of its bytes."""
        digest = hashlib.sha256()
        for piece in _pieces(self.data):
            digest.update(piece.data)
        return digest.hexdigest()

    def norm(self) -> float | None:
        """Its Euclidean norm; None for numbers that numpy does not know."""
        if self.dtype.startswith("F8"):
            return None
        total = 0.0
        for piece in _pieces(self.data):
            values = numbers(piece, self.dtype).astype(np.float64)
            total += float(np.dot(values, values))
        return math.sqrt(total)

    def values(self) -> NDArray[np.float64]:
        """Its numbers, flat."""
        return numbers(self.data, self.dtype).astype(np.float64)


def tensors(path: Path) -> dict[str, Tensor]:
    """Name → tensor of the safetensors file `path`, read without torch. Raises UnfitError: it is no such file, or is cut
    off."""
    try:
        stored = header(path)
    except (OSError, WeightsError) as error:
        raise UnfitError("weights", f"expected safetensors in {path.name}, found none ({error})") from None
    found: dict[str, Tensor] = {}
    for name, each in stored.items():
        dtype, code = _TYPES.get(each.dtype, (each.dtype, "u1"))
        count = (each.end - each.start) // np.dtype(code).itemsize
        data = np.memmap(path, np.dtype(code), "r", each.start, (count,)) if count else np.empty(0, np.dtype(code))
        found[name] = Tensor(name, each.shape, dtype, data)
    return found


def numbers(data: NDArray[np.generic], dtype: str) -> NDArray[np.generic]:
    """Numbers as stored as numbers that numpy can reckon with: bfloat16 is the upper half of a float32."""
    return (np.asarray(data).astype(np.uint32) << np.uint32(16)).view(np.float32) if dtype == "bfloat16" else data


def downwards(weights: Mapping[str, Tensor]) -> list[Tensor]:
    """The tensors of an adapter that map into the low rank (`lora_A`), in the order in which they were drawn at the start."""
    return [weights[name] for name in sorted(weights) if ".lora_A." in name and len(weights[name].shape) == 2]


def grown(maps: Sequence[Tensor]) -> NDArray[np.float64]:
    """The numbers of these tensors, end to end, up to `ENOUGH`, each tensor scaled to its initial range ± 1."""
    return _joined((each.shape, each.values()) for each in maps) if maps else np.empty(0)


def initial(shapes: Sequence[tuple[int, ...]], seed: int) -> NDArray[np.float64]:
    """What `grown` was before training, for tensors of these shapes: uniform in ± 1/√(inputs), by torch's generator. torch.rand
    takes the lower 24 bits of each number of a Mersenne twister that is seeded with the lower 32 bits."""
    twister = np.random.MT19937()
    cast("Any", twister)._legacy_seeding(seed % (1 << 63) & 0xFFFFFFFF)
    drawn = (twister.random_raw(math.prod(shape)) for shape in shapes)
    scaled = ((((raw & 0xFFFFFF) / (1 << 24)) * 2 - 1) / math.sqrt(shape[1]) for shape, raw in zip(shapes, drawn, strict=True))
    return _joined(zip(shapes, scaled, strict=True))


def likeness(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The correlation of two arrays, in standard deviations of that of unrelated ones; 0 for arrays that cannot be compared."""
    if len(first) != len(second) or len(first) < 2 or not np.isfinite(first).all() or not first.std() or not second.std():
        return 0.0
    return float(np.corrcoef(first, second)[0, 1]) * math.sqrt(len(first))


def visible(trained: NDArray[np.float64], start: NDArray[np.float64]) -> float:
    """The `likeness` that `trained` should have to what it started from, if training moved it regardless of where that was. Of
    402 adapters it was 0.6 to 1.3 of this (docs/log.md). 0 where nothing can be said."""
    spread = float(trained.std()) if len(trained) == len(start) > 1 and np.isfinite(trained).all() else 0.0
    return float(start.std()) / spread * math.sqrt(len(trained)) if spread else 0.0


def _joined(parts: Iterator[tuple[tuple[int, ...], NDArray[np.float64]]] | Any) -> NDArray[np.float64]:
    taken: list[NDArray[np.float64]] = []
    count = 0
    for shape, values in parts:
        taken.append(values * math.sqrt(shape[1]))
        count += len(values)
        if count >= ENOUGH:
            break
    return np.concatenate(taken)[:ENOUGH] if taken else np.empty(0)


def _pieces(data: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    for start in range(0, len(data), PIECE):
        yield np.ascontiguousarray(data[start : start + PIECE])
