"""A store elsewhere: results by key and bytes by sha256, as in the local store, below any URL that fsspec knows.

A team's cache: it is asked before anything is computed, and gets what was. And all that machines have in common that share no
file system (`sublim.engine.apart`). Nothing in it is believed unseen: bytes are compared with the digest that names them, a
record with its key. Objects come before the key that needs them: a crash leaves a key less, and two writers write the same.
"""

import os
import sys
from contextlib import suppress
from typing import Any, cast

from sublim.common.errors import SublimError
from sublim.common.foreign import told
from sublim.common.names import hexadecimal
from sublim.engine.record import LARGEST, Record, RecordError, parse
from sublim.engine.store import LostError, Store

URL = "SUBLIM_REMOTE"
"""Where it is, such as `s3://bucket/sublim`. No secrets: these are where the protocol's library looks for them."""


class UnreachableError(SublimError):
    """It does not answer, or refuses."""


class Remote:
    """The store below `url`."""

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

        self.url = url
        try:
            found, root = cast("tuple[Any, str]", url_to_fs(url))
        except Exception as error:
            raise self._unreachable(error) from None
        self._files, self._root = found, root.rstrip("/")

    def find(self, key: str) -> Record | None:
        """The record of the computation `key`; None if there is none, or something else in its place. Raises
        UnreachableError."""
        try:
            found = self._files.cat_file(self._key(key), end=LARGEST)
            record = parse(found)
        except (FileNotFoundError, RecordError):
            return None
        except Exception as error:
            raise self._unreachable(error) from None
        return record if record.key == key else None

    def fetch(self, record: Record, store: Store) -> bool:
        """Put what `record`, one of its own, is of into the local store, its key last. False: something is not there, or is not
        what its name says; that is thrown away, as in the local store, so that it can be put there again. Raises
        UnreachableError."""
        for output in record.outputs.values():
            if store.object(output.sha256).is_file():
                continue
            name = self._object(output.sha256)
            try:
                store.receive(output, lambda path, name=name: self._files.get_file(name, str(path)))
            except FileNotFoundError:
                return False
            except LostError:
                with suppress(Exception):
                    self._files.rm_file(name)
                return False
            except Exception as error:
                raise self._unreachable(error) from None
        store.remember(record)
        return True

    def put(self, record: Record, store: Store) -> None:
        """Copy a computation of the local store. Raises UnreachableError."""
        try:
            if self.find(record.key) is not None:
                return
            for output in record.outputs.values():
                name = self._object(output.sha256)
                if self._size(name) != output.size:  # else it is there; half of one has another size
                    self._files.makedirs(name.rpartition("/")[0], exist_ok=True)
                    self._files.put_file(str(store.object(output.sha256)), name)
            key = self._key(record.key)
            self._files.makedirs(key.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(key, record.text().encode())
        except UnreachableError:
            raise
        except Exception as error:
            raise self._unreachable(error) from None

    def _size(self, name: str) -> int | None:
        try:
            return int(self._files.info(name)["size"])
        except FileNotFoundError:
            return None

    def _object(self, sha256: str) -> str:
        return f"{self._root}/objects/{hexadecimal(sha256)[:2]}/{sha256}"

    def _key(self, key: str) -> str:
        return f"{self._root}/keys/{hexadecimal(key)[:2]}/{key}.json"

    def _unreachable(self, error: Exception) -> UnreachableError:
        said = (str(error).splitlines() or [""])[0][:200]
        return UnreachableError(f"{URL}={self.url}: the store there cannot be used: {type(error).__name__}: {said}")


def remote() -> Remote | None:
    """The one that the environment names. Raises UnreachableError: its URL is none, or of a protocol without a library."""
    return Remote(url) if (url := os.environ.get(URL)) else None


def found(key: str, store: Store) -> Record | None:
    """The record of `key`, if the local store has got it from elsewhere. Where that cannot be asked, it says so: a computation
    is no worse off than without."""
    try:
        if (there := remote()) and (record := there.find(key)) and there.fetch(record, store):
            return record
    except UnreachableError as error:
        _without(error)
    return None


def share(record: Record, store: Store) -> None:
    """Put what was computed elsewhere as well, where others find it. If that cannot be, it says so: nothing is lost here."""
    try:
        if there := remote():
            there.put(record, store)
    except UnreachableError as error:
        _without(error)


def _without(error: UnreachableError) -> None:
    print(f"{told(error)}; going on without it", file=sys.stderr, flush=True)
