"""What is in a file of weights: one row per tensor."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import polars as pl
import torch
from safetensors import safe_open


def tensor_table(files: Iterable[Path]) -> pl.DataFrame:
    """Name, shape, dtype, sha256 of the bytes, and Euclidean norm of every tensor in safetensors `files`, sorted by name."""
    rows: list[dict[str, object]] = []
    for file in files:
        with cast("Any", safe_open(file, framework="pt")) as weights:
            for name in weights.keys():  # noqa: SIM118 - a safetensors file is no mapping
                tensor = cast("torch.Tensor", weights.get_tensor(name))
                data = tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
                rows.append(
                    {
                        "name": name,
                        "shape": list(tensor.shape),
                        "dtype": str(tensor.dtype).removeprefix("torch."),
                        "sha256": hashlib.sha256(data).hexdigest(),
                        "norm": tensor.double().norm().item(),
                    }
                )
    schema = {"name": pl.String, "shape": pl.List(pl.Int64), "dtype": pl.String, "sha256": pl.String, "norm": pl.Float64}
    return pl.DataFrame(rows, schema=schema).sort("name")
