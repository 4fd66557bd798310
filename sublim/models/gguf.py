"""The model in a GGUF file as an ordinary Hugging Face folder. What was quantized is dequantized once; from there on it is a
model like any other, with weights of its own."""

import json
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]
from transformers import AutoModelForCausalLM, AutoTokenizer

from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.models import hub
from sublim.models.hub import ModelError
from sublim.params.elsewhere import GgufModel

NAME = "model.gguf"


def unpack(params: GgufModel, expected: Mapping[str, str], output: Path, progress: Progress) -> None:
    """Put the model of `params` into `output`, with source.json, which says of which file and from which types of numbers it
    was dequantized. `expected`: as of `hub.copy`. Raises ModelError: the file is not there, is another one, cannot be read, or
    what comes out is refused (see `hub.verify`)."""
    track = progress.start("unpack", 4, "step")
    with TemporaryDirectory(dir=output.parent) as scratch:
        file = Path(scratch) / NAME
        _join(params, file)
        track.advance()
        types = _types(file)
        track.advance()
        _convert(file, params.dtype, output)
        track.advance()
    origin = {"gguf": {"sha256": params.sha256, "types": types}, "dtype": params.dtype}
    hub.finish(params, origin, expected, output)
    track.advance()


def _join(params: GgufModel, file: Path) -> None:
    """The pieces of the file as one, compared with its digest."""
    with file.open("wb") as whole:
        for piece in params.pieces:
            if piece.path is None or not piece.path.is_file():
                raise ModelError(f"{piece.file}: expected a piece of a GGUF file, found none ({piece.package or 'no package'})")
            with piece.path.open("rb") as part:
                copyfileobj(part, whole)
    if (found := sha256(file)) != params.sha256:
        names = ", ".join(piece.file for piece in params.pieces)
        raise ModelError(f"{names}: expected the file of sha256 {params.sha256}, found {found}")


def _types(file: Path) -> dict[str, int]:
    """Type of numbers → how many tensors have it."""
    library: Any = import_module("gguf")  # it is no part of the usual installation
    try:
        tensors: list[Any] = library.GGUFReader(file).tensors
    except (ValueError, OSError, IndexError, KeyError) as error:
        raise ModelError(f"expected a GGUF file, found one that cannot be read: {error}") from None
    return dict(sorted(Counter(str(tensor.tensor_type.name) for tensor in tensors).items()))


def _convert(file: Path, dtype: str, output: Path) -> None:
    """Write model, configuration and tokenizer. What transformers loads still calls itself quantized, and cannot be saved: so
    its weights are put into a model of their own, and compared with what is then on the disk."""
    given: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    try:
        loaded, told = cast("Any", AutoModelForCausalLM).from_pretrained(
            file.parent, dtype=torch.float32, output_loading_info=True, **given
        )
        tokenizer: Any = cast("Any", AutoTokenizer).from_pretrained(file.parent, **given)
    except Exception as error:  # whatever a file that makes no sense ends in
        raise ModelError(f"expected a GGUF file that transformers can load, found: {type(error).__name__}: {error}") from error
    if lost := sorted({*told["missing_keys"], *told["unexpected_keys"]}):
        raise ModelError(f"expected every parameter of {type(loaded).__name__} in the file, and no other, found {lost[:8]}")
    config = deepcopy(loaded.config)
    del config.quantization_config
    config.dtype = getattr(torch, dtype)
    weights = {name: tensor.to(config.dtype) for name, tensor in loaded.state_dict().items()}
    with torch.device("meta"):
        model: Any = cast("Any", AutoModelForCausalLM).from_config(config, dtype=config.dtype, trust_remote_code=False)
    model.load_state_dict(weights, assign=True)
    model.tie_weights()
    model.generation_config = loaded.generation_config
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    _plain(output / hub.CONFIG)
    saved = {name: tensor for part in sorted(output.glob("*.safetensors")) for name, tensor in load_file(part).items()}
    if odd := [name for name, tensor in saved.items() if not torch.equal(tensor, weights[name])]:
        raise ModelError(f"expected the weights that were dequantized, found others on the disk: {odd[:8]}")


def _plain(config: Path) -> None:
    """Take out of a configuration where on this machine the file lay."""
    found = json.loads(config.read_text(encoding="utf-8"))
    found.pop("_name_or_path", None)
    config.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")
