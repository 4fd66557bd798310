"""The keys of an architecture's configuration. transformers keeps a key that it does not know as it is, and uses its default
for the one that was meant."""

import inspect
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, cast

from transformers import AutoConfig, PreTrainedConfig
from transformers.modeling_rope_utils import RopeParameters
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from sublim.common.errors import SublimError

ROPE = "rope_parameters"


class ConfigError(SublimError):
    """A configuration that an architecture cannot have; the message names the key."""


def check(architecture: str, given: Mapping[str, Any]) -> None:
    """Raises ConfigError: transformers knows no such architecture, or that one has no such key."""
    if architecture not in CONFIG_MAPPING:
        near = _near(architecture, [*CONFIG_MAPPING.keys()])
        raise ConfigError(f"architecture: {architecture!r} is no `model_type` that transformers knows{near}")
    _check("config", architecture, cast("Any", CONFIG_MAPPING)[architecture], given)


def _check(where: str, owner: str, configuration: type[PreTrainedConfig], given: Mapping[str, Any]) -> None:
    known, parts = _known(configuration), cast("dict[str, type[Any]]", configuration.sub_configs)
    for key, value in given.items():
        if key not in known:
            raise ConfigError(f"{where}.{key}: the configuration of {owner} has no such key{_near(key, known)}")
        if not isinstance(value, Mapping):
            continue
        inside = cast("Mapping[str, Any]", value)
        if key in parts:
            part = parts[key]
            if part is AutoConfig:
                check(str(inside.get("model_type")), {name: each for name, each in inside.items() if name != "model_type"})
            else:
                _check(f"{where}.{key}", f"{owner}'s {key}", part, inside)
        elif key in (ROPE, "rope_scaling"):
            _check_rope(f"{where}.{key}", inside)


def _check_rope(where: str, given: Mapping[str, Any]) -> None:
    known = [*RopeParameters.__annotations__]
    for key, value in given.items():
        if isinstance(value, Mapping):  # those of a kind of layer
            _check_rope(f"{where}.{key}", cast("Mapping[str, Any]", value))
        elif key not in known:
            raise ConfigError(f"{where}.{key}: rotary embeddings have no such parameter{_near(key, known)}")


def _known(configuration: type[PreTrainedConfig]) -> list[str]:
    """What the class takes: arguments, other names of them, and older names that it looks for itself."""
    named = {*inspect.signature(configuration.__init__).parameters, *configuration.attribute_map}
    methods = ("__init__", "__post_init__", *(("convert_rope_params_to_dict",) if ROPE in named else ()))
    for kind in configuration.__mro__:
        for method in methods:
            if kind is not PreTrainedConfig and (written := vars(kind).get(method)) is not None:
                named |= set(re.findall(r"kwargs\.(?:pop|get|setdefault)\(\s*[\"'](\w+)", _source(written)))
    return sorted(named - {"self", "args", "kwargs"})


def _source(written: Any) -> str:
    try:
        return inspect.getsource(inspect.unwrap(written))
    except (OSError, TypeError):  # made by a decorator
        return ""


def _near(key: str, known: list[str]) -> str:
    close = get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else f"; it has {', '.join(known)}" if len(known) < 60 else ""
