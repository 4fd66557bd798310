"""The story that the tables tell, checked against itself: what can be wrong though bytes and records agree with each other.

Everything is derived from the records' own plans, so that it works for any revision or bundle. What is found is named by the
artifact whose content contradicts its params or what it was made from. Content alone cannot tell whether a model really wrote
these completions, had these losses or gave these probabilities: who rewrites them throughout, consistently, is found only by
making artifacts again (`sublim audit --replay`).
"""

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from sublim.common.canonical import digest
from sublim.common.files import write_text
from sublim.lineage.finding import UNVERIFIABLE, Finding
from sublim.lineage.story import base, copies, detection, evaluation, filtered, raw, report, student, teacher, theory
from sublim.lineage.story.accident import Accident, UnfitError
from sublim.lineage.story.source import Source
from sublim.lineage.tree import Tree
from sublim.plan import code, layout
from sublim.plan.cells import STAGES

CHECKS: Mapping[str, Callable[[Source, str], Iterator[Accident]]] = {
    "base": base.check,
    "teacher": teacher.check,
    "raw": raw.check,
    "filtered": filtered.check,
    "student": student.check,
    "eval": evaluation.check,
    "report": report.check,
    "detection": detection.check,
    "theory": theory.check,
    "overview": report.check_overview,
}

_UNEXPECTED = (
    pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, TypeError, LookupError, AttributeError, OSError,
)  # fmt: skip
"""What reading a file that may hold anything can end with."""


def check(tree: Tree, stages: Collection[str], proven: Path | None) -> list[Finding]:
    """What does not hold in the artifacts of `stages`: nothing, if the list is empty. One finding per artifact and kind of
    accident, in the order of the pipeline.

    An artifact is compared with an upstream one only if that is in the tree as it was when the artifact was made from it (else
    the check of plans and bytes has something to say) and nothing was found in it (else mending that one comes first). What
    repeats the numbers of a report is compared with it in any case.

    Args:
        tree: artifacts whose bytes are those of their records.
        stages: the stages to look at.
        proven: the file in which it is put down which stories hold, so that they need not be checked again while neither the
            artifacts, what they were made from nor this code changes; None to check all and put nothing down.
    """
    version = code.bytes_digest()
    audit = _Audit(Source(tree), _read(proven, version))
    *waves, reports, detections, overviews = _waves(tree, stages)
    # Threads, since most of the time goes into reading and comparing columns, outside of Python.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for wave in waves:
            list(pool.map(audit.look_at, wave))
        for stage in copies.FINGERPRINTS:
            if stage in stages:
                audit.compare(stage)
        for wave in (reports, detections, overviews):
            list(pool.map(audit.look_at, wave))
    if proven is not None:
        _write(proven, version, audit.holds if set(STAGES) <= set(stages) else audit.holds | audit.known)
    found = audit.accidents
    if not found:
        return []
    ours = code.digests(__name__)
    return [_finding(tree, cell, accident, ours) for cell in tree.records if cell in found for accident in found[cell]]


@dataclass(frozen=True)
class _Audit:
    """One audit under way."""

    source: Source
    known: frozenset[str]
    """What was found to hold before."""
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
            elif unsound.isdisjoint(name for name in _read_by(tree, cell) if not name.startswith(f"{report.STAGE}/")):
                self.holds.add(identity)

    def compare(self, stage: str) -> None:
        """Check that no two artifacts of `stage` hold the same, unless that is known."""
        tree = self.source.tree
        identity = digest([stage, *((cell, tree.records[cell].digest) for cell in tree.cells(stage))])
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
    try:
        # One by one: what was found before a file turns out to be unreadable is kept.
        for accident in CHECKS[plan.stage](source, cell):
            found.append(accident)  # noqa: PERF402
    except UnfitError as error:
        found.append(error.accident)
    except _UNEXPECTED as error:
        said = str(error).splitlines() or [""]
        found.append(Accident("tables", f"hold something that no check expected: {type(error).__name__}: {said[0][:200]}"))
    return found


def _waves(tree: Tree, stages: Collection[str]) -> list[list[tuple[str, ...]]]:
    """The cells to check, in waves that follow each other; the groups of a wave have nothing to do with one another.

    A group has the cells that read the same whole table, one after the other: raw rows and what was filtered from them, the
    students of a data set. Reports, detection and the overview are the last waves.
    """
    waves: dict[str, dict[str, list[str]]] = {
        wave: {} for wave in ("base", "teacher", "raw", "student", "eval", "theory", "report", "detection", "overview")
    }
    for stage in CHECKS:
        for cell in tree.cells(stage) if stage in stages else ():
            inputs = tree.records[cell].inputs
            shared = inputs.get("raw") or inputs.get("filtered")
            wave = waves["raw" if stage == "filtered" else stage]
            wave.setdefault(shared.cell if shared else cell, []).append(cell)
    return [[tuple(cells) for cells in groups.values()] for groups in waves.values()]


def _identity(tree: Tree, cell: str) -> str:
    """What the outcome of the check of `cell` depends on: its plan, bytes and inputs, and what of these the tree holds."""
    record = tree.records[cell]
    upstream = {name: tree.records[name].digest if name in tree.records else None for name in _read_by(tree, cell)}
    return digest([record.key, record.digest, upstream])


def _read_by(tree: Tree, cell: str) -> list[str]:
    """The cells that the check of `cell` reads beside it."""
    record = tree.records[cell]
    untrained = [evaluation.untrained(str(record.plan.dims.get("teacher")))] if record.plan.stage == "teacher" else []
    return [*(given.cell for given in record.inputs.values()), *untrained]


def _finding(tree: Tree, cell: str, accident: Accident, ours: Mapping[str, str]) -> Finding:
    """As a finding. Where the artifact was made by other code than this, that may be why it differs."""
    plan = tree.records[cell].plan
    other = sorted(name for name, found in plan.code.items() if name in ours and ours[name] != found)
    status, text = accident.status, f"{accident.kind}: {accident.text}"
    if other:
        status = UNVERIFIABLE
        text += f" (it was made by other code: {', '.join(other[:3])}; that version can tell)"
    records = " ".join(str(layout.record(name)) for name in dict.fromkeys((cell, *accident.also)))
    return Finding(cell, plan.stage, status, text, f"rm {records} && snakemake -j8 {records}")


def _read(proven: Path | None, version: str) -> frozenset[str]:
    if proven is None:
        return frozenset()
    try:
        found = json.loads(proven.read_text(encoding="utf-8"))
        return frozenset(found["holds"]) if found["code"] == version else frozenset()
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def _write(proven: Path, version: str, holds: Collection[str]) -> None:
    text = json.dumps({"code": version, "holds": sorted(holds)})
    if not (proven.is_file() and proven.read_text(encoding="utf-8") == text):
        write_text(proven, text)
