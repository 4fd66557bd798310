"""Canonical JSON and the digests made of it: what two plans must share to be the same plan."""

import hashlib
import json
import math
import unicodedata
from collections.abc import Sequence
from typing import Any, cast

Json = None | bool | int | float | str | list[Any] | dict[str, Any]


def canonical(value: object) -> str:
    """`value` as JSON text that depends on its meaning alone.

    Keys are sorted, strings are in Unicode normal form C, tuples are lists. Numbers keep their type: the params models have
    already made 1 and 1.0 the same where they mean the same.

    Raises:
        TypeError: `value` holds something that has no canonical form (a set, a callable, an object); such a value would
            make an identity that changes from process to process.
        ValueError: a number is not finite, or two keys of a mapping are the same in normal form.
    """
    return json.dumps(_plain(value, "$"), sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def digest(value: object) -> str:
    """sha256 of `canonical(value)`, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def row_id(*identity: object) -> str:
    """The id of a row: 32 hexadecimal digits (128 bits) of the digest of what identifies it."""
    return digest(identity)[:32]


def row_seed(row: str) -> int:
    """The sampling seed of a row, from its id alone: no batch size, row order or number of jobs can change it."""
    return int(digest(["seed", row])[:16], 16)


def _plain(value: object, where: str) -> Json:
    match value:
        case None | bool() | int():
            return value
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{where}: {value} has no canonical form")
            return value
        case str():
            return unicodedata.normalize("NFC", value)
        case list() | tuple():
            items = cast("Sequence[object]", value)
            return [_plain(item, f"{where}[{n}]") for n, item in enumerate(items)]
        case dict():
            fields = cast("dict[str, object]", value)
            plain = {unicodedata.normalize("NFC", key): _plain(item, f"{where}.{key}") for key, item in fields.items()}
            if len(plain) != len(fields):
                raise ValueError(f"{where}: two keys are the same in Unicode normal form C: {sorted(fields)}")
            return plain
        case _:
            raise TypeError(f"{where}: {type(value).__name__} has no canonical form")
