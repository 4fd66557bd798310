"""Do the parts of a bundle fit together: records, bytes, chain, experiment, code? Asked before writing and after reading."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

from sublim.common.names import is_sha256
from sublim.engine import environment
from sublim.engine.code import PACKAGE
from sublim.engine.digests import Digests
from sublim.engine.layout import DIGESTS, RECORD
from sublim.engine.planning import cells
from sublim.engine.record import Output, Record
from sublim.engine.stage import stages
from sublim.engine.verdict import Cell, differences
from sublim.evidence.finding import CORRUPTED, STALE, UNVERIFIABLE, Finding
from sublim.evidence.tree import Tree
from sublim.evidence.words import more
from sublim.lineage import adopt
from sublim.lineage.handover import content
from sublim.lineage.handover.bounds import DEEPEST, VALUES
from sublim.lineage.handover.bundle import module_digest, module_files, workflow_files
from sublim.lineage.handover.content import About, adopted, code_name, data_name
from sublim.params.experiment import Experiment
from sublim.params.load import load

SHOWN = 3
COMMIT = re.compile(r"[0-9a-f]{40}")
LOCKS = (content.DVC_LOCK, content.REQUIREMENTS)
GIVEN = (content.ABOUT, content.PARAMS, *LOCKS, content.SIGNER, content.SNAKEFILE, content.LISTS)
UNSEEN = {"*": "not looked at"}
"""In a plan, what stands for the digests of files on another machine, which only a record knows."""


@dataclass(frozen=True)
class Parts:
    """A bundle, before it is written or after it was unpacked."""

    about: About
    tree: Tree
    files: Mapping[str, Output]  #: Name → digest and size as they are, of every file that is given.
    sources: Mapping[str, bytes]  #: Name, such as `code/sublim/common/ids.py` → source code.
    planned: Mapping[str, Cell]  #: Cell → what the experiment plans for it.

    @property
    def records(self) -> Mapping[str, Record]:
        """Cell → record."""
        return self.tree.records


def plan(params: Path) -> tuple[Experiment, dict[str, Cell]]:
    """The experiment in the file `params`, and what it plans for each cell. Looks at nothing but that file. Raises ParamsError:
    the file says something that cannot be meant; ValueError: it would swell when read."""
    _harmless(params)
    experiment = load(params)
    return experiment, {cell.id: cell for cell in cells(experiment, _Unseen(DIGESTS))}


def _harmless(params: Path) -> None:
    """A few lines of YAML can stand for gigabytes, by aliases of aliases, and a few more have no end of depth. What they stand
    for is counted before it is made."""
    text = params.read_text(encoding="utf-8", errors="replace")
    try:
        _shallow(params, text)
        root: Any = YAML(pure=True).compose(text)  # pyright: ignore[reportUnknownMemberType]
    except YAMLError:
        return  # reading it will say what is wrong
    counted: dict[int, int] = {}

    def count(node: Any) -> int:
        if id(node) not in counted:
            counted[id(node)] = VALUES  # until it is known: an alias inside of what it stands for never ends
            inside = cast("list[Any]", node.value) if isinstance(node.value, list) else []
            # A mapping's value is a list of pairs.
            pairs = [cast("tuple[Any, ...]", item) if isinstance(item, tuple) else (item,) for item in inside]
            counted[id(node)] = 1 + sum(count(part) for pair in pairs for part in pair)
        return counted[id(node)]

    if root is not None and count(root) >= VALUES:
        raise ValueError(f"{params}: its aliases stand for more than {VALUES:,} values")


def _shallow(params: Path, text: str) -> None:
    depth, values = 0, 0
    for event in cast("Iterator[Any]", YAML(pure=True).parse(text)):  # pyright: ignore[reportUnknownMemberType]
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        values += not isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"{params}: expected {DEEPEST} levels at most, found more: no experiment is nested so deeply")
        if values > VALUES:
            raise ValueError(f"{params}: expected {VALUES:,} values at most, found more: no experiment is so large")


def needed(exported: str, planned: Mapping[str, Cell]) -> dict[str, None]:
    """The cells that were asked for and everything upstream of them, in the order of `planned`."""
    waiting = list(planned) if exported == content.ALL else [exported]
    found: set[str] = set()
    while waiting:
        cell = waiting.pop()
        if cell not in found:
            found.add(cell)
            waiting += planned[cell].inputs.values()
    return {cell: None for cell in planned if cell in found}


def examine(parts: Parts) -> list[Finding]:
    """What does not hold: nothing, if the list is empty."""
    asked = (_completeness, _chain, _plans, _bytes, _code, _workflow, _adoptions, _environments)
    found = [finding for ask in asked for finding in ask(parts)]
    # With a record missing or unreadable, what only it knows would be called strange.
    return found or [*_strangers(parts)]


def notes(parts: Parts) -> list[str]:
    """What a reviewer should know though nothing is wrong with it."""
    known = [f"adopted: {said}" for said in adopted(parts.records)]
    return [*known, *_other_code(parts), *_other_python(parts), *_other_workflow(parts), *_surroundings(parts)]


def finding(cell: str, status: int, found: str) -> Finding:
    """A finding about a bundle; whoever reads it cannot mend it."""
    return Finding(cell, cell.partition("/")[0], status, found, "")


def _completeness(parts: Parts) -> Iterator[Finding]:
    for cell, why in parts.tree.broken.items():
        yield finding(cell, CORRUPTED, f"its record {why}")
    for cell, record in parts.records.items():
        if record.plan.cell != cell:
            yield finding(cell, CORRUPTED, f"its record is that of {record.plan.cell}")
    if parts.about.exported != content.ALL and parts.about.exported not in parts.planned:
        yield finding(parts.about.exported, STALE, "was exported, but the experiment has no such artifact")
        return
    expected = needed(parts.about.exported, parts.planned)
    used = {found.cell for record in parts.records.values() for found in record.inputs.values()}
    for cell in sorted({*expected, *used} - {*parts.records, *parts.tree.broken}):
        users = parts.tree.consumers.get(cell, ())
        why = f"{len(users)} artifacts were made from it, first {users[0]}" if users else "the experiment has this artifact"
        yield finding(cell, UNVERIFIABLE, f"its record is not there, but {why}")
    for cell in parts.records:
        if cell not in expected:
            yield finding(cell, STALE, "it is no part of the experiment, or nothing that was exported was made from it")


def _chain(parts: Parts) -> Iterator[Finding]:
    for cell, record in parts.records.items():
        for name, used in record.inputs.items():
            stage = stages().get(record.plan.stage)
            if stage is None or used.cell.partition("/")[0] not in stage.upstream:
                yield finding(cell, CORRUPTED, f"its input {name} is {used.cell}: no {record.plan.stage} is made from that")
            elif used.cell in parts.records and parts.records[used.cell].digest != used.digest:
                digests = f"expected {used.digest[:12]}, found {parts.records[used.cell].digest[:12]}"
                yield finding(cell, CORRUPTED, f"it was made from other bytes of {used.cell}: {digests}")


def _plans(parts: Parts) -> Iterator[Finding]:
    for cell, record in parts.records.items():
        if cell not in parts.planned or record.plan.cell != cell:
            continue
        expected = parts.planned[cell]
        params = excused(expected.plan.params, record.plan.params)
        if changes := differences(record.plan.dims, expected.plan.dims):
            yield finding(cell, CORRUPTED, f"its dimensions are not those of its place: {few(changes)}")
        if changes := differences(record.plan.params, params):
            yield finding(cell, STALE, f"its params are not those of the experiment: {few(changes)}")
        if changes := differences({name: used.cell for name, used in record.inputs.items()}, expected.inputs):
            yield finding(cell, STALE, f"its inputs are not those of the experiment: {few(changes)}")


def excused(planned: Any, recorded: Any) -> Any:
    """`planned` params with the digests of `recorded` ones wherever files were not looked at."""
    if planned == UNSEEN:
        return recorded if _digests(recorded) else UNSEEN
    match planned:
        case dict():
            given = cast("dict[str, Any]", recorded) if isinstance(recorded, dict) else {}
            return {name: excused(value, given.get(name)) for name, value in cast("dict[str, Any]", planned).items()}
        case list():
            items = cast("list[Any]", planned)
            others = cast("list[Any]", recorded) if isinstance(recorded, list) else []
            return [excused(item, other) for item, other in zip_longest(items, others[: len(items)])]
        case _:
            return planned


def _digests(value: object) -> bool:
    return isinstance(value, dict) and all(is_sha256(digest) for digest in cast("dict[str, object]", value).values())


def _bytes(parts: Parts) -> Iterator[Finding]:
    for cell, record in parts.records.items():
        for name, output in record.outputs.items() if parts.about.holds(record) else ():
            found = parts.files.get(f"{data_name(cell)}/{name}")
            if found is None:
                yield finding(cell, UNVERIFIABLE, f"{name} is in its record, but not there")
            elif found != output:
                shown = f"expected {_shown(output)}, found {_shown(found)}"
                yield finding(cell, CORRUPTED, f"{name} is not what its record says: {shown}")


def _code(parts: Parts) -> Iterator[Finding]:
    claims = {(module, digest): cell for cell, record in parts.records.items() for module, digest in record.plan.code.items()}
    found: dict[str, str | None] = {}
    for module in sorted({module for module, _ in claims}):
        try:
            found[module] = module_digest(module, parts.sources)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the parser says MemoryError of what is deep
            said = f"{type(error).__name__}: {str(error)[:200]}"
            yield finding(f"{content.CODE}/{module}", CORRUPTED, f"this source cannot be read: {said}")
            continue
        if found[module] is None:
            text = "the source of this module, which records name, is not there"
            yield finding(f"{content.CODE}/{module}", UNVERIFIABLE, text)
    if not _other_python(parts):
        for (module, digest), cell in claims.items():
            if found.get(module, digest) not in (digest, None):
                said = f"its record says that it was made by {module} {digest[:12]}"
                yield finding(cell, CORRUPTED, f"{said}, the source is {str(found[module])[:12]}")
    for cell, record in parts.records.items():
        # The same modules import the same modules: a list that lacks one was edited.
        now = parts.planned[cell].plan.code if cell in parts.planned else record.plan.code
        if all(now.get(module, digest) == digest for module, digest in record.plan.code.items()):
            for module in sorted(now.keys() ^ record.plan.code.keys()):
                yield finding(cell, CORRUPTED, f"its record and its code disagree on whether {module} is imported")


def _workflow(parts: Parts) -> Iterator[Finding]:
    """No record names the workflow, but the commit that it is of, which the repository here may know."""
    commit = _commit(parts)
    for name in _unnamed(parts) if commit else ():
        known = _committed(str(commit), name.removeprefix(code_name("")))
        if known is not None and known != parts.sources[name]:
            yield finding(
                name, CORRUPTED, f"it is not that of the commit {str(commit)[:12]}, which the records name: it was edited"
            )


def _unnamed(parts: Parts) -> list[str]:
    """The files of code that no record names."""
    return [*workflow_files(parts.sources), *([content.LISTS] if content.LISTS in parts.sources else [])]


def _commit(parts: Parts) -> str | None:
    """The one commit that all records name, if the code was as it is there."""
    gits = (environment.commit(record.environment) for record in parts.records.values())
    states = {(git["commit"], git["dirty"]) if git else None for git in gits}
    (state,) = states if len(states) == 1 else (None,)
    return str(state[0]) if state and state[1] is False and COMMIT.fullmatch(str(state[0])) else None


def _committed(commit: str, name: str) -> bytes | None:
    """The bytes of a file of the code's repository at a commit; None where neither that repository nor git is here."""
    for folder in (PACKAGE.parent, Path()):
        command = ["git", "-C", os.fspath(folder), "cat-file", "blob", f"{commit}:./{name}"]
        with suppress(OSError):
            done = subprocess.run(command, capture_output=True, check=False)
            if done.returncode == 0:
                return done.stdout
    return None


