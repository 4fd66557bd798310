"""New records for artifacts whose bytes stay: all or none, whatever happens in between."""

import json
from collections.abc import Mapping

from sublim.common.files import write_text
from sublim.common.reading import UnreadableError, reading
from sublim.engine import layout
from sublim.engine.digests import Digests
from sublim.engine.record import Record, RecordError, parse, record_at
from sublim.engine.store import Store, root
from sublim.engine.verdict import altered

_MEND = "Remove it: what it was about to adopt is stale as before."


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
    if not layout.REKEYING.is_file():
        return []
    with reading(layout.REKEYING, _MEND, shape=True) as path:
        texts = {cell: str(text).encode() for cell, text in json.loads(path.read_text(encoding="utf-8")).items()}
    try:
        records = {cell: parse(text) for cell, text in texts.items()}
    except RecordError as error:
        raise UnreadableError(f"{layout.REKEYING}: a record in it {error}. {_MEND}") from None
    kept, digests = Store(root(layout.STORE)), Digests(layout.DIGESTS)
    with kept.in_use():
        done = [cell for cell, record in records.items() if _put(record, kept, digests)]
    digests.save()
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
