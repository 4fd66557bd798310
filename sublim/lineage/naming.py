"""What a person means by X: an artifact, a file of one, a row, numbers of the report, a source file."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sublim.common.canonical import digest
from sublim.common.errors import SublimError
from sublim.engine import code, layout
from sublim.engine.stage import stages
from sublim.evidence.node import Number
from sublim.evidence.reader import Found, Reader, dimensions
from sublim.evidence.telling import Numbers, tellings
from sublim.evidence.tree import Tree
from sublim.evidence.words import listed, near

_HEX = re.compile(r"[0-9a-f]{6,64}")
_ROW = re.compile(r"[0-9a-f]{8,32}")


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
class SourceFile:
    """A module of this package."""

    module: str

    @property
    def name(self) -> str:
        """Its file, as seen from the repository's root."""
        return code.source(self.module).relative_to(code.PACKAGE.parent).as_posix()


Target = Artifact | Found | Number | SourceFile


def resolve(words: Sequence[str], reader: Reader, numbers: Numbers) -> Target:
    """What `words` name in the tree of `reader`.

    A path (an artifact, a file of it, a source file), a cell id, a sha256 or its beginning (at least 6 digits: of a file, an
    artifact, a key, a module), the id of a row or its beginning (at least 8 digits), optionally behind the artifact it is in, a
    number of a report (`teacher=a student=b`, `condition=diagonal`, `test`, with `study=…` where several studies have it), or
    what tells an artifact from all others: `student teacher=a trait=fox seed=1`.

    Raises:
        SublimError: nothing is named so, or several things are; the message lists what was meant, or what is near.
    """
    records, problem = reader.tree.records, None
    if not records:
        raise SublimError(f"{reader.tree.name}: there are no artifacts. `snakemake -j8` makes them.")
    if _HEX.fullmatch(words[-1]):
        return _thing(words, reader, list(records))
    if len(words) == 1 and words[0] in numbers.all:
        return numbers.all[words[0]]
    for each in tellings().values():
        try:
            if number := each.asked(words, numbers):
                return number
        except SublimError as error:
            problem = error
    if problem and len(_alike(words, records)) != 1:
        raise problem
    return _thing(words, reader, list(records))


def artifact(words: Sequence[str], tree: Tree, planned: Collection[str] = ()) -> str:
    """The artifact that `words` name, or that the file or row that they name is in: of `tree`, or `planned` and not there yet.
    Raises SublimError: as `artifacts`, or several are."""
    found = artifacts(words, tree, planned)
    if len(found) == 1:
        return found[0]
    raise _several(words, found)


def artifacts(words: Sequence[str], tree: Tree, planned: Collection[str] = ()) -> tuple[str, ...]:
    """All artifacts that `words` name, or the one that what they name is in: a path, a folder of several, a cell, a digest, the
    id of a row, or what artifacts have in common (`student seed=1`). Raises SublimError: none is named so; the message lists
    what is near."""
    known = [*planned, *(cell for cell in tree.records if cell not in {*planned})]
    if found := _alike(words, known):
        return found
    match target := _thing(words, Reader(tree), known):
        case Artifact():
            return (target.cell,)
        case Found():
            return tuple(place.cell for place in target.places)
        case _:
            raise SublimError(f"{' '.join(words)}: expected an artifact, found {target.name}.")


def _thing(words: Sequence[str], reader: Reader, known: Sequence[str]) -> Artifact | Found | SourceFile:
    """What `words` name, beside numbers; artifacts are those of `known`."""
    if len(words) > 1 and _HEX.fullmatch(words[-1]):
        return _row(words[-1], reader, artifact(words[:-1], reader.tree))
    if len(words) == 1 and _HEX.fullmatch(words[0]):
        return _digest(words[0], reader)
    source = _source(words[0], reader.tree) if len(words) == 1 else None
    return source or _artifact(words, reader.tree, known)


def _artifact(words: Sequence[str], tree: Tree, known: Sequence[str]) -> Artifact:
    """The one of `known` that `words` name, or its file."""
    asked, name = " ".join(words), _below_data(words)
    if len(found := _alike(words, known)) == 1:
        return Artifact(found[0])
    if found:
        raise _several(words, found)
    if inside := [cell for cell in known if name.startswith(f"{cell}/")]:
        cell, file = inside[0], name[len(inside[0]) + 1 :]
        if file == layout.RECORD or cell not in tree.records:
            return Artifact(cell)
        if file in (outputs := tree.records[cell].outputs):
            return Artifact(cell, file)
        raise SublimError(f"{asked}: {cell} has no such file.{near(name, [f'{cell}/{output}' for output in outputs])}")
    if name in tree.broken:
        Reader(tree).record(name)  # raises, saying what is the matter with it
    parts = [part for part in name.split("/") if "=" in part]
    if strange := [part for part in parts if part.partition("=")[0] not in dimensions()]:
        raise SublimError(f"{asked}: expected words such as teacher=… student=…, found {strange[0]}.")
    have = sorted({part for cell in known for part in cell.split("/")})
    close = near(name, [*known, *sorted(_modules(tree))])
    if not close and (lacking := [part.partition("=")[0] for part in parts if part not in have]):
        close = f" There are:{listed(part for part in have if part.startswith(f'{lacking[0]}='))}"
    elif not close and known:
        common = {cell: len({*name.split("/")} & {*cell.split("/")}) for cell in known}
        if most := max(common.values()):
            close = f" Near it:{listed(cell for cell in known if common[cell] == most)}"
        else:
            close = f" Artifacts are named like {known[0]}; there are stages {', '.join(stages())}."
    raise SublimError(
        f"{asked}: no artifact, row, digest or source file is named so in {tree.name} ({len(known)} artifacts were "
        f"searched).{close}"
    )


