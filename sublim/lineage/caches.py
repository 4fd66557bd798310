"""The copies behind the artifacts, hashed again: the local store and DVC's cache. DVC itself does not look."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from sublim.common.errors import SublimError
from sublim.engine.digests import differs
from sublim.engine.record import Output, RecordError, read
from sublim.engine.store import Store
from sublim.evidence.finding import CORRUPTED, Finding
from sublim.lineage import revision


def check(store: Store) -> list[Finding]:
    """What is corrupted in `store` and, where there is one, in the DVC cache of this repository."""
    return [*_store(store), *_dvc()]


def _store(store: Store) -> Iterator[Finding]:
    sizes: dict[str, int] = {}
    for path in sorted(store.computations()):
        try:
            record = read(path)
        except RecordError as error:
            found = str(error)
        else:
            sizes |= {output.sha256: output.size for output in record.outputs.values()}
            found = f"is of the key {record.key[:12]}"
            if path.stem == record.key:
                continue
        yield Finding(str(path), "store", CORRUPTED, f"this record of the store {found}", f"rm {path}")
    for path in sorted(store.objects()):
        size = sizes.get(path.name, path.stat().st_size if path.is_file() else 0)
        if (instead := differs(path, Output(path.name, size))) is not None:
            found = f"expected sha256 {path.name[:12]}, found {instead}"
            yield Finding(str(path), "store", CORRUPTED, found, f"rm {path}; it is made again when it is needed")


def _dvc() -> Iterator[Finding]:
    try:
        objects = revision.cache()
    except (SublimError, FileNotFoundError):  # no DVC repository, or no DVC: then there is no cache either
        return
    for path in sorted(objects.glob("[0-9a-f][0-9a-f]/*")):
        expected = f"{path.parent.name}{path.name}".removesuffix(".dir")
        digest = "no file"
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "md5").hexdigest()
        if digest != expected:
            mend = f"rm -f {path}, then `dvc fetch` if it was pushed, else `dvc repro` and `dvc commit` once the audit passes"
            yield Finding(_shown(path), "dvc", CORRUPTED, f"expected md5 {expected[:12]}, found {digest[:12]}", mend)


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
