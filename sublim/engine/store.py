"""The local store: results by key, bytes by sha256, verified on the way out."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from sublim.common.files import replacing, sha256, write_text
from sublim.common.names import hexadecimal, within
from sublim.engine.record import Output, Record, record_at

CHUNK = 1 << 20


class Store:
    """`keys/` holds the record of each computation under its key, `objects/` the bytes of each output under their sha256,
    `users/` the directories of the experiments that use it.

    Objects are copies, not links: an artifact edited in place must not take its only good copy with it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def in_use(self) -> Generator[None]:
        """Hold off the clearing of the store while something is taken from it or put into it, until its record is in place."""
        with self._locked(fcntl.LOCK_SH):
            me = os.fspath(Path.cwd())
            note = self._root / "users" / hashlib.sha256(me.encode()).hexdigest()[:32]
            if self._shared() and not note.is_file():
                write_text(note, me)
            yield

    @contextmanager
    def being_cleared(self) -> Generator[None]:
        """Wait until nobody uses the store, and hold everybody off."""
        with self._locked(fcntl.LOCK_EX):
            yield

    def users(self) -> list[Path]:
        """The directories of the experiments that use the store: of the one that it lies in, or of all that have used it."""
        if not self._shared():
            return [Path.cwd()]
        return sorted(Path(note.read_text(encoding="utf-8")) for note in (self._root / "users").glob("[0-9a-f]*"))

    def computations(self) -> Iterator[Path]:
        """The record of every computation that is kept."""
        return (self._root / "keys").glob("*/[0-9a-f]*.json")

    def objects(self) -> Iterator[Path]:
        """The file of every output that is kept."""
        return (self._root / "objects").glob("*/[0-9a-f]*")

    def leftovers(self) -> Iterator[Path]:
        """What a killed process has left half-written."""
        return (path for path in self._root.rglob(".*") if path.is_file())

    def find(self, key: str) -> Record | None:
        """The record of the computation `key`, if its record and all its objects are there."""
        record = record_at(self._key(key))
        if record is None or record.key != key:
            return None
        return record if all(self.object(output.sha256).is_file() for output in record.outputs.values()) else None

    def put(self, record: Record, directory: Path) -> None:
        """Keep the artifact in `directory`: its objects first, then the key, so that a key never lacks its bytes. Raises
        HarmfulNameError: the record names a file that does not lie in `directory`, or something that is no digest."""
        for name, output in record.outputs.items():
            target = self.object(output.sha256)
            if not target.is_file():
                with replacing(target) as temporary:
                    shutil.copyfile(within(directory, name), temporary)
        self.remember(record)

    def receive(self, output: Output, write: Callable[[Path], object]) -> None:
        """Keep an output that `write` brings to a path. Raises LostError: it brought something else; and what `write` does."""
        with replacing(self.object(output.sha256)) as temporary:
            write(temporary)
            if temporary.stat().st_size != output.size or sha256(temporary) != output.sha256:
                raise LostError(f"expected {output.size:,} bytes with the digest {output.sha256}, found others")

    def remember(self, record: Record) -> None:
        """Keep the record of a computation all of whose objects are here."""
        record.write(self._key(record.key))

    def fetch(self, sha256: str, target: Path) -> None:
        """Copy the object `sha256` to `target`, whole or not at all. Raises LostError: there is no such object, or it is
        corrupted, in which case it is thrown away."""
        origin = self.object(sha256)
        digest = hashlib.sha256()
        try:
            with replacing(target) as temporary, origin.open("rb") as source, temporary.open("wb") as sink:
                while chunk := source.read(CHUNK):
                    digest.update(chunk)
                    sink.write(chunk)
                if digest.hexdigest() != sha256:
                    raise LostError(f"{origin} is corrupted")
        except FileNotFoundError:
            raise LostError(f"{origin} is gone") from None
        except LostError:
            origin.unlink(missing_ok=True)
            raise

    def object(self, sha256: str) -> Path:
        """Where the bytes with this sha256 are kept. Raises HarmfulNameError: that is no sha256."""
        return self._root / "objects" / hexadecimal(sha256)[:2] / sha256

    def _shared(self) -> bool:
        # A folder that was copied with the store in it is another experiment with another store.
        return not self._root.resolve().is_relative_to(Path.cwd().resolve())

    @contextmanager
    def _locked(self, mode: int) -> Generator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / "lock").open("a+") as lock:  # a flock: it dies with its process; NFS asks that it can be read
            fcntl.flock(lock, mode)
            yield

    def _key(self, key: str) -> Path:
        return self._root / "keys" / hexadecimal(key)[:2] / f"{key}.json"


class LostError(Exception):
    """The store cannot give what it once had."""


def root(default: Path) -> Path:
    """Where the store is: `SUBLIM_STORE`, so that experiments can share one, or the experiment's own."""
    return Path(os.environ.get("SUBLIM_STORE") or default)
