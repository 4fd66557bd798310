"""The story that the tables tell, checked against itself: what can be wrong though bytes and records agree with each other.

Everything is derived from the records' own plans, so that it works for any revision or bundle. What is found is named by the
artifact whose content contradicts its params or what it was made from. Content alone cannot tell whether a model really wrote
these completions, had these losses or gave these probabilities: who rewrites them throughout, consistently, is found only by
making artifacts again (`sublim audit --replay`).
"""

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import polars as pl

from sublim import lists
from sublim.common.canonical import digest
from sublim.common.files import write_text
from sublim.common.reading import UnreadableError
from sublim.engine import code, layout
from sublim.engine.stage import Stage, stages
from sublim.evidence.accident import Accident, UnfitError
from sublim.evidence.finding import UNVERIFIABLE, Finding
from sublim.evidence.source import Source, repeats
from sublim.evidence.tree import Tree
from sublim.lineage.story import contents, copies

_UNEXPECTED = (
    pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, TypeError, LookupError, AttributeError, OSError,
    RecursionError, UnreadableError,
)  # fmt: skip
"""What reading a file that may hold anything can end with."""


def check(tree: Tree, asked: Collection[str], proven: Path | None) -> list[Finding]:
    """What does not hold in the artifacts of the stages `asked`: nothing, if the list is empty. One finding per artifact and
    kind of accident, in the order of the pipeline.

    An artifact is compared with an upstream one only if that is in the tree as it was when the artifact was made from it (else
    the check of plans and bytes has something to say) and nothing was found in it (else mending that one comes first). What
    repeats numbers of others is compared with them in any case.

    What is particular of a stage stands in its module `check`:
        check(source, cell): what does not hold in an artifact.
        group(record), optional: the cell whose whole table it reads, right behind which it is checked; everything else that it
            reads must be of stages before that one's.
        read_besides(record), optional: cells that it reads beside its inputs.
        fingerprint(source, cell) and FINGERPRINT_WORDS, optional: what in an artifact no other one can have, and what that is.

    Args:
        tree: artifacts whose bytes are those of their records.
        asked: the stages to look at.
        proven: the file in which it is put down which stories hold, so that they need not be checked again while neither the
            artifacts, what they were made from nor this code changes; None to check all and put nothing down.
    """
    version = code.bytes_digest()
    audit = _Audit(Source(tree), _read(proven, version))
    chosen = [stage for name, stage in stages().items() if name in asked]
    makers = [stage for stage in chosen if not stage.repeats]
    # Threads, since most of the time goes into reading and comparing columns, outside of Python.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for wave in _waves(tree, makers):
            list(pool.map(audit.look_at, wave))
        for stage in makers:
            if hasattr(stage.check(), "fingerprint"):
                audit.compare(stage)
        for stage in (stage for stage in chosen if stage not in makers):
            list(pool.map(audit.look_at, [(cell,) for cell in tree.cells(stage.name)]))
    if proven is not None:
        _write(proven, version, audit.holds if len(chosen) == len(stages()) else audit.holds | audit.known)
    found = audit.accidents
    return [_finding(tree, cell, accident) for cell in tree.records for accident in found.get(cell, ())]


@dataclass(frozen=True)
class _Audit:
    """One audit under way."""

    source: Source
    known: frozenset[str]  #: What was found to hold before.
    holds: set[str] = field(default_factory=lambda: set[str]())
    accidents: dict[str, list[Accident]] = field(default_factory=lambda: dict[str, list[Accident]]())

    def look_at(self, cells: Sequence[str]) -> None:
        """Check `cells` one after the other, unless they are known to hold."""
        tree, unsound = self.source.tree, self.source.unsound
        for cell in cells:
            identity = _identity(tree, cell)
            found = [] if identity in self.known else _examine(self.source, cell)
            if found:
                self.accidents[cell] = found
                unsound.add(cell)
            elif unsound.isdisjoint(name for name in _read_by(tree, cell) if not repeats(name)):
                self.holds.add(identity)

    def compare(self, stage: Stage) -> None:
        """Check that no two artifacts of `stage` hold the same, unless that is known."""
        tree = self.source.tree
        identity = digest([stage.name, *((cell, tree.records[cell].digest) for cell in tree.cells(stage.name))])
        shared = {} if identity in self.known else copies.check(self.source, stage)
        for cell, accident in shared.items():
            self.accidents.setdefault(cell, []).append(accident)
            self.source.unsound.add(cell)
        if not shared:
            self.holds.add(identity)


