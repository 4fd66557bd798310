"""What a person means by X: an artifact, a file of one, a row, numbers of the report, a source file."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sublim.common.canonical import digest
from sublim.common.errors import SublimError
from sublim.lineage.trace.index import Place
from sublim.lineage.trace.numbers import REPORT, Number, Numbers
from sublim.lineage.trace.reader import Reader, Row
from sublim.params.arm import Arm
from sublim.plan import code, layout
from sublim.plan.cells import STAGES

ARM: Arm = "trait"
"""The arm that is meant where none is named."""
_SHOWN = 8
_HEX = re.compile(r"[0-9a-f]{6,64}")
_ROW_DIGITS = 8
_WORDS = ("study", "teacher", "student", "trait", "carrier", "filter", "arm", "method", "seed")


@dataclass(frozen=True)
class Artifact:
    """An artifact, or one of its files."""

    cell: str
    file: str | None = None

    @property
    def name(self) -> str:
        """The path under data/."""
        return self.cell if self.file is None else f"{self.cell}/{self.file}"


@dataclass(frozen=True)
class Found:
    """A row. Bases pretrained on the same corpus have the same rows: then it has several places."""

    row_id: str
    places: tuple[Place, ...]
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        """Its id."""
        return self.row_id


@dataclass(frozen=True)
class Reported:
    """A number of the report, or some of the runs that a cell of the matrix is made of."""

    name: str
    number: str | None
    """Its id; None for a part of its runs."""
    runs: tuple[str, ...]
    untrained: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A module of this package."""

    module: str

    @property
    def name(self) -> str:
        """Its file, as seen from the repository's root."""
        return code.source(self.module).relative_to(code.PACKAGE.parent).as_posix()


Target = Artifact | Found | Reported | Source


def resolve(words: Sequence[str], reader: Reader, numbers: Numbers) -> Target:
    """What `words` name in the tree of `reader`.

    A path (an artifact, a file of it, a source file), a cell id, a sha256 or its beginning (at least 6 digits: of a file, an
    artifact, a key, a module), the id of a row or its beginning (at least 8 digits), optionally after the cell it is in, or
    words such as `teacher=a student=b`, `condition=diagonal`, `test`, with `study=…` where several studies have it.

    Raises:
        SublimError: nothing is named so, or several things are; the message lists what was meant, or what is near.
    """
    if not reader.tree.records:
        raise SublimError(f"{reader.tree.name}: there are no artifacts. `snakemake -j8` makes them.")
    if len(words) > 1 and "/".join(words) in reader.tree.records:
        return Artifact("/".join(words))
    if len(words) > 1 or re.fullmatch(rf"(condition|{'|'.join(_WORDS)})=[^/]*", words[0]) or words[0] == "test":
        if len(words) == 2 and "=" not in words[1]:
            return _row(words[1], reader, _artifact(words[0], reader).cell)
        return _reported(words, numbers, reader)
    word = words[0]
    if _HEX.fullmatch(word):
        return _digest(word, reader)
    if word in numbers.all:
        return _reported_whole(numbers.all[word])
    source = _source(word, reader)
    return source if source is not None else _artifact(word, reader)


def _artifact(word: str, reader: Reader) -> Artifact:
    records = reader.tree.records
    name = _below_data(word)
    if name in records:
        return Artifact(name)
    inside = [cell for cell in records if name.startswith(f"{cell}/")]
    if inside:
        cell, file = inside[0], name[len(inside[0]) + 1 :]
        if file == layout.RECORD:
            return Artifact(cell)
        if file in records[cell].outputs:
            return Artifact(cell, file)
        known = [f"{cell}/{output}" for output in records[cell].outputs]
        raise SublimError(f"{word}: {cell} has no such file.{_near(name, known)}")
    if name in reader.tree.broken:
        reader.record(name)  # raises, saying what is the matter with it
    below = [cell for cell in records if cell.startswith(f"{name}/") or not name]
    if len(below) == 1:
        return Artifact(below[0])
    if below:
        raise SublimError(f"{word}: holds {len(below)} artifacts; name one:{_listed(below)}")
    raise SublimError(
        f"{word}: no artifact, row, digest or source file is named so in {reader.tree.name} ({len(records)} artifacts were "
        f"searched).{_near(name, [*records, *_modules(reader)])}"
    )


