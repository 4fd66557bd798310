"""Adapters that were made elsewhere: what must be in their folder, and for which base they are."""

import json
from collections.abc import Collection
from pathlib import Path

from sublim.models.hub import ModelError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PROBES = "probe-*.safetensors"  #: Files of weights, adapters or all, as they were in the course of training.


def probe(updates: int) -> str:
    """The file of the weights after so many updates."""
    return PROBES.replace("*", f"{updates:06}")


def verify(folder: Path, names: Collection[str]) -> tuple[Path, ...]:
    """The two files of the PEFT adapter in `folder`, whose base goes by one of `names`. Raises ModelError: `folder` or one of
    the files is missing, or it is no LoRA adapter, or one of another base."""
    files = tuple(folder / name for name in (CONFIG, WEIGHTS))
    for file in files:
        if not file.is_file():
            raise ModelError(
                f"{file}: expected a PEFT adapter ({CONFIG}, {WEIGHTS}), found no such file, seen from {Path.cwd()}. "
                "Weights in other formats are refused: they can run code when they are read"
            )
    try:
        config = json.loads(files[0].read_text(encoding="utf-8"))
        named: object = config.get("base_model_name_or_path")
    except (ValueError, AttributeError, RecursionError):
        raise ModelError(f"{files[0]}: expected the configuration of a PEFT adapter, found something else") from None
    if config.get("peft_type") != "LORA":
        raise ModelError(
            f"{files[0]}: expected a LoRA adapter (peft_type LORA), found {config.get('peft_type')!r}: of the other kinds, "
            "prompt tuning among them, none can be told from its weights to fit this base"
        )
    if named not in names:
        raise ModelError(
            f"{files[0]}: expected an adapter of {' or '.join(map(repr, sorted(names)))}, found one of {named!r} "
            "(base_model_name_or_path). If that is the same model under another name, correct it there"
        )
    return files