def _other_workflow(parts: Parts) -> list[str]:
    commit, names = _commit(parts), _unnamed(parts)
    if commit and all(_committed(commit, name.removeprefix(code_name(""))) is not None for name in names):
        return []
    return [
        f"no record names {', '.join(names)}, and the commit that they are of is not known here: without a signature that you "
        "trust, read them before you run them"
    ]


def _adoptions(parts: Parts) -> Iterator[Finding]:
    """A witness is in the bundle only if something in it was made from that, too."""
    for found in adopt.check(parts.tree, None):
        if found.status != UNVERIFIABLE:
            yield finding(found.artifact, found.status, found.found)


def _strangers(parts: Parts) -> Iterator[Finding]:
    known = {
        f"{data_name(cell)}/{name}"
        for cell, record in parts.records.items()
        for name in (RECORD, *(record.outputs if parts.about.holds(record) else ()))
    }
    modules = {module for record in parts.records.values() for module in record.plan.code}
    known |= {*GIVEN, *(name for module in modules for name in module_files(module, parts.sources))}
    known |= {*workflow_files(parts.sources)}
    for name in sorted(parts.files.keys() - known):
        yield finding(name, CORRUPTED, "no record names this file, and it is none that every bundle has")


def _environments(parts: Parts) -> Iterator[Finding]:
    for cell, record in parts.records.items():
        packages = record.environment.get("packages")
        if not isinstance(packages, dict) or not isinstance(record.environment.get("python"), str):
            yield finding(cell, CORRUPTED, "its record does not say in which environment it was made")


