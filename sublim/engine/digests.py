"""sha256 of files, remembered as long as the file has not been touched."""

import json
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

from sublim.common import files
from sublim.engine.record import Output

# A file changed twice within a tick of the file system's clock keeps its times: what is younger is not remembered.
SETTLED_NS = 50_000_000


_STRANGE = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def differs(path: Path, due: Output, digest: Callable[[Path], str] = files.sha256) -> str | None:
    """What is at `path` instead of the file `due`; None if it is that. It is opened only if it can be that: a pipe would never
    end, a file with a hole of 30 GB not soon."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return _STRANGE.get(stat.S_IFMT(found.st_mode), "a device")
        if found.st_size != due.size:
            return f"other bytes, {found.st_size:,} instead of {due.size:,}"
        actual = digest(path)
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except OSError as error:
        return f"something that cannot be read ({error.strerror})"
    return None if actual == due.sha256 else actual[:12]


class Digests:
    """File digests with a cache by size, mtime, inode and ctime. ctime is what catches an edit with size and mtime put back;
    nobody but the kernel sets it."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._dirty = False
        try:
            known: object = json.loads(cache.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):  # it is a cache
            known = None
        self._known: dict[str, list[int | str]] = cast("dict[str, list[int | str]]", known) if isinstance(known, dict) else {}

    def __call__(self, path: Path) -> str:
        """sha256 of the file at `path` (64 hexadecimal digits); FileNotFoundError if there is none."""
        now = path.stat()
        mark = [now.st_size, now.st_mtime_ns, now.st_ino, now.st_ctime_ns]
        name = os.fspath(path)
        known = self._known.get(name)
        if known is not None and known[:4] == mark:
            return str(known[4])
        digest = files.sha256(path)
        if time.time_ns() - now.st_ctime_ns > SETTLED_NS:
            # Others (dvc pull, cp) do not flush what they write: a loss of power could take the bytes and leave size and times.
            files.sync(path)
            self._known[name] = [*mark, digest]
            self._dirty = True
        return digest

    def folder(self, name: str) -> dict[str, str]:
        """File, relative to the folder `name` → sha256, for all files in it."""
        folder = Path(name)
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {path.relative_to(folder).as_posix(): self(path) for path in paths}

    def files(self, *paths: Path) -> dict[str, str]:
        """Name → sha256 of these files."""
        return {path.name: self(path) for path in paths}

    def save(self) -> None:
        """Write the cache, if there is anything new in it and it can be written: who only looks may lack the right to."""
        if self._dirty:
            with suppress(OSError):
                files.write_text(self._cache, json.dumps(self._known))
                self._dirty = False
