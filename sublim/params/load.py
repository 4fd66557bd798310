"""Reading an experiment file: YAML 1.2 (as DVC reads it), every mistake with file, line, key and the nearest known key."""

import json
import unicodedata
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from sublim.common.errors import SublimError
from sublim.params import plain
from sublim.params.experiment import Experiment
from sublim.params.kinds import Of, OneOf, WithParts
from sublim.params.trial import TrialError


class ParamsError(SublimError):
    """An experiment file that says something that cannot be meant. The message is for the person who wrote the file."""


def load(path: Path, check: Callable[[Experiment], None] = lambda _: None) -> Experiment:
    """The experiment that the file `path` describes.

    `check` raises ValueError for what only higher layers know to be wrong. A message that begins with `key.subkey: ` is put at
    that key's line.

    Raises:
        ParamsError: the file is missing, cannot be read, is too large or is no YAML of plain values, or a key is unknown,
            missing or doubled, or a value has the wrong type or makes no sense with the others. All mistakes are listed, each
            as `file:line: key: what is wrong`.
    """
    try:
        text = plain.text(path)
        plain.check(text)
    except plain.UnfitError as error:
        raise ParamsError(f"{path}:{error.line}: {error}" if error.line else f"{path}: {error}") from None
    yaml = YAML(typ="rt", pure=True)
    try:
        tree: Any = yaml.load(StringIO(text))  # pyright: ignore[reportUnknownMemberType]
    except MarkedYAMLError as error:
        trouble = cast("Any", error)
        line = trouble.problem_mark.line + 1 if trouble.problem_mark else 1
        raise ParamsError(f"{path}:{line}: {str(trouble.problem or 'this is no YAML').splitlines()[0]}") from None
    if not isinstance(tree, CommentedMap):
        raise ParamsError(f"{path}:1: expected a mapping with the sections {', '.join(Experiment.model_fields)}.")
    # Through JSON: in strict mode a Python list is no tuple, but a JSON array is one.
    written = json.dumps(_composed(tree), allow_nan=False)
    try:
        experiment = Experiment.model_validate_json(written)
        check(experiment)
    except ValidationError as error:
        # That `studies` has no default while something else is wrong is no mistake of anybody's.
        mistakes = [found for found in error.errors() if found["type"] != "default_factory_not_called"]
        lines = sorted({_explain(path, tree, found) for found in mistakes} | _left_out(path, tree, mistakes))
        raise ParamsError("\n".join(text for _, text in lines)) from None
    except ValueError as error:
        said = error.sentences if isinstance(error, TrialError) else (str(error),)
        raise ParamsError("\n".join(_place(path, tree, each)[1] for each in said)) from None
    return experiment


def _composed(node: Any, key: object = None) -> Any:
    """The texts of a tree in Unicode normal form C, but paths: two forms of one name may be two folders."""
    if isinstance(node, dict):
        return {name: _composed(value, name) for name, value in cast("dict[object, Any]", node).items()}
    if isinstance(node, list):
        return [_composed(item, key) for item in cast("list[Any]", node)]
    return unicodedata.normalize("NFC", node) if isinstance(node, str) and key != "path" else node


def _explain(path: Path, tree: CommentedMap, error: ErrorDetails) -> tuple[int, str]:
    keys, line = _locate(tree, error["loc"], written=error["type"] == "model_type")
    key = ".".join(str(part) for part in keys)
    where = f"{path}:{line}: {key}: " if key else f"{path}:{line}: "
    match error["type"]:
        case "extra_forbidden":
            models = _models_at(error["loc"])
            for model in models:
                if keys[-1] in getattr(model, "elsewhere", {}):
                    return line, f"{where}{error['input']} {model.elsewhere[keys[-1]]}"
            known = sorted({name for model in models for name in model.model_fields})
            return line, f"{where}unknown key{_nearest(str(keys[-1]), known)}"
        case "missing":
            return line, f"{where}this key is missing."
        case "union_tag_invalid" | "union_tag_not_found":
            _, line = _locate(tree, (*error["loc"], "kind"))
            kinds = [model.model_fields["kind"].annotation for model in _models_at((*error["loc"], "kind"))]
            names = [name for kind in kinds for name in get_args(kind)]
            tag = error.get("ctx", {}).get("tag")
            said = (
                f"expected a kind, found none; known here: {', '.join(names)}."
                if tag is None
                else f"no kind `{tag}`{_nearest(tag, names)}"
            )
            return line, f"{path}:{line}: {key}.kind: {said}"
        case "value_error" if not error["loc"]:
            return _place(path, tree, error["msg"].removeprefix("Value error, "))
        case "value_error":
            return line, where + error["msg"].removeprefix("Value error, ")
        case _:
            return line, f"{where}{error['msg']}; found {json.dumps(error['input'], ensure_ascii=False, default=str)[:80]}."


def _left_out(path: Path, tree: CommentedMap, mistakes: list[ErrorDetails]) -> set[tuple[int, str]]:
    """The sections without which there is neither a study nor theory. What holds between sections, and so this too, is looked
    at by the model only if each of them is right."""
    if {"mlp", "theorem"} & set(tree) or not all(found["loc"] for found in mistakes):
        return set()
    return {(1, f"{path}:1: {name}: this key is missing.") for name in ("models", "traits", "seeds") if name not in tree}


def _place(path: Path, tree: CommentedMap, message: str) -> tuple[int, str]:
    """A message about several sections at once, at the line of the key that it begins with."""
    _, line = _locate(tree, tuple(message.partition(": ")[0].split(".")))
    return line, f"{path}:{line}: {message}"


def _locate(tree: Any, location: tuple[int | str, ...], *, written: bool = False) -> tuple[list[int | str], int]:
    """The keys of a pydantic location that are really in the file (a union adds the names of its members), and the line. The
    last one may be missing there, unless it is `written`."""
    node, line, keys = tree, 1, list[int | str]()
    for number, part in enumerate(location):
        if isinstance(node, CommentedMap) and part in node:
            line = cast("Any", node).lc.key(part)[0] + 1
            node = cast("Any", node)[part]
        elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
            line = cast("Any", node).lc.item(part)[0] + 1
            node = cast("Any", node)[part]
        elif written or number < len(location) - 1 or not isinstance(node, CommentedMap | CommentedSeq):
            continue
        keys.append(part)
    return keys, int(line)


def _models_at(location: tuple[int | str, ...]) -> list[Any]:
    """The models that may stand around the last key of `location`."""
    models = every = list[Any]([Experiment])
    for part in location[:-1]:
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        inside = [model for field in fields for model in _models_in(field.annotation, field.metadata)]
        # What is called like a kind may also be a name of the experiment's: the kind stands behind it.
        kinds = [(model, model.model_fields.get("kind")) for model in every]  # pydantic puts them into a location
        chosen = [model for model, field in kinds if field and part in get_args(field.annotation)]
        if inside:
            models = every = inside
        elif chosen:
            models = chosen
    return models


def _models_in(annotation: Any, metadata: Sequence[Any] = ()) -> list[Any]:
    for mark in (*metadata, *getattr(annotation, "__metadata__", ())):
        if isinstance(mark, Of | OneOf | WithParts):
            return list(mark.models(getattr(annotation, "__origin__", annotation)))
    if isinstance(annotation, type) and issubclass(cast("type[object]", annotation), BaseModel):
        return [annotation]
    arguments: tuple[Any, ...] = getattr(cast("Any", annotation), "__args__", ())
    return [model for argument in arguments for model in _models_in(argument)]


def _nearest(key: str, known: list[str]) -> str:
    close = get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else f"; known here: {', '.join(known)}."
