"""The local store: results by key, bytes by sha256, verified on the way out."""

import hashlib
import os
import shutil
from pathlib import Path

from sublim.common.files import replacing
from sublim.plan.record import Record, RecordError, read

CHUNK = 1 << 20


class Store:
    """`keys/` holds the record of each computation under its key, `objects/` the bytes of each output under their sha256.

    Objects are copies, not links: an artifact edited in place must not take its only good copy with it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, key: str) -> Record | None:
        """The record of the computation `key`, if its record and all its objects are there."""
        try:
            record = read(self._key(key))
        except (FileNotFoundError, RecordError):
            return None
        here = record.key == key and all(self.object(output.sha256).is_file() for output in record.outputs.values())
        return record if here else None

    def put(self, record: Record, directory: Path) -> None:
        """Keep the artifact in `directory`: its objects first, then the key, so that a key never lacks its bytes."""
        for name, output in record.outputs.items():
            target = self.object(output.sha256)
            if not target.is_file():
                with replacing(target) as temporary:
                    shutil.copyfile(directory / name, temporary)
        record.write(self._key(record.key))

    def fetch(self, sha256: str, target: Path) -> bool:
        """Copy the object `sha256` to `target`, whole or not at all. A corrupted object is thrown away, and False returned."""
        origin = self.object(sha256)
        digest = hashlib.sha256()
        try:
            with replacing(target) as temporary, origin.open("rb") as source, temporary.open("wb") as sink:
                while chunk := source.read(CHUNK):
                    digest.update(chunk)
                    sink.write(chunk)
                if digest.hexdigest() != sha256:
                    raise _CorruptedError
        except FileNotFoundError:
            return False
        except _CorruptedError:
            origin.unlink(missing_ok=True)
            return False
        return True

    def object(self, sha256: str) -> Path:
        """Where the bytes with this sha256 are kept."""
        return self._root / "objects" / sha256[:2] / sha256

    def _key(self, key: str) -> Path:
        return self._root / "keys" / key[:2] / f"{key}.json"


class _CorruptedError(Exception):
    pass


def root(default: Path) -> Path:
    """Where the store is: `SUBLIM_STORE`, so that experiments can share one, or the experiment's own."""
    return Path(os.environ.get("SUBLIM_STORE") or default)
