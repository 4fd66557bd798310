"""The zip file that a bundle is: one form per content, so that the same experiment gives the same bytes and nothing can hide.

Members are stored, not compressed: tables are compressed already, and what a compressor makes depends on its version.
"""

import shutil
import stat
import zipfile
from collections.abc import Mapping
from itertools import count, zip_longest
from pathlib import Path

from sublim.common.names import clash, harmful, within

CHUNK = 1 << 20
EPOCH = (1980, 1, 1, 0, 0, 0)
PLAIN_FILE = (stat.S_IFREG | 0o644) << 16
UNIX = 3
UTF8 = 0x800


class ArchiveError(Exception):
    """A file that is no bundle, or one that was damaged or tampered with; the message says what and where."""


def write(members: Mapping[str, Path | bytes], target: Path) -> None:
    """Write the zip file `target`. Its bytes depend on the names and the bytes of `members` alone."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(members.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr, entry.create_system = PLAIN_FILE, UNIX
            if isinstance(content, bytes):
                archive.writestr(entry, content)
                continue
            entry.file_size = content.stat().st_size
            with content.open("rb") as source, archive.open(entry, "w") as sink:
                shutil.copyfileobj(source, sink, CHUNK)


def unpack(path: Path, folder: Path) -> dict[str, Path]:
    """Unpack the zip file `path` into `folder`, an empty directory. Returns name → file. Nothing is written before all names
    and sizes have been found harmless: plain files at relative paths inside `folder`, each once, not compressed (so that
    nothing can swell), together no larger than the file itself. Raises ArchiveError: the file is cut off or damaged, holds
    something harmful, or is not in the form that `write` gives it."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check(entries, path.stat().st_size)
            found = {entry.filename: _extract(archive, entry, folder) for entry in entries}
    except (zipfile.BadZipFile, EOFError, ValueError, OSError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"it is cut off or damaged, or is no zip file ({error})") from None
    _check_form(path, found, entries, folder)
    return found


def _check(entries: list[zipfile.ZipInfo], size: int) -> None:
    names: set[str] = set()
    for entry in entries:
        name = entry.filename
        if why := harmful(name):
            raise ArchiveError(f"{name!r}: this name {why}")
        if name in names:
            raise ArchiveError(f"{name}: is in it twice; readers would disagree about which one counts")
        names.add(name)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise ArchiveError(f"{name}: is a link or a special file, not a plain one")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & ~UTF8 or entry.file_size != entry.compress_size:
            raise ArchiveError(f"{name}: is compressed, encrypted or damaged; `sublim export` stores files as they are")
    if both := clash(names):
        raise ArchiveError(f"{both}: is a file and a folder")
    if (total := sum(entry.file_size for entry in entries)) > size:
        raise ArchiveError(f"its files claim {total:,} bytes, the zip file has {size:,}: they overlap or are not there")


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> Path:
    target = within(folder, entry.filename)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with archive.open(entry) as source, target.open("xb") as sink:
            shutil.copyfileobj(source, sink, CHUNK)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"{entry.filename}: its bytes are damaged ({error})") from None
    return target


def _check_form(path: Path, found: Mapping[str, Path], entries: list[zipfile.ZipInfo], folder: Path) -> None:
    """Compare with the zip file that `write` makes of the same members: between and behind them there is nothing to hide in."""
    again = folder / ".again.zip"
    try:
        write(found, again)
        place = _first_difference(path, again)
    finally:
        again.unlink(missing_ok=True)
    if place is not None:
        before = [entry.filename for entry in entries if entry.header_offset <= place]
        directory = max((entry.header_offset + entry.file_size for entry in entries), default=0)  # begins there at the earliest
        where = f"in the header of {before[-1]}" if before and place < directory else "in its directory"
        raise ArchiveError(f"byte {place:,}, {where}, is not what `sublim export` writes there: it was edited or packed again")


def _first_difference(one: Path, other: Path) -> int | None:
    with one.open("rb") as first, other.open("rb") as second:
        for start in count(step=CHUNK):
            mine, yours = first.read(CHUNK), second.read(CHUNK)
            if mine != yours:
                return start + next(n for n, (a, b) in enumerate(zip_longest(mine, yours)) if a != b)
            if not mine:
                break
    return None
