"""By how much two files differ, in the terms of what is in them."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl

from sublim.common.reading import json_in, reading
from sublim.engine.verdict import differences

_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def compare(old: Path, new: Path) -> str:
    """By how much `new` differs from `old`: numbers by their largest difference, texts and rows by their count."""
    match old.suffix:
        case ".parquet":
            return _tables(_table(old), _table(new))
        case ".safetensors":
            return _weights(old, new)
        case ".json":
            found = differences(json_in(old), json_in(new))
            return "; ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        case _:
            return f"{old.stat().st_size:,} bytes → {new.stat().st_size:,} other bytes"


def _table(path: Path) -> pl.DataFrame:
    with reading(path):
        return pl.read_parquet(path, hive_partitioning=False)


def _tables(old: pl.DataFrame, new: pl.DataFrame) -> str:
    if old.schema != new.schema or old.height != new.height:
        return f"{old.height:,} rows of {old.columns} → {new.height:,} rows of {new.columns}"
    found: list[str] = []
    for name, type_ in old.schema.items():
        before, now = old[name], new[name]
        differ = before.ne_missing(now)
        if not differ.any():
            continue
        if type_.is_float():
            found.append(f"{name} by at most {_apart(before.to_numpy(), now.to_numpy()):.2g}")
        else:
            found.append(f"{differ.sum():,} of {old.height:,} {name}")
    return ", ".join(found) or "the same rows in other bytes"


def _weights(old: Path, new: Path) -> str:
    with reading(old, shape=True):
        before = tensors(old)
    with reading(new, shape=True):
        now = tensors(new)
    if before.keys() != now.keys() or any(before[name].shape != now[name].shape for name in before):
        return "other tensors"
    worst = max(before, key=lambda name: _apart(before[name], now[name]))
    return f"weights by at most {_apart(before[worst], now[worst]):.2g} ({worst})"


def tensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file as numbers, read without torch: bfloat16, which numpy lacks, as float32."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = cast("dict[str, Any]", json.loads(data[8:start]))
    found: dict[str, np.ndarray] = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            found[name] = _numbers(data[start + first : start + last], entry["dtype"]).reshape(entry["shape"])
    return found


def _numbers(data: bytes, dtype: str) -> np.ndarray:
    if dtype == "BF16":
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, np.dtype(_TYPES[dtype]))


def _apart(old: np.ndarray, new: np.ndarray) -> float:
    if not old.size:
        return 0.0
    apart = np.abs(old.astype(np.float64) - new.astype(np.float64))
    return float(np.nan_to_num(apart, nan=np.inf).max())