def _examine(source: Source, cell: str) -> list[Accident]:
    found: list[Accident] = []
    plan = source.record(cell).plan
    if plan.cell != cell:
        return [Accident("params", f"expected the record of {cell}, found that of {plan.cell}")]
    stage = stages()[plan.stage]
    for check in (stage.check().check, contents.check):
        try:
            # One by one: what was found before a file turns out to be unreadable is kept.
            for accident in check(source, cell):
                found.append(accident)  # noqa: PERF402
        except UnfitError as error:
            found.append(error.accident)
        except _UNEXPECTED as error:
            said = str(error).splitlines() or [""]
            found.append(Accident("tables", f"hold something that no check expected: {type(error).__name__}: {said[0][:200]}"))
    unread = [
        table.file for table in stage.tables if source.has(cell, table.file) and (cell, table.file) not in source.looked_at
    ]
    if unread and not found and not stage.repeats:
        found.append(Accident("files", f"expected the tables that its params ask for, found also {unread[0]}"))
    return found


def _waves(tree: Tree, chosen: Sequence[Stage]) -> Iterable[Sequence[Sequence[str]]]:
    """The cells to check, in waves that follow each other, each of groups that have nothing to do with one another; those of a
    group are checked one after the other."""
    waves: dict[str, dict[str, list[str]]] = {name: {} for name in stages()}
    for stage in chosen:
        for cell in tree.cells(stage.name):
            first = _first(tree, cell)
            waves.get(first.partition("/")[0], waves[stage.name]).setdefault(first, []).append(cell)
    return [list(groups.values()) for groups in waves.values()]


def _first(tree: Tree, cell: str) -> str:
    """The cell whose group `cell` belongs to."""
    record, stage = tree.records.get(cell), stages().get(cell.partition("/")[0])
    if record is None or stage is None or not hasattr(stage.check(), "group"):
        return cell
    before: str | None = stage.check().group(record)
    return _first(tree, before) if before and before.partition("/")[0] in stage.upstream else cell


def _identity(tree: Tree, cell: str) -> str:
    """What the outcome of the check of `cell` depends on: its plan, bytes and inputs, and what of these the tree holds."""
    record = tree.records[cell]
    upstream = {name: tree.records[name].digest if name in tree.records else None for name in _read_by(tree, cell)}
    return digest([record.key, record.digest, upstream])


def _read_by(tree: Tree, cell: str) -> list[str]:
    """The cells that the check of `cell` reads beside it."""
    record = tree.records[cell]
    module = stages()[record.plan.stage].check()
    besides: Sequence[str] = module.read_besides(record) if hasattr(module, "read_besides") else ()
    return [*(given.cell for given in record.inputs.values()), *besides]


def _finding(tree: Tree, cell: str, accident: Accident) -> Finding:
    """As a finding. Where the artifact was made by other code than this, that may be why it differs."""
    plan = tree.records[cell].plan
    ours = _ours(plan.stage, tuple(plan.code))
    other = sorted(name for name, found in plan.code.items() if ours.get(name, found) != found)
    status, text = accident.status, f"{accident.kind}: {accident.text}"
    if other:
        status = UNVERIFIABLE
        text += f" (it was made by other code: {', '.join(other[:3])}; that version can tell)"
    records = " ".join(str(layout.record(name)) for name in dict.fromkeys((cell, *accident.also)))
    return Finding(cell, plan.stage, status, text, f"rm {records} && snakemake -j8 {records}")


@cache
def _ours(stage: str, modules: tuple[str, ...]) -> Mapping[str, str]:
    """Module → digest of the code that the check of `stage` goes by, for an artifact that `modules` made."""
    kinds = (module for family in lists.KINDS.values() for module in family if module in modules)
    roots = (__name__, stages()[stage].check().__name__, *kinds)
    return {name: found for root in roots for name, found in code.digests(root).items()}


def _read(proven: Path | None, version: str) -> frozenset[str]:
    if proven is None:
        return frozenset()
    try:
        found = json.loads(proven.read_text(encoding="utf-8"))
        return frozenset(found["holds"]) if found["code"] == version else frozenset()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return frozenset()


def _write(proven: Path, version: str, holds: Collection[str]) -> None:
    text = json.dumps({"code": version, "holds": sorted(holds)})
    with suppress(OSError):  # who only looks may lack the right to
        if not (proven.is_file() and proven.read_bytes() == text.encode()):
            write_text(proven, text)
