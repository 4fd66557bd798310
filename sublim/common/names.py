"""Names that come from a file and become paths: what they may be. What a record, a store or a bundle says is not trusted."""

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from sublim.common.errors import SublimError

_CELL = re.compile(r"[a-z][a-z0-9_]*(/[a-z][a-z0-9_]*=[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class HarmfulNameError(SublimError):
    """A name that may not become a path; the message says which, and why."""


def harmful(name: str) -> str | None:
    """Why no file inside of a folder has the relative path `name`, written plainly; None if one may."""
    if not name or name.endswith("/"):
        return "is a folder" if name else "is empty"
    if name.startswith("/") or "\\" in name or ":" in name.split("/")[0]:
        return "is not a relative path"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "leads out of the folder, or is written in a roundabout way"
    if not name.isprintable():
        return "has invisible characters"
    return None


def clash(names: Collection[str]) -> str | None:
    """One of `names` that would be a file and a folder; None if there is none."""
    folders = {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}
    return min(folders & set(names), default=None)


def within(folder: Path, name: str) -> Path:
    """The path of the file `name` in `folder`, for whoever opens, moves or removes it. The file may be a link (DVC makes links
    into its cache), the folders on the way to it may not: they could lead anywhere. Raises HarmfulNameError: the name is
    harmful, or a folder on the way is a link."""
    if why := harmful(name):
        raise HarmfulNameError(f"{folder}: expected the name of a file in it, found {name!r}, which {why}.")
    if link := linked(folder, name):
        raise HarmfulNameError(f"{link}: expected a folder, found a link, which may lead anywhere. Remove it.")
    return folder / name


def linked(folder: Path, name: str) -> Path | None:
    """The first folder inside of `folder` on the way to its file `name` that is a link; None if none is."""
    parents = reversed(PurePosixPath(name).parents[:-1])
    return next((folder / parent for parent in parents if (folder / parent).is_symlink()), None)


def is_cell(name: object) -> bool:
    """Whether `name` has the form of a cell's, `stage/dim=value/…`, which is where an artifact lies under data/."""
    return isinstance(name, str) and _CELL.fullmatch(name) is not None


def cell(name: str) -> str:
    """`name`, if it has the form of a cell's. Raises HarmfulNameError: it has another."""
    if not is_cell(name):
        raise HarmfulNameError(f"expected a cell `stage/dim=value/…`, found {name!r}.")
    return name


def is_sha256(text: object) -> bool:
    """Whether `text` is a sha256 as this program writes them: 64 lower-case hexadecimal digits."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None


def hexadecimal(text: str) -> str:
    """`text`, if it is a sha256. Raises HarmfulNameError: it is anything else."""
    if not is_sha256(text):
        raise HarmfulNameError(f"expected a sha256, 64 hexadecimal digits, found {text!r}.")
    return text