def _below_data(word: str) -> str:
    path = Path(word)
    try:
        relative = path.resolve().relative_to(layout.DATA.resolve()) if path.is_absolute() or path.exists() else path
    except ValueError:
        relative = path
    name = relative.as_posix().removeprefix(f"{layout.DATA}/").removesuffix("/")
    return "" if name in (".", str(layout.DATA)) else name


def _source(word: str, reader: Reader) -> Source | None:
    """The module that `word` is the file or the dotted name of, if any artifact was made with it or the package has it."""
    modules = _modules(reader)
    if word in modules and "." in word:
        return Source(word)
    path = Path(word)
    if path.suffix != ".py":
        return None
    parts = list(path.with_suffix("").parts)
    package = code.PACKAGE.name
    if package in parts:
        parts = parts[len(parts) - 1 - parts[::-1].index(package) :]
    if parts[-1] == "__init__":
        parts = parts[:-1]
    module = ".".join(parts)
    if module in modules or (parts[:1] == [package] and code.source(module).is_file()):
        return Source(module)
    known = [Source(name).name for name in sorted(modules)]
    raise SublimError(f"{word}: is no source file that any artifact in {reader.tree.name} was made with.{_near(word, known)}")


def _modules(reader: Reader) -> set[str]:
    return {module for record in reader.tree.records.values() for module in record.plan.code}


def _digest(word: str, reader: Reader) -> Target:
    rows = _rows(word, reader) if _ROW_DIGITS <= len(word) <= 32 else {}
    if len(word) == 32 and len(rows) == 1:
        return next(iter(rows.values()))
    found: dict[Target, str] = {}
    for cell, record in reader.tree.records.items():
        for what, value in (("key", reader.keys[cell]), ("artifact", record.digest), ("code", digest(record.plan.code))):
            if value.startswith(word):
                found.setdefault(Artifact(cell), f"{what} of {cell}")
        for file, output in record.outputs.items():
            if output.sha256.startswith(word):
                found.setdefault(Artifact(cell, file), f"file {cell}/{file}")
        for module, value in record.plan.code.items():
            if value.startswith(word):
                found.setdefault(Source(module), f"code of {module}")
    listed = [*found.values(), *(f"row {_row_label(row)}" for row in rows.values())]
    if len(listed) > 1:
        raise SublimError(
            f"{word}: begins the digest or id of {len(listed)} things; give more digits, or name one:{_listed(listed)}"
        )
    if found:
        return next(iter(found))
    if rows:
        return next(iter(rows.values()))
    least = f" Row ids need {_ROW_DIGITS} digits, other digests 6." if len(word) < _ROW_DIGITS else ""
    raise SublimError(
        f"{word}: no row, file, artifact, key or module in {reader.tree.name} has an id or digest that begins so.{least}"
    )


def _row(word: str, reader: Reader, cell: str) -> Found:
    rows = _rows(word, reader, cell) if re.fullmatch(r"[0-9a-f]{8,32}", word) else {}
    if len(rows) != 1:
        what = "no row" if not rows else f"{len(rows)} rows"
        raise SublimError(
            f"{word}: {cell} has {what} with an id that begins so.{_listed(_row_label(row) for row in rows.values())}"
        )
    return next(iter(rows.values()))


def _rows(word: str, reader: Reader, cell: str | None = None) -> dict[tuple[str, ...], Found]:
    """The rows with an id of their own that begins with `word`: those of equal bases are one."""
    found: dict[tuple[str, ...], list[tuple[Place, Row]]] = {}
    for place, row in reader.own(word, cell):
        stage = reader.record(place.cell).plan.stage
        apart = () if stage == "base" else (place.cell, place.file, str(place.row))
        found.setdefault((stage, row["row_id"], *apart), []).append((place, row))
    return {
        key: Found(key[1], tuple(place for place, _ in pairs), tuple(row for _, row in pairs)) for key, pairs in found.items()
    }


