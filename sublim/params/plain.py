"""What an experiment file may be, before anything is built of it: a small text of plain values.

Read event by event, without recursion and before an alias is followed, so that no file takes long or much memory.
"""

import math
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import ScalarNode

MOST_BYTES = 1 << 18
MOST_DEEP = 40
MOST_VALUES = 100_000
MOST_DIGITS = 300

_PLAIN = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "null": "nothing"}
_OTHER = {"timestamp": "a date", "binary": "bytes", "set": "a set", "omap": "an ordered mapping", "value": "a default value"}


class UnfitError(Exception):
    """A file that can be no experiment file: the line (None for the file as a whole) and what is wrong there."""

    def __init__(self, what: str, line: int | None = None) -> None:
        super().__init__(what)
        self.line = line


def text(path: Path) -> str:
    """The text of the file `path`. Raises UnfitError: it is no file that can be read, is too large, or is not in UTF-8."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UnfitError(
                f"expected a text file, found {'a folder' if stat.S_ISDIR(found.st_mode) else 'a pipe or device'}."
            )
        if found.st_size > MOST_BYTES:
            raise UnfitError(f"expected an experiment file of at most {MOST_BYTES:,} bytes, found {found.st_size:,}.")
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise UnfitError("no such file. An experiment is described by a params.yaml in the working directory.") from None
    except UnicodeDecodeError as error:
        raise UnfitError(f"not a text file in UTF-8 ({error.reason} at byte {error.start}).") from None
    except OSError as error:
        raise UnfitError(f"expected a text file, found one that cannot be read: {error.strerror}.") from None
    except ValueError as error:  # a NUL in its name
        raise UnfitError(f"expected the name of a file, found one that no file has: {error}.") from None


@dataclass
class _Block:
    """A mapping or list that has begun."""

    mapping: bool
    anchor: str | None
    values: int = 0  #: How many values are in it, those of aliases counted as often as they occur.
    parts: int = 0  #: How many keys and values of its own.

    @property
    def key_next(self) -> bool:
        return self.mapping and self.parts % 2 == 0


def check(written: str) -> None:
    """Raises UnfitError, with the line: `written` is no YAML, or holds what an experiment file has no use for."""
    try:
        _check(written)
    except MarkedYAMLError as error:
        trouble = cast("Any", error)
        line = trouble.problem_mark.line + 1 if trouble.problem_mark else 1
        raise UnfitError(str(trouble.problem or "this is no YAML").splitlines()[0], line) from None
    except YAMLError as error:  # a character that YAML does not allow
        place = getattr(error, "position", None) or 0
        found = f"expected text, found the control character {getattr(error, 'character', '?')!r}."
        raise UnfitError(found, written.count("\n", 0, place) + 1) from None


def _check(written: str) -> None:
    yaml, open_, sizes = YAML(typ="rt", pure=True), [_Block(mapping=False, anchor=None)], dict[str, int]()
    documents = 0
    for event in cast("Iterator[Any]", yaml.parse(written)):  # pyright: ignore[reportUnknownMemberType]
        line, around = event.start_mark.line + 1, open_[-1]
        match type(event).__name__:
            case "ScalarEvent":
                tag = event.tag or yaml.resolver.resolve(ScalarNode, event.value, event.implicit)
                _fits(event.value, str(tag).rpartition(":")[2].lstrip("!"), line, key=around.key_next)
                size = 1
            case "AliasEvent":
                if any(block.anchor == event.anchor for block in open_):
                    raise UnfitError(f"`*{event.anchor}` is part of what it stands for.", line)
                if around.key_next:
                    raise UnfitError(f"expected text as a key, found `*{event.anchor}`.", line)
                size = sizes.get(event.anchor, 1)
            case "MappingStartEvent" | "SequenceStartEvent" as kind:
                if around.key_next:
                    raise UnfitError("expected text as a key, found a list or a mapping.", line)
                if len(open_) > MOST_DEEP:
                    raise UnfitError(f"expected keys at most {MOST_DEEP} deep, found more.", line)
                if event.tag and (other := str(event.tag).rpartition(":")[2].lstrip("!")) not in ("map", "seq"):
                    raise UnfitError(
                        f"expected a mapping or a list, found {_OTHER.get(other, f'the type `{event.tag}`')}.", line
                    )
                open_.append(_Block(mapping=kind.startswith("Mapping"), anchor=event.anchor))
                continue
            case "MappingEndEvent" | "SequenceEndEvent":
                block = open_.pop()
                size = block.values + 1
                if block.anchor is not None:
                    sizes[block.anchor] = size
                around = open_[-1]
            case "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    raise UnfitError("expected one YAML document, found a second one.", line)
                continue
            case _:
                continue
        around.values += size
        around.parts += 1
        if sum(block.values for block in open_) > MOST_VALUES:
            raise UnfitError(f"expected at most {MOST_VALUES:,} values, found more, with what aliases stand for.", line)


def _fits(value: str, tag: str, line: int, *, key: bool) -> None:
    """Raises UnfitError: a value of this type has no place in an experiment file, or not as a key."""
    if key and tag not in ("str", "merge"):
        what = _PLAIN.get(tag) or _OTHER.get(tag, f"the type `{tag}`")
        raise UnfitError(f'expected text as a key, found {value or "nothing"}, which is {what}: write "{value}".', line)
    if tag not in _PLAIN and tag != "merge":
        what = _OTHER.get(tag, f"the type `{tag}`")
        raise UnfitError(
            f"expected text, a number, true, false or null, found {value}, which is {what}: write it in quotes.", line
        )
    if tag in ("int", "float"):
        if len(value) > MOST_DIGITS:
            raise UnfitError(f"expected a number of at most {MOST_DIGITS} digits, found one of {len(value):,}.", line)
        with suppress(ValueError):  # a whole number in another base
            if not math.isfinite(float(value.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))):
                raise UnfitError(f"expected a finite number, found {value}.", line)