def _other_code(parts: Parts) -> list[str]:
    made = {module: digest for record in parts.records.values() for module, digest in record.plan.code.items()}
    here = {module: digest for cell in parts.planned.values() for module, digest in cell.plan.code.items()}
    other = sorted(module for module in made if here.get(module) != made[module])
    if not other or _other_python(parts):
        return []
    return [f"made by other code than the package that is installed here: {len(other)} modules differ, first {other[0]}"]


def _other_python(parts: Parts) -> list[str]:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    made = {".".join(str(record.environment.get("python")).split(".")[:2]) for record in parts.records.values()}
    if made <= {here}:
        return []
    return [
        f"made with Python {', '.join(sorted(made))}, this is {here}: each has syntax trees of its own, so the digests of "
        "the code were not compared (the sources themselves are those of the bundle's list)"
    ]


def _surroundings(parts: Parts) -> Iterator[str]:
    environments = {str(record.environment) for record in parts.records.values()}
    if len(environments) > 1:
        yield f"made in {len(environments)} different environments: `sublim diff` and the records say which"
    if any(git["dirty"] for record in parts.records.values() if (git := environment.commit(record.environment))):
        yield "made by code with changes that were not committed; the code in the bundle is the code that ran"
    if content.REQUIREMENTS not in parts.files:
        yield f"there is no {content.REQUIREMENTS} in it: of the packages only those in the records are known"


def few(changes: tuple[str, ...]) -> str:
    """The first of `changes`, and how many more there are."""
    return "; ".join(changes[:SHOWN]) + more(len(changes), SHOWN)


def _shown(output: Output) -> str:
    return f"{output.sha256[:12]} ({output.size:,} bytes)"


class _Unseen(Digests):
    """`Folders` that are not looked at: those of the machine where the experiment ran are not here."""

    def folder(self, name: str) -> dict[str, str]:  # noqa: ARG002
        return UNSEEN

    def files(self, *paths: Path) -> dict[str, str]:  # noqa: ARG002
        return UNSEEN