def _alike(words: Sequence[str], known: Iterable[str]) -> tuple[str, ...]:
    """Those of `known` whose path has each of `words`, a path or a stage and dimensions in any order. Of the path of a file it
    is none."""
    parts = {part for part in _below_data(words).split("/") if part}
    if any("=" not in part and part not in stages() for part in parts):
        return ()
    return tuple(cell for cell in known if parts <= {*cell.split("/")})


def _several(words: Sequence[str], found: Sequence[str]) -> SublimError:
    asked, name = " ".join(words), _below_data(words)
    if len(words) == 1 and all(cell.startswith(f"{name}/") or not name for cell in found):
        return SublimError(f"{asked}: holds {len(found)} artifacts; name one:{listed(found)}")
    parts = {*name.split("/")}
    differ = [
        f"{dim}=…"
        for dim in dimensions()
        if len({part for cell in found for part in cell.split("/") if part.startswith(f"{dim}=")} - parts) > 1
    ]
    more = [*(["the stage"] if len({cell.split("/")[0] for cell in found}) > 1 else []), *differ]
    return SublimError(f"{asked}: {len(found)} artifacts are that; say also {', '.join(more)}:{listed(found)}")


def _below_data(words: Sequence[str]) -> str:
    """What `words` say, as a path under data/."""
    path = Path("/".join(words))
    if (whole := Path(" ".join(words))).exists():  # with a blank in it
        path = whole
    try:
        here = path.is_absolute() or path.exists()
        relative = path.resolve().relative_to(layout.DATA.resolve()) if here else path
    except ValueError:
        relative = path
    name = relative.as_posix().removeprefix(f"{layout.DATA}/")
    return "" if name in (".", str(layout.DATA)) else name


def _source(word: str, tree: Tree) -> SourceFile | None:
    """The module that `word` is the file or the dotted name of, if any artifact was made with it or the package has it."""
    modules, path, package = _modules(tree), Path(word), code.PACKAGE.name
    if word in modules and "." in word:
        return SourceFile(word)
    if path.suffix != ".py":
        return None
    parts = path.with_suffix("").parts
    if package in parts:
        parts = parts[len(parts) - 1 - parts[::-1].index(package) :]
    module = ".".join(parts).removesuffix(".__init__")
    if module in modules or (parts[0] == package and code.source(module).is_file()):
        return SourceFile(module)
    known = [SourceFile(name).name for name in sorted(modules)]
    raise SublimError(f"{word}: is no source file that any artifact in {tree.name} was made with.{near(word, known)}")


def _modules(tree: Tree) -> set[str]:
    return {module for record in tree.records.values() for module in record.plan.code}


def _digest(word: str, reader: Reader) -> Artifact | Found | SourceFile:
    rows = _rows(word, reader) if _ROW.fullmatch(word) else []
    if len(word) == 32 and len(rows) == 1:
        return rows[0]
    found: dict[Artifact | SourceFile, str] = {}
    for cell, record in reader.tree.records.items():
        for what, value in (("key", reader.keys[cell]), ("artifact", record.digest), ("code", digest(record.plan.code))):
            if value.startswith(word):
                found.setdefault(Artifact(cell), f"{what} of {cell}")
        for file, output in record.outputs.items():
            if output.sha256.startswith(word):
                found.setdefault(Artifact(cell, file), f"file {cell}/{file}")
        for module, value in record.plan.code.items():
            if value.startswith(word):
                found.setdefault(SourceFile(module), f"code of {module}")
    names = [*found.values(), *(f"row {row.cell} {row.row_id}" for row in rows)]
    if len(names) > 1:
        raise SublimError(
            f"{word}: begins the digest or id of {len(names)} things; give more digits, or name one:{listed(names)}"
        )
    if names:
        return [*found, *rows][0]
    least = " Row ids need 8 digits, other digests 6." if len(word) < 8 else ""
    raise SublimError(
        f"{word}: no row, file, artifact, key or module in {reader.tree.name} has an id or digest that begins so.{least}"
    )


def _row(word: str, reader: Reader, cell: str) -> Found:
    rows = _rows(word, reader, cell) if _ROW.fullmatch(word) else []
    if len(rows) != 1:
        what = "no row" if not rows else f"{len(rows)} rows"
        names = (f"{row.cell} {row.row_id}" for row in rows)
        raise SublimError(f"{word}: {cell} has {what} with an id that begins so.{listed(names)}")
    return rows[0]


def _rows(word: str, reader: Reader, cell: str | None = None) -> list[Found]:
    """The rows with an id of their own that begins with `word`. What artifacts of a stage have in common is one row; what one
    of them has twice is two."""
    found: dict[tuple[str, str, str, int], list[Found]] = {}
    times: dict[tuple[str, str, str], int] = {}
    for row in reader.own(word, cell=cell):
        here = (row.cell, row.file, row.row_id)
        times[here] = times.get(here, -1) + 1
        found.setdefault((reader.record(row.cell).plan.stage, row.file, row.row_id, times[here]), []).append(row)
    return [
        Found(row_id, tuple(row.places[0] for row in same), tuple(row.row for row in same))
        for (_, _, row_id, _), same in found.items()
    ]
