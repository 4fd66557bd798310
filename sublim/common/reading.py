"""Errors of reading a file, as messages with its path and what to do: in one place, for all that people, DVC or other machines
may have put there. Faults of this program are none of them, and stay what they are."""

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sublim.common.errors import SublimError

MEND = "`sublim audit` says what is wrong."


class UnreadableError(SublimError):
    """A file that cannot be read as what it should be."""


@contextmanager
def reading(path: Path, mend: str = MEND, *, shape: bool = False) -> Generator[Path]:
    """For a block that reads the file `path` and does nothing else; with `shape`, it also takes out fields of it, and one that
    is missing or of another type is an error, too. `mend`: what to do. Raises UnreadableError."""
    try:
        yield path
    except Exception as error:
        why = _why(error)
        if why is None and shape and isinstance(error, LookupError | TypeError | AttributeError | ValueError):
            why = f"what is in it has another form than expected ({type(error).__name__}: {error})"
        if why is None:
            raise
        raise UnreadableError(f"{path}: cannot be read: {why}. {mend}") from None


def json_in(path: Path, mend: str = MEND) -> Any:
    """What the JSON file `path` says. Raises UnreadableError."""
    with reading(path, mend, shape=True):  # a number may have too many digits
        return json.loads(path.read_text(encoding="utf-8"))


def object_in(path: Path, mend: str = MEND) -> dict[str, Any]:
    """What the JSON file `path` says, which is an object. Raises UnreadableError."""
    found = json_in(path, mend)
    if not isinstance(found, dict):
        raise UnreadableError(f"{path}: cannot be read: expected a JSON object, found {type(found).__name__}. {mend}")
    return cast("dict[str, Any]", found)


def explained(error: SublimError | OSError) -> str | None:
    """The message of an error, or what the operating system says of a file, for a person; None if it is of no file."""
    if isinstance(error, SublimError):
        return str(error)
    if error.filename is None:
        return None
    names = " → ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    return f"{names}: {_system(error)}. Check what is there, whose it is, and whether the disk can be written and has room."


def _why(error: Exception) -> str | None:
    """Why a file cannot be read; None if `error` is none of reading."""
    match error:
        case OSError():
            return _system(error)
        case UnicodeDecodeError():
            return f"expected text in UTF-8, found byte 0x{error.object[error.start]:02x} at {error.start:,}"
        case json.JSONDecodeError():
            return f"expected JSON, found a mistake in line {error.lineno}, column {error.colno} ({error.msg})"
        case RecursionError():
            return "it is nested too deeply"
        case _:
            # Neither is imported here: most commands need none of them. What has not been imported has raised nothing.
            polars, yaml = sys.modules.get("polars.exceptions"), sys.modules.get("ruamel.yaml.error")
            if polars and isinstance(error, polars.PolarsError):
                return f"expected a table ({_first(error)})"
            if yaml and isinstance(error, yaml.YAMLError):
                mark = getattr(error, "problem_mark", None)
                where = f" in line {mark.line + 1}" if mark else ""
                return f"expected YAML, found a mistake{where} ({getattr(error, 'problem', None) or _first(error)})"
            return None


def _system(error: OSError) -> str:
    return (error.strerror or _first(error)).lower()


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
