"""New records for artifacts whose bytes stay: all or none, whatever happens in between."""

import json
from collections.abc import Mapping
from contextlib import suppress

from sublim.common.files import write_text
from sublim.engine import layout
from sublim.engine.record import Record, read
from sublim.engine.store import Store, root


def write(new: Mapping[str, Record]) -> None:
    """Put the records `new` (by cell) into place, and their artifacts into the store under the new keys.

    All of them are written down first, in one file that is whole or absent: from there on a crash undoes nothing, and `finish`
    goes on.
    """
    if new:
        write_text(layout.REKEYING, json.dumps({cell: record.text() for cell, record in new.items()}))
        finish()


def finish() -> None:
    """Go on with what a crash has interrupted, if it has."""
    try:
        texts: dict[str, str] = json.loads(layout.REKEYING.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    kept = Store(root(layout.STORE))
    with kept.in_use():
        for cell, text in texts.items():
            write_text(layout.record(cell), text)
            with suppress(FileNotFoundError):  # somebody has removed the artifact since
                kept.put(read(layout.record(cell)), layout.artifact(cell))
    layout.REKEYING.unlink()
