"""Row ids and sampling seeds of a million rows: `sublim.common.canonical.row_id` and `row_seed`, for whole columns."""

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sublim.common.canonical import canonical

_ID = 32  #: Hexadecimal digits of an id: half of its digest's.


def ids(identity: tuple[str | int, ...], *last: pl.Series) -> pl.Series:
    """`row_id(*identity, x, …)` for each row of the columns `last`: whole numbers, or text of digits, letters and spaces, which
    needs no escape in JSON."""
    digits = _digests(identity, last).hex()
    return pl.Series("row_id", [digits[at : at + _ID] for at in range(0, len(digits), 2 * _ID)], dtype=pl.String)


def agree(found: pl.Series, identity: tuple[str | int, ...], *last: pl.Series) -> bool:
    """Whether `found` is `ids(identity, *last)`, without making a column of these."""
    if not (found.str.len_bytes() == _ID).all():
        return False
    text = "".join(found.to_list()).encode()
    expected = np.frombuffer(_digests(identity, last).hex().encode(), np.uint8).reshape(-1, 2 * _ID)[:, :_ID]
    return bool((np.frombuffer(text, np.uint8).reshape(-1, _ID) == expected).all())


def seeds(rows: pl.Series) -> NDArray[np.uint64]:
    """`row_seed(x)` for each x in `rows`, which are ids."""
    return np.frombuffer(_digests(("seed",), (rows,)), ">u8")[::4].astype(np.uint64)


def plain(column: pl.Series) -> bool:
    """Whether all of `column` are ids: 32 hexadecimal digits."""
    return bool(column.str.contains(r"\A[0-9a-f]{32}\z").all())


def _digests(identity: tuple[str | int, ...], last: tuple[pl.Series, ...]) -> bytes:
    """sha256 of the canonical JSON of [*identity, x, …] for each row of `last`, one after the other."""
    head = canonical([*identity, 0])[:-2].encode()
    if len(last) == 1 and last[0].dtype == pl.String:
        head, tails, end = head + b'"', last[0], b'"]'
    else:
        written = ",".join("{}" if each.dtype.is_integer() else '"{}"' for each in last)
        frame = pl.DataFrame([each.alias(str(n)) for n, each in enumerate(last)])
        tails, end = frame.select(pl.format(written, *frame.columns)).to_series(), b"]"
    # A copy of a digest that has begun is cheaper than a new one: most of the time goes into setting up.
    begin = hashlib.sha256(head, usedforsecurity=False).copy
    found: list[bytes] = []
    for tail in tails.cast(pl.Binary).to_list():
        digest = begin()
        digest.update(tail + end)
        found.append(digest.digest())
    return b"".join(found)
