"""How large a model is, by the headers of its weights. No torch."""

import json
from math import prod
from pathlib import Path
from typing import Any, cast


def parameters(folder: Path) -> int:
    """How many parameters the safetensors in the model folder `folder` have; tied ones are stored, and counted, once."""
    return sum(_parameters(path) for path in sorted(folder.glob("model*.safetensors")))


def _parameters(path: Path) -> int:
    with path.open("rb") as file:
        header = cast("dict[str, dict[str, Any]]", json.loads(file.read(int.from_bytes(file.read(8), "little"))))
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
