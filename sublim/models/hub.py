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
from sublim.models.template import Template, TemplateError
from sublim.models.weights import WeightsError, header
from sublim.params.elsewhere import HubModel, Templated

WEIGHTS, INDEX, CONFIG, TOKENIZER = "model.safetensors", "model.safetensors.index.json", "config.json", "tokenizer_config.json"
TEMPLATE, SOURCE, ADAPTER = "chat_template.jinja", "source.json", "adapter_config.json"
WHOLE = (CONFIG, "generation_config.json", WEIGHTS)  #: What is kept of a model all of whose weights are trained here.
# Everything that the Auto classes read. Nothing else is looked at or copied.
FILES = (
    CONFIG, "generation_config.json", TOKENIZER, "tokenizer.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", TEMPLATE,
)  # fmt: skip
# Formats that run code when they are read, or may.
PICKLED = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz"})
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
RUN = frozenset({"auto_map", "custom_pipelines", "custom_pipeline", "custom_generate"})  #: Keys that name code to be run.
PLAIN = frozenset({"BF16", "F16", "F32", "F64"})  #: Types of weights that are their own values.
MAX_JSON = 1 << 29  #: Bytes; a tokenizer's vocabulary may be large.


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


def verify(folder: Path, variables: Mapping[str, Any] | None = None, own: Path | None = None) -> tuple[str, ...]:
    """The names of the files in `folder` that make the model, sorted. `variables` are what the chat template is rendered
    with beside special tokens; `own` is the file of a template that takes the place of the model's. Raises ModelError:
    `folder`, its configuration, its tokenizer, its chat template or its weights are missing; weights in a format that can
    run code; code of the model's own (`auto_map`) or of the hub; an adapter beside the model; quantized weights; a link or
    a name that leads out of `folder`; broken safetensors, or others than their index says; a chat template that cannot be
    rendered, or not within bounds, or does not write a conversation as it writes its prompt."""
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
        if path.name in _SETTINGS and (code := asks_to_run(_json(path))):
            raise ModelError(
                f"{path}: {code} asks to run code that comes with the model, which is refused: "
                "use a model that transformers knows by itself"
            )
    if (folder / ADAPTER).exists():  # transformers would load the base that it names, from wherever that is
        raise ModelError(
            f"{folder / ADAPTER}: expected a model by itself, found an adapter beside it, which transformers would load in its "
            "place: merge it (merge_and_unload, save_pretrained), or take it out of the folder"
        )
    config = _json(folder / CONFIG)
    if config.get("transformers_weights") is not None:
        raise ModelError(
            f"{folder / CONFIG}: transformers_weights: expected the weights in {WEIGHTS} or the files of {INDEX}, found "
            f"{config['transformers_weights']!r}, which transformers would load in their place: rename it"
        )
    if (kernel := _kernel(config)) is not None:
        raise ModelError(
            f"{folder / CONFIG}: {kernel[0]}: {kernel[1]!r} asks to run code of the hub, which is refused: take the key out"
        )
    if not isinstance(config.get("model_type"), str):
        raise ModelError(
            f"{folder / CONFIG}: expected model_type, the name of an architecture, found {config.get('model_type')!r}"
        )
    if config.get("quantization_config") is not None:
        raise ModelError(
            f"{folder / CONFIG}: quantization_config: expected plain weights, found quantized ones, on which nothing here was "
            "measured: take the model in its own precision, or dequantize it and save it again"
        )
    _check_weights(folder)
    _check_template(folder, variables or {}, own)
    return names


def _copy(folder: Path, params: HubModel, expected: Mapping[str, str], output: Path, progress: Progress) -> None:
    names = verify(folder, params.variables, params.template_file)
    track = progress.start("copy", len(names), "file")
    for name in names:
        if name != TEMPLATE or params.template_file is None:
            _put(folder / name, output / name, expected)
        track.advance()
    # Where on this machine a folder lay says nothing about the model; its digests do.
    finish(params, {"repo": params.repo, "revision": params.revision}, expected, output)


def finish(params: Templated, origin: Mapping[str, Any], expected: Mapping[str, str], output: Path) -> None:
    """Put the chat template of `params` into `output`, if it gives one, and source.json. Raises ModelError: what was made is
    refused (see `verify`), or the template is another than was planned."""
    if params.template_file is not None:
        _put(params.template_file, output / TEMPLATE, expected)
    note(origin, params.variables, output)


def note(origin: Mapping[str, Any], template: Mapping[str, Any], output: Path) -> None:
    """Write source.json to `output`: its `origin`, the variables of its chat template, and the digest of each file. Raises
    ModelError: what is there is refused (see `verify`)."""
    source: dict[str, Any] = {**origin, "files": {name: sha256(output / name) for name in verify(output, template)}}
    if template:
        source["template"] = dict(template)
    write_text(output / SOURCE, json.dumps(source, indent=2, sort_keys=True) + "\n")


def _put(source: Path, target: Path, expected: Mapping[str, str]) -> None:
    shutil.copyfile(source, target)
    found = sha256(target)
    if expected.get(target.name, found) != found:
        raise ModelError(
            f"{source}: expected the file of sha256 {expected[target.name]} that the run was planned with, found {found}: "
            "it was changed meanwhile; start the run again"
        )


