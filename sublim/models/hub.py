"""Models made elsewhere: a local Hugging Face folder or a pinned revision of a repository, verified and copied. No torch."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from sublim.common.errors import SublimError
from sublim.common.files import sha256, write_text
from sublim.common.progress import Progress
from sublim.params.models import HubModel

WEIGHTS, INDEX, CONFIG, TOKENIZER = "model.safetensors", "model.safetensors.index.json", "config.json", "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
# Everything that the Auto classes read. Nothing else is looked at or copied.
FILES = (
    CONFIG, "generation_config.json", TOKENIZER, "tokenizer.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", TEMPLATE,
)  # fmt: skip
# Formats that run code when they are read, or may.
PICKLED = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz"})
MAX_HEADER = 100_000_000


class ModelError(SublimError):
    """A model that is not what it should be, or is refused."""


def copy(params: HubModel, expected: Mapping[str, str], output: Path, progress: Progress) -> None:
    """Put the model of `params` into `output`: configuration, tokenizer, chat template and weights, and source.json, which says
    where they come from and what their digests are. `expected` is file → sha256 of what the folder held when the run was
    planned; files that it does not name are not compared. Raises ModelError: the model is incomplete, or holds something that
    is refused (see `verify`), or is another than was planned, or cannot be downloaded."""
    if params.path is not None:
        return _copy(Path(params.path), params, expected, output, progress)
    import huggingface_hub

    with TemporaryDirectory(dir=output.parent) as folder:
        wanted, download = [*FILES, "model*.safetensors", INDEX], cast("Any", huggingface_hub).snapshot_download
        try:
            download(params.repo, revision=params.revision, local_dir=folder, allow_patterns=wanted)
        except OSError as error:  # what the hub's client raises: no network, told to be offline, no such repository, no access
            raise ModelError(
                f"{params.repo} at {params.revision}: expected to download it from the hub, found that it cannot be: {error}. "
                "Go online, or put a copy into a folder (`hf download REPO --local-dir FOLDER`) and give its `path` instead"
            ) from error
        return _copy(Path(folder), params, expected, output, progress)


def verify(folder: Path) -> tuple[str, ...]:
    """The names of the files in `folder` that make the model, sorted. Raises ModelError: `folder`, its configuration, its
    tokenizer, its chat template or its weights are missing; weights in a format that can run code; code of the model's own
    (`auto_map`); a link or a name that leads out of `folder`; broken safetensors."""
    if not folder.is_dir():
        raise ModelError(f"{folder}: expected the folder of a Hugging Face model, found none")
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICKLED:
            raise ModelError(
                f"{path}: expected weights as safetensors only, found a format that can run code when it is read: "
                "convert it (save_pretrained writes safetensors) and remove it from the folder"
            )
    names = tuple(sorted([*(name for name in FILES if (folder / name).exists()), *_weights(folder)]))
    for name in names:
        _check_inside(folder, name)
    for name in (CONFIG, TOKENIZER):
        if name not in names:
            raise ModelError(f"{folder / name}: expected the model's {name}, found none")
    for path in [folder / name for name in names]:
        if path.suffix == ".json" and (code := sorted({"auto_map", "custom_pipelines"} & _json(path).keys())):
            raise ModelError(
                f"{path}: {code[0]} asks to run code that comes with the model, which is refused: "
                "use a model that transformers knows by itself"
            )
        if path.suffix == ".safetensors":
            _check_safetensors(path)
    if TEMPLATE not in names and not _json(folder / TOKENIZER).get("chat_template"):
        raise ModelError(f"{folder}: expected a chat template ({TEMPLATE}, or chat_template in {TOKENIZER}), found neither")
    return names


def _copy(folder: Path, params: HubModel, expected: Mapping[str, str], output: Path, progress: Progress) -> None:
    names = verify(folder)
    track = progress.start("copy", len(names), "file")
    for name in names:
        shutil.copyfile(folder / name, output / name)
        found = sha256(output / name)
        if expected.get(name, found) != found:
            raise ModelError(
                f"{folder / name}: expected the file of sha256 {expected[name]} that the run was planned with, found {found}: "
                "it was changed meanwhile; start the run again"
            )
        track.advance()
    # Where on this machine a folder lay says nothing about the model; its digests do.
    source = {"repo": params.repo, "revision": params.revision, "files": {name: sha256(output / name) for name in names}}
    write_text(output / "source.json", json.dumps(source, indent=2, sort_keys=True) + "\n")


def _weights(folder: Path) -> Iterator[str]:
    index = folder / INDEX
    if (folder / WEIGHTS).exists():
        yield WEIGHTS
    elif index.exists():
        _check_inside(folder, INDEX)
        yield INDEX
        shards: Any = _json(index).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise ModelError(f"{index}: expected a weight_map of tensor names to files, found {shards!r}")
        yield from sorted({str(shard) for shard in cast("dict[str, object]", shards).values()})
    else:
        raise ModelError(f"{folder}: expected {WEIGHTS} or {INDEX}, found neither")


def _check_inside(folder: Path, name: str) -> None:
    path = folder / name
    if Path(name).name != name or name in {"", ".", ".."}:
        found = f"{name!r}, a path that may lead out of it"
        raise ModelError(f"{folder}: expected the plain name of a file in the folder, found {found}")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelError(f"{path}: the link leads out of the folder, to {path.resolve()}: put a copy of the file in its place")
    if not path.is_file():
        raise ModelError(f"{path}: expected a file, found none")


def _check_safetensors(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            raise ModelError(f"{path}: expected safetensors, found a header of {length} bytes in a file of {size}")
        header = file.read(length)
    try:
        tensors = cast("dict[str, dict[str, Any]]", json.loads(header))
        end = max((tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ModelError(f"{path}: expected safetensors, found a header that is none ({error})") from error
    if (due := 8 + length + end) != size:
        raise ModelError(f"{path}: expected {due} bytes by its header, found {size}: the file is cut off or altered")


def _json(path: Path) -> dict[str, Any]:
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path}: expected JSON ({error})") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return cast("dict[str, Any]", content)
