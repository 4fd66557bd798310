"""The audit: every artifact re-hashed against its record, and every record against the plan, from the bases to the report."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from sublim.plan import layout
from sublim.plan.record import RecordError, read
from sublim.plan.verdict import Verdict, strays

CORRUPTED, STALE, UNVERIFIABLE = 1, 2, 4
_STATUS = {"altered": CORRUPTED, "changed": STALE, "missing": UNVERIFIABLE}


@dataclass(frozen=True)
class Finding:
    """One thing that does not hold."""

    artifact: str
    stage: str
    status: int
    """1 corrupted, 2 stale, 4 cannot be verified."""
    found: str
    mend: str
    """The command that mends it."""


def audit(verdicts: Mapping[str, Verdict], stages: Collection[str]) -> list[Finding]:
    """What is wrong with the artifacts of `stages`: nothing, if the list is empty.

    What is stale only because something upstream is, is not named: mending the upstream artifact mends it.
    """
    findings = [
        Finding(
            verdict.cell.id,
            verdict.cell.plan.stage,
            _STATUS[verdict.kind],
            str(verdict.reason),
            f"snakemake -j8 {layout.record(verdict.cell.id)}",
        )
        for verdict in verdicts.values()
        if verdict.kind in _STATUS and verdict.cell.plan.stage in stages
    ]
    for verdict in verdicts.values():
        if verdict.kind == "valid" and verdict.cell.plan.stage in stages:
            findings += _strangers(verdict.cell.id, verdict.cell.plan.stage)
    for path in strays(list(verdicts)):
        cell = path.relative_to(layout.DATA).as_posix()
        if cell.split("/")[0] in stages:
            findings.append(Finding(cell, cell.split("/")[0], STALE, "it is no part of this experiment", f"rm -r {path}"))
    return findings


def _strangers(cell: str, stage: str) -> list[Finding]:
    """Files beside an artifact that its record does not know: a reader of the whole stage would take them for data."""
    directory = layout.artifact(cell)
    try:
        known = {directory / name for name in read(directory / layout.RECORD).outputs} | {directory / layout.RECORD}
    except (FileNotFoundError, RecordError):
        return []
    return [
        Finding(cell, stage, CORRUPTED, f"{path.relative_to(directory)} is not in its record", f"rm {path}")
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path not in known
    ]


def status(findings: Collection[Finding]) -> int:
    """The exit status: the sum of the kinds of findings that there are."""
    return sum({finding.status for finding in findings})


def describe(findings: Collection[Finding], artifacts: int) -> str:
    """The findings for a person."""
    if not findings:
        return f"proven: {artifacts} artifacts are what their records say, and their records are what the experiment says"
    words = {CORRUPTED: "corrupted", STALE: "stale", UNVERIFIABLE: "cannot be verified"}
    lines = [f"{len(findings)} of {artifacts} artifacts do not hold:"]
    lines += [
        f"  {Path(layout.DATA) / finding.artifact}: {words[finding.status]}: {finding.found}\n    mend: {finding.mend}"
        for finding in findings
    ]
    return "\n".join(lines)
