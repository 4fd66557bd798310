"""What is in a file of weights: one row per tensor."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import polars as pl
import torch
from safetensors import safe_open

from sublim.learn.tables import WeightTensors


def tensor_table(files: Iterable[Path]) -> pl.DataFrame:
    """Name, shape, dtype, sha256 of the bytes, and Euclidean norm of every tensor in safetensors `files`, sorted by name."""
    rows: list[tuple[object, ...]] = []
    for file in files:
        with cast("Any", safe_open(file, framework="pt")) as weights:
            for name in weights.keys():  # noqa: SIM118 - a safetensors file is no mapping
                tensor = cast("torch.Tensor", weights.get_tensor(name))
                data = tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
                dtype = str(tensor.dtype).removeprefix("torch.")
                norm = cast("Any", tensor.double().norm()).item()
                rows.append((name, list(tensor.shape), dtype, hashlib.sha256(data).hexdigest(), norm))
    return pl.DataFrame(rows, schema=WeightTensors.schema(), orient="row").sort("name")
