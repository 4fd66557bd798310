"""Safetensors files by their headers: what is in them, and that nothing in them is odd. No torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, cast

from sublim.common.errors import SublimError

MAX_HEADER = 100_000_000
MAX_DIMENSIONS = 64
BITS: Mapping[str, int] = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "U16": 16,
    "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "C64": 64, "U64": 64, "I64": 64, "F64": 64, "F4": 4,
    "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
"""Data type → bits of an element."""


class WeightsError(SublimError):
    """A file of weights that is no safetensors file, or an odd one."""


@dataclass(frozen=True)
class Stored:
    """A tensor as it lies in a file."""

    dtype: str  #: By its name in the format, e.g. `BF16`.
    shape: tuple[int, ...]
    start: int  #: Where in the file its bytes begin.
    end: int  #: Where they end.


def header(path: Path) -> dict[str, Stored]:
    """Name → place, data type and shape of every tensor in the file at `path`, in the file's order. Raises WeightsError: it is
    no safetensors file; is cut off or longer than it says; a tensor is there twice, overlaps another, leaves a hole, or has not
    as many bytes as its shape takes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            raise WeightsError(f"{path}: expected safetensors, found a header of {length} bytes in a file of {size}")
        written = file.read(length)
    try:
        named: object = json.loads(written.decode(), object_pairs_hook=_once)
        if not isinstance(named, dict):
            raise TypeError(f"a {type(named).__name__} in place of an object")
        tensors = cast("dict[str, Any]", named)
        notes: object = tensors.pop("__metadata__", {})
        if not isinstance(notes, dict) or not all(isinstance(note, str) for note in cast("dict[str, object]", notes).values()):
            raise TypeError("notes (__metadata__) that are no texts")
        found = {name: _tensor(name, each, 8 + length) for name, each in tensors.items()}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise WeightsError(f"{path}: expected safetensors, found a header that is none ({error})") from error
    due = 8 + length
    for name, each in sorted(found.items(), key=lambda named: (named[1].start, named[1].end)):
        if each.start != due:
            what = "overlaps the one before" if each.start < due else "leaves a hole before it"
            raise WeightsError(f"{path}: expected tensors one behind the other, found that {name} {what}")
        due = each.end
    if due != size:
        raise WeightsError(f"{path}: expected {due} bytes by its header, found {size}: the file is cut off or altered")
    return found


def parameters(folder: Path) -> int:
    """How many parameters the safetensors in the model folder `folder` have; tied ones are stored, and counted, once."""
    return sum(prod(stored.shape) for path in folder.glob("*.safetensors") for stored in header(path).values())


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name that is there twice")
    return found


def _tensor(name: str, said: object, start: int) -> Stored:
    if not isinstance(said, dict) or set(cast("dict[str, object]", said)) != {"dtype", "shape", "data_offsets"}:
        raise TypeError(f"{name} without dtype, shape and data_offsets, or with more")
    dtype, shape, offsets = (cast("dict[str, Any]", said)[key] for key in ("dtype", "shape", "data_offsets"))
    if dtype not in BITS:
        raise ValueError(f"{name} of the unknown type {dtype!r}")
    for what, numbers in (("shape", shape), ("data_offsets", offsets)):
        if not isinstance(numbers, list) or any(type(n) is not int or n < 0 for n in cast("list[object]", numbers)):
            raise TypeError(f"{name} with {what} {numbers!r}")
    if len(offsets) != 2 or len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"{name} with data_offsets {offsets!r} and {len(shape)} dimensions")
    if (offsets[1] - offsets[0]) * 8 != prod(shape) * BITS[dtype]:
        raise ValueError(f"{name} of {offsets[1] - offsets[0]} bytes for the shape {shape} of {dtype}")
    return Stored(dtype, tuple(shape), start + offsets[0], start + offsets[1])
