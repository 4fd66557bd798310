"""The copies behind the artifacts, hashed again: the local store and DVC's cache. DVC itself does not look."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from sublim.common.errors import SublimError
from sublim.common.files import sha256
from sublim.engine.record import RecordError, read
from sublim.engine.store import Store
from sublim.evidence.finding import CORRUPTED, Finding
from sublim.lineage import revision


def check(store: Store) -> list[Finding]:
    """What is corrupted in `store` and, where there is one, in the DVC cache of this repository."""
    return [*_store(store), *_dvc()]


def _store(store: Store) -> Iterator[Finding]:
    for path in sorted(store.computations()):
        try:
            found = f"is of the key {read(path).key[:12]}"
        except RecordError as error:
            found = str(error)
        else:
            if path.stem == read(path).key:
                continue
        yield Finding(str(path), "store", CORRUPTED, f"this record of the store {found}", f"rm {path}")
    for path in sorted(store.objects()):
        digest = sha256(path)
        if digest != path.name:
            found = f"expected sha256 {path.name[:12]}, found {digest[:12]}"
            yield Finding(str(path), "store", CORRUPTED, found, f"rm {path}; it is made again when it is needed")


def _dvc() -> Iterator[Finding]:
    try:
        objects = revision.cache()
    except (SublimError, FileNotFoundError):  # no DVC repository, or no DVC: then there is no cache either
        return
    for path in sorted(objects.glob("[0-9a-f][0-9a-f]/*")):
        expected = f"{path.parent.name}{path.name}".removesuffix(".dir")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "md5").hexdigest()
        if digest != expected:
            mend = f"rm -f {path}, then `dvc fetch` if it was pushed, else `dvc repro` and `dvc commit` once the audit passes"
            yield Finding(_shown(path), "dvc", CORRUPTED, f"expected md5 {expected[:12]}, found {digest[:12]}", mend)


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