def variables(folder: Path) -> dict[str, Any]:
    """What the chat template is rendered with by source.json in `folder`; nothing if there is none. Raises ModelError: it says
    something else."""
    source = folder / SOURCE
    found: object = _json(source).get("template", {}) if source.is_file() else {}
    values = cast("dict[str, object]", found).values() if isinstance(found, dict) else ()
    if not isinstance(found, dict) or not all(isinstance(value, bool | int | str) for value in values):
        raise ModelError(f"{source}: template: expected names of variables with true, false, numbers or texts, found {found!r}")
    return cast("dict[str, Any]", found)


def _weights(folder: Path) -> Iterator[str]:
    index = folder / INDEX
    if (folder / WEIGHTS).exists():
        yield WEIGHTS
    elif index.exists():
        _check_inside(folder, INDEX)
        yield INDEX
        yield from sorted(set(_shards(index).values()))
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


def _shards(index: Path) -> dict[str, str]:
    """Tensor → the file that it is in, by the index of a sharded model. Raises ModelError: it says something else."""
    shards: Any = _json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ModelError(f"{index}: expected a weight_map of tensor names to files, found another value")
    for name, shard in cast("dict[str, object]", shards).items():
        if not isinstance(shard, str):
            raise ModelError(f"{index}: expected the name of a file for {name}, found {shard!r}")
    return cast("dict[str, str]", shards)


def _check_weights(folder: Path) -> None:
    names = [name for name in _weights(folder) if name != INDEX]
    for name in names:
        if not name.endswith(".safetensors"):  # whatever is in it, the loader would take it for a pickle
            raise ModelError(f"{folder / name}: expected weights as safetensors only, found a file that could be anything else")
    try:
        found = {name: header(folder / name) for name in names}
    except WeightsError as error:
        raise ModelError(str(error)) from error
    for name, tensors in found.items():
        for tensor, stored in tensors.items():
            if stored.dtype.startswith(("F8", "F6", "F4")) or (tensor.endswith(".weight") and stored.dtype not in PLAIN):
                raise ModelError(
                    f"{folder / name}: expected plain weights, found {tensor} as {stored.dtype}: quantized ones would be taken "
                    "for the numbers themselves. Take the model in its own precision, or dequantize it and save it again"
                )
    if WEIGHTS in found:
        return
    index = folder / INDEX
    due, there = _shards(index), {tensor: name for name, tensors in found.items() for tensor in tensors}
    count = sum(map(len, found.values()))
    if due != there or count != len(there):
        odd = [*sorted(due.items() ^ there.items()), "a tensor in two files"]
        raise ModelError(f"{index}: expected each tensor in one file, that of the index, found otherwise: {odd[0]}")


def _check_template(folder: Path, variables: Mapping[str, Any], given: Path | None) -> None:
    """Render the template once, with the special tokens that the tokenizer's configuration names."""
    config, own = _json(folder / TOKENIZER), given or folder / TEMPLATE
    text: Any = _text(own) if own.exists() else config.get("chat_template")
    if isinstance(text, list):  # several, by name
        each = [cast("dict[str, Any]", one) for one in cast("list[object]", text) if isinstance(one, dict)]
        text = next((one.get("template") for one in each if one.get("name") == "default"), None)
    if not isinstance(text, str) or not text:
        raise ModelError(
            f"{folder}: expected a chat template ({TEMPLATE}, or chat_template in {TOKENIZER}; of several one named "
            f"`default`), found {'none' if text is None else repr(text)[:60]}. A base model has none: give it one in the "
            "experiment file (`template: plain`, or the path of a Jinja file)"
        )
    tokens = {name: _token(config.get(name)) for name in NAMED if config.get(name) is not None}
    try:
        _ = Template(text, {**tokens, **variables}).form
    except TemplateError as error:
        raise ModelError(f"{own if own.exists() else folder / TOKENIZER}: {error}") from error


def _text(path: Path) -> str:
    """What is in it. Raises ModelError: no UTF-8, or a mark of byte order, which a template would write before every prompt."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: expected UTF-8, found other bytes ({error}): save it again as UTF-8") from None
    if text.startswith("\ufeff"):
        raise ModelError(f"{path}: expected text alone, found a mark of byte order at its beginning: save it again without one")
    return text


def _token(said: object) -> str:
    return str(cast("dict[str, Any]", said).get("content") if isinstance(said, dict) else said)


_SETTINGS = frozenset({CONFIG, TOKENIZER, "generation_config.json", "special_tokens_map.json", "added_tokens.json"})


def _kernel(value: object) -> tuple[str, str] | None:
    """A key and its value, however deep, by which a configuration has transformers load an implementation from the hub."""
    if isinstance(value, list):
        return next(filter(None, map(_kernel, cast("list[object]", value))), None)
    if not isinstance(value, dict):
        return None
    for key, inside in cast("dict[str, object]", value).items():
        if "implementation" in key and isinstance(inside, str) and "/" in inside:
            return key, inside
        if (found := _kernel(inside)) is not None:
            return found
    return None


def asks_to_run(value: object) -> str | None:
    """The first key in a JSON value, however deep, by which transformers is told to run code that lies beside a model; None if
    there is none."""
    return min(RUN & set(_keys(value)), default=None)


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inside in cast("dict[str, object]", value).items():
            yield key
            yield from _keys(inside)
    elif isinstance(value, list):
        for inside in cast("list[object]", value):
            yield from _keys(inside)


def _json(path: Path) -> dict[str, Any]:
    if (size := path.stat().st_size) > MAX_JSON:
        raise ModelError(f"{path}: expected at most {MAX_JSON:,} bytes, found {size:,}")
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: expected JSON ({error})") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return cast("dict[str, Any]", content)