def _row_label(row: Found) -> str:
    return f"{row.places[0].cell} {row.row_id}"


def _reported(words: Sequence[str], numbers: Numbers, reader: Reader) -> Reported:
    asked = " ".join(words)
    given = dict(word.split("=", 1) for word in words if "=" in word)
    wanted = [word for word in words if "=" not in word]
    if strange := [
        *(name for name in given if name not in (*_WORDS, "condition")),
        *(word for word in wanted if word != "test"),
    ]:
        raise SublimError(f"{asked}: expected words such as teacher=… student=…, found {strange[0]}.")
    if not reader.tree.cells(REPORT):
        raise SublimError(f"{asked}: {reader.tree.name} has no report. `snakemake -j8` makes it.")
    if wanted or "condition" in given:
        where = {name: value for name, value in given.items() if name in ("study", "condition")}
        if len(where) < len(given) or (wanted and "condition" in given):
            raise SublimError(f"{asked}: beside a mean gain or the test only study=… may stand.")
        return _number("test" if wanted else "mean", where, asked, numbers)
    missing = [name for name in ("teacher", "student") if name not in given]
    if missing:
        candidates = [cell for cell in reader.tree.records if _has(cell, given)]
        raise SublimError(
            f"{asked}: a cell of the matrix needs {' and '.join(f'{name}=…' for name in missing)} as well. "
            f"Artifacts like that:{_listed(candidates) or ' none'}"
        )
    cell = {"arm": ARM, **{name: value for name, value in given.items() if name in ("study", "teacher", "student", "arm")}}
    narrower = {name: value for name, value in given.items() if name not in cell}
    found = [
        (number, runs)
        for number in numbers.all.values()
        if number.kind == "matrix" and cell.items() <= number.dims.items()
        if (runs := tuple(run for run in number.runs if _has(run, narrower)))
    ]
    if not found:
        known = sorted({" ".join(run.split("/")[1:]) for number in numbers.all.values() for run in number.runs})
        words_of = " ".join(f"{name}={value}" for name, value in {"arm": ARM, **given}.items())
        raise SublimError(f"{words_of}: no run of {reader.tree.name} is that.{_near(words_of, known)}")
    if len({runs for _, runs in found}) > 1:
        raise SublimError(f"{asked}: several studies have that; name one:{_studies(number for number, _ in found)}")
    number, runs = found[0]
    if len(runs) == len(number.runs):
        return _reported_whole(number)
    part = " ".join(f"{name}={value}" for name, value in narrower.items())
    return Reported(f"{number.id}, {part}", None, runs, number.untrained)


def _number(kind: str, dims: Mapping[str, str], asked: str, numbers: Numbers) -> Reported:
    found = [number for number in numbers.all.values() if number.kind == kind and dims.items() <= number.dims.items()]
    if not found:
        known = [" ".join(number.id.split("/")[1:]) for number in numbers.all.values() if number.kind != "matrix"]
        raise SublimError(f"{asked}: no report has such a number. They have:{_listed(known)}")
    if len(found) > 1:
        raise SublimError(f"{asked}: several studies have that; name one:{_studies(found)}")
    return _reported_whole(found[0])


def _reported_whole(number: Number) -> Reported:
    return Reported(number.id, number.id, number.runs, number.untrained)


def _studies(numbers: Iterable[Number]) -> str:
    return _listed(f"study={number.dims['study']}" for number in numbers)


def _has(cell: str, dims: Mapping[str, str]) -> bool:
    return all(f"{name}={value}" in cell.split("/") for name, value in dims.items())


def _near(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if not close:
        stages = [stage for stage in STAGES if any(other.startswith(stage) for other in known)]
        return f" Artifacts are named like {known[0]}; there are stages {', '.join(stages)}." if stages else ""
    return f" Near it:{_listed(close)}"


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = [f"and {len(every) - _SHOWN} more"] if len(every) > _SHOWN else []
    return "".join(f"\n  {name}" for name in [*every[:_SHOWN], *more])
