"""How large a model is, by the headers of its weights. No torch."""

import json
from math import prod
from pathlib import Path
from typing import Any, cast


def parameters(folder: Path) -> int:
    """How many parameters the safetensors in the model folder `folder` have; tied ones are stored, and counted, once."""
    found = 0
    for path in folder.glob("model*.safetensors"):
        with path.open("rb") as file:
            header = cast("dict[str, dict[str, Any]]", json.loads(file.read(int.from_bytes(file.read(8), "little"))))
        found += sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    return found
