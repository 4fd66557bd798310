"""Numbers that follow from what an artifact was made from, made again and compared: tables, JSON, and the text of a page.

Figures (SVG, PNG) are pictures of these numbers, drawn by a library of its own version: what they show is proven by making the
artifact again (`sublim audit --replay`).
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from xml.etree import ElementTree

import polars as pl

from sublim.evidence.accident import Accident, UnfitError, short
from sublim.evidence.finding import UNVERIFIABLE
from sublim.evidence.source import Source

KEYS = (
    *("cell", "stage", "model", "teacher", "trait", "arm", "student", "seed", "condition", "taught", "asked", "step", "what"),
    *("way", "share"),
    *("pair", "source", "subject", "imitation", "same_init", "teacher_init", "student_init", "draw", "step_size"),
)  #: Columns that say which row of a table is meant.
_SAME = 1e-9
_NUMBERS = (".parquet", ".csv", ".json")
_SVG = re.compile(r"<svg\b.*?</svg>", re.DOTALL)


def made_again(
    source: Source,
    cell: str,
    tables_of: Callable[[Mapping[str, Path], Path], None],
    page: str,
    page_of: Callable[[Mapping[str, Path], Path], str],
    needed: Mapping[str, Iterable[str]],
) -> Iterator[Accident]:
    """How `cell` differs from what its inputs give: its tables, and the text of its page, the file `page`. `tables_of` makes
    the files with numbers of its inputs (name → directory) again, in a directory; `page_of` makes the page again, figures left
    out, of the inputs and that directory. `needed`: stage → the files that are read."""
    given = source.record(cell).inputs
    if any(source.upstream(cell, name) is None for name in given):
        return  # which input is not the one that it was made from is for the check of plans to say
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        inputs = {name: _folder(source, found.cell, scratch / "inputs", needed) for name, found in given.items()}
        again = scratch / "again"
        again.mkdir()
        try:
            tables_of(inputs, again)
        except (ValueError, pl.exceptions.PolarsError) as error:
            said = str(error).replace(f"{scratch / 'inputs'}/", "").splitlines()[0]
            raise UnfitError("numbers", f"cannot be computed from its inputs: {said}", UNVERIFIABLE) from None
        for path in sorted(again.iterdir()):
            if difference := _difference(source, cell, path):
                yield Accident("numbers", f"{path.name}: expected what its inputs give, found {difference}")
        made = {path.name for path in again.iterdir()}
        for name in sorted(source.record(cell).outputs.keys() - made):
            if name.endswith(_NUMBERS) and (cell, name) not in source.looked_at:  # what the check itself asks for
                yield Accident("numbers", f"{name}: expected nothing of this name by its inputs, found a file")
        expected = page_of(inputs, again)
    try:
        written = source.path(cell, page).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UnfitError("files", f"{page} cannot be read: {error}") from None
    pages = [drawings_as_places(text).splitlines() for text in (expected, written)]
    for old, new in zip_longest(*pages, fillvalue=""):
        if old != new:
            yield Accident("page", f"{page}: expected {short(old.strip(), 160)}, found {short(new.strip(), 160)}")
            return


def drawings_as_places(page: str) -> str:
    """A page with what is said of each of its drawings in the place of it."""
    return _SVG.sub(_place, page)


def _place(drawing: re.Match[str]) -> str:
    # What is no drawing stays, and is compared.
    try:
        root = ElementTree.fromstring(drawing.group())  # noqa: S314 - it begins with a tag: there is no place for entities
    except ElementTree.ParseError:
        return drawing.group()
    return f"<svg {root.get('aria-label')!r}>"


def _folder(source: Source, cell: str, scratch: Path, needed: Mapping[str, Iterable[str]]) -> Path:
    """A folder in which the tables of `cell` that are read have their own names: theirs, or one of links to them."""
    paths = {name: source.path(cell, name).absolute() for name in needed[cell.split("/")[0]] if source.has(cell, name)}
    folders = {path.parent for path in paths.values()}
    if len(folders) == 1 and all(path.name == name for name, path in paths.items()):
        return folders.pop()
    folder = scratch / cell
    folder.mkdir(parents=True)
    for name, path in paths.items():
        (folder / name).symlink_to(path)
    return folder


def _difference(source: Source, cell: str, expected: Path) -> str | None:
    path = source.path(cell, expected.name)
    match expected.suffix:
        case ".parquet" | ".csv" as suffix:
            read = pl.read_parquet if suffix == ".parquet" else pl.read_csv
            return _tables(*(_read(each, expected.name, read) for each in (expected, path)))
        case _:
            return _values(json.loads(expected.read_text(encoding="utf-8")), source.json(cell, expected.name), "")


def _read(path: Path, name: str, read: Any) -> pl.DataFrame:
    try:
        return cast("pl.DataFrame", read(path))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        said = str(error).splitlines() or [type(error).__name__]
        raise UnfitError("tables", f"{name} cannot be read: {said[0]}") from None


def _tables(expected: pl.DataFrame, found: pl.DataFrame) -> str | None:
    """Where a table differs, as `teacher=a student=b: gain 0.4 → 0.9`."""
    if expected.schema != found.schema:
        return f"other columns: {found.columns}"
    if expected.height != found.height:
        return f"{expected.height:,} rows → {found.height:,} rows"
    differ: dict[str, pl.Series] = {
        name: pl.Series([not _same(old, new) for old, new in zip(expected[name].to_list(), found[name].to_list(), strict=True)])
        for name in expected.columns
        if not expected[name].equals(found[name])
    }
    places = [(int(flags.arg_max() or 0), name) for name, flags in differ.items() if flags.any()]
    if not places:
        return None
    row, column = min(places, key=lambda place: place[0])
    keys = ["cell"] if "cell" in expected.columns and column != "cell" else [key for key in KEYS if key in expected.columns]
    where = " ".join(f"{key}={expected[key][row]}" for key in keys if key != column and expected[key][row] is not None)
    count = sum(int(flags.sum()) for flags in differ.values())
    more = f", and {count - 1} more" if count > 1 else ""
    return f"{where}: {column} {_number(expected[column][row])} → {_number(found[column][row])}{more}"


def _values(old: object, new: object, where: str) -> str | None:
    """The first field in which two JSON values differ, as `test.p: 0.03 → 0.5`."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return None if _same(cast("object", old), new) else f"{where}: {_number(cast('object', old))} → {_number(new)}"
    before, now = cast("dict[str, object]", old), cast("dict[str, object]", new)
    for key in [*before, *(key for key in now if key not in before)]:
        path = f"{where}.{key}" if where else key
        if key not in before or key not in now:
            return f"{path}: {_number(before.get(key, 'nothing'))} → {_number(now.get(key, 'nothing'))}"
        if difference := _values(before[key], now[key], path):
            return difference
    return None


def _same(old: object, new: object) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=_SAME, abs_tol=0)
    return type(old) is type(new) and old == new


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else short(value)
