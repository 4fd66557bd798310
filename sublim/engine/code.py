"""Code digests: which source a stage's result depends on, and whether that source means the same as before."""

import ast
import atexit
import hashlib
import json
import platform
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import cast

import sublim
from sublim import lists
from sublim.common import canonical
from sublim.common.files import sha256, write_text
from sublim.engine import syntax

PACKAGE = Path(sublim.__file__).parent
_known: dict[str, tuple[str, list[str]]] = {}  # digest of a module's name and source → what was read of it
OUTSIDE = (lists.__name__,)  #: Modules that are in no digest: what they say of a cell is in its plan.


def closure(module: str) -> tuple[str, ...]:
    """The modules of ours that `module` reaches by import statements, itself included, sorted.

    Static: imports inside functions count as well. Importing `a.b.c` also runs `a` and `a.b`.
    """
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imports(name)
    return tuple(sorted(found))


def digests(module: str) -> dict[str, str]:
    """Module → digest of its source's meaning, for every module in the import closure of `module`."""
    return {name: _module(name)[0] for name in closure(module)}


def bytes_digest() -> str:
    """Digest of all files of this package, and of stages and kinds beside it, as they are: much faster than what they mean, and
    different after any edit."""
    files = sorted(
        path
        for name in _packages()
        for path in (PACKAGE.parent / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    files += [path for name in _packages() if (path := PACKAGE.parent / f"{name}.py").is_file()]
    return canonical.digest({path.relative_to(PACKAGE.parent).as_posix(): sha256(path) for path in files})


@cache
def _packages() -> tuple[str, ...]:
    """Where code of ours is: this package, and those beside it that stages and kinds are in."""
    listed = (*lists.STAGES, *(module for family in lists.KINDS.values() for module in family))
    return tuple(dict.fromkeys([sublim.__name__, *(module.partition(".")[0] for module in listed)]))


def source(module: str) -> Path:
    """The file of a module of ours."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def files_of(module: Path) -> list[Path]:
    """The source file `module`, and the templates beside it that have its name: they are part of what it does."""
    return [module, *sorted(path for path in module.parent.glob(f"{module.stem}.*") if path.suffix != ".py")]


def meaning(text: str) -> str:
    """Digest of Python source without what changes nothing: comments, blank space, docstrings and other bare strings.

    Line numbers are not in it, so that an edit above a function leaves the function's part as it was. The same source has the
    same digest under every Python from 3.11 on.
    """
    return _read(text)[0]


def imports(module: str) -> tuple[str, ...]:
    """The modules of this package that `module` imports by a statement of its own, and the packages around them."""
    return _module(module)[1]


@cache
def _module(module: str) -> tuple[str, tuple[str, ...]]:
    """The digest of a module with its templates, and what it imports: each module is parsed once."""
    file, *templates = files_of(source(module))
    written = file.read_bytes()
    name = hashlib.sha256(f"{module}\0".encode() + written).hexdigest()
    if name not in _known:
        _known[name] = _read(written.decode(), module)
    text, names = _known[name]
    digest = hashlib.sha256(text.encode())
    for template in templates:
        digest.update(template.name.encode() + b"\0" + template.read_bytes())
    return digest.hexdigest(), _ours(module, names)


def recall(path: Path) -> None:
    """From now on take what earlier processes have read of sources, by their bytes, from `path`, and at the end of this one
    write it there: to parse them all is a third of a second."""
    of = [platform.python_version(), sha256(Path(__file__)), sha256(Path(syntax.__file__))]
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        found = json.loads(path.read_text(encoding="utf-8"))
        _known.update(found["known"] if found["of"] == of else {})
    before, there = len(_known), path.absolute()  # a test may end elsewhere

    def remember() -> None:
        with suppress(OSError):  # a full disk, or one that cannot be written: then the next process reads them again
            if len(_known) > before and there.parent.is_dir():
                write_text(there, json.dumps({"of": of, "known": _known}))

    atexit.register(remember)


def _ours(module: str, names: Iterable[str]) -> tuple[str, ...]:
    """The modules of ours among `names`, and the packages around them and around `module`."""
    ours = {name for name in names if name.split(".")[0] in _packages()}
    parents = {".".join(name.split(".")[:n]) for name in ours | {module} for n in range(1, len(name.split(".")) + 1)}
    return tuple(sorted(name for name in parents if name not in OUTSIDE and source(name).is_file()))


def _read(text: str, module: str = "") -> tuple[str, list[str]]:
    """The digest of a source's meaning, and every name that is in an import statement of it, if it is that of `module`."""
    tree = ast.parse(text)
    found: list[ast.Import | ast.ImportFrom] = []
    waiting: list[ast.AST] = [tree]
    while waiting:  # through statements only: an expression holds none, and there are many more of them
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            statements: object = getattr(node, block, None)
            if isinstance(statements, list):  # in a lambda or a conditional expression it is one expression
                kept = [statement for statement in cast("list[ast.AST]", statements) if not _bare_string(statement)]
                setattr(node, block, kept)
                waiting += kept
    names = {name for node in found for name in _named(module, node)}
    return hashlib.sha256(syntax.printed(tree).encode()).hexdigest(), sorted(names)


def _named(module: str, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    yield from (alias.name for alias in node.names if isinstance(node, ast.Import))
    if isinstance(node, ast.ImportFrom):
        parts = module.split(".")
        base = parts[: len(parts) - node.level + (source(module).name == "__init__.py")] if node.level else []
        full = ".".join([*base, *([node.module] if node.module else [])])
        yield from (full, *(f"{full}.{alias.name}" for alias in node.names))


def _bare_string(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)
    )
