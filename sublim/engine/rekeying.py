"""New records for artifacts whose bytes stay: all or none, whatever happens in between."""

import json
from collections.abc import Mapping

from sublim.common.files import write_text
from sublim.engine import layout
from sublim.engine.digests import Digests
from sublim.engine.record import Record, parse, record_at
from sublim.engine.store import Store, root
from sublim.engine.verdict import altered


def write(new: Mapping[str, Record]) -> list[str]:
    """Put the records `new` (by cell) into place, and their artifacts into the store under the new keys. Returns the cells of
    which that is so: an artifact that somebody has changed or removed meanwhile keeps the record that it has.

    All of them are written down first, in one file that is whole or absent: from there on a crash undoes nothing, and `finish`
    goes on.
    """
    write_text(layout.REKEYING, json.dumps({cell: record.text() for cell, record in new.items()}))
    return finish()


def finish() -> list[str]:
    """Go on with what a crash has interrupted, if it has."""
    try:
        texts: dict[str, str] = json.loads(layout.REKEYING.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    kept, digests = Store(root(layout.STORE)), Digests(layout.DIGESTS)
    with kept.in_use():
        done = [cell for cell, text in texts.items() if _put(parse(text.encode()), kept, digests)]
    layout.REKEYING.unlink()
    return done


def _put(record: Record, kept: Store, digests: Digests) -> bool:
    cell = record.plan.cell
    there = record_at(layout.record(cell))
    if there is None or there.given != record.given or there.outputs != record.outputs or altered(cell, record, digests):
        return False
    kept.put(record, layout.artifact(cell))
    record.write(layout.record(cell))
    return True
