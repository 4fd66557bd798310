"""The audit: every artifact re-hashed against its record, every record against the plan, every table against the story."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from sublim.engine import layout
from sublim.engine.digests import differs
from sublim.engine.record import record_at
from sublim.engine.stage import stages as all_stages
from sublim.engine.store import Store, root
from sublim.engine.verdict import Verdict, strays
from sublim.evidence.finding import CORRUPTED, STALE, UNVERIFIABLE, WORDS, Finding
from sublim.evidence.tree import Tree, working
from sublim.lineage import adopt
from sublim.lineage.story import chain, story

_STATUS = {"altered": CORRUPTED, "changed": STALE, "missing": UNVERIFIABLE}


def audit(verdicts: Mapping[str, Verdict], tree: Tree, stages: Collection[str], proven: Path | None) -> list[Finding]:
    """What is wrong with the artifacts of `stages`: nothing, if the list is empty.

    What is stale only because something upstream is, is not named: mending the upstream artifact mends it.

    Args:
        verdicts: cell → verdict, for all cells of the experiment.
        tree: those of its artifacts that are `sound`.
        stages: the stages to look at.
        proven: where it is put down which stories have been found to hold, so that they need not be checked again while
            nothing changes; None to check all.
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
    others = strays(list(verdicts))
    for path in others:
        cell = path.relative_to(layout.DATA).as_posix()
        if cell.split("/")[0] in stages:
            findings.append(Finding(cell, cell.split("/")[0], STALE, "it is no part of this experiment", f"rm -r {path}"))
    findings += _ownerless(verdicts, others, stages)
    return [*findings, *_adoptions(tree, Store(root(layout.STORE)), stages), *story.check(tree, stages, proven)]


def audit_revision(tree: Tree, stages: Collection[str]) -> list[Finding]:
    """What is wrong with the artifacts of `stages` in a revision: its bytes, the chain of its records, its story.

    There are no plans to compare with here: what its params file says is for that revision's own code to judge. Nothing is
    remembered: every file is hashed.
    """
    fetch = "rm the objects that `sublim audit --cache` names, then dvc fetch"
    findings = [
        Finding(cell, cell.split("/")[0], CORRUPTED, f"its record {why}", fetch)
        for cell, why in tree.broken.items()
        if cell.split("/")[0] in stages
    ]
    altered: set[str] = set()
    for cell, record in tree.records.items():
        for name, output in record.outputs.items() if record.plan.stage in stages else ():
            path = tree.files.get(f"{cell}/{name}")
            if (instead := "missing" if path is None else differs(path, output)) is not None:
                altered.add(cell)
                text = f"its bytes are not those of its record: {name}: {output.sha256[:12]} → {instead}"
                findings.append(Finding(cell, record.plan.stage, CORRUPTED, text, fetch))
    links = [finding for finding in chain.check(tree) if finding.stage in stages]
    return [
        *findings,
        *links,
        *_adoptions(tree, None, stages),
        *story.check(tree.part(tree.records.keys() - altered), stages, None),
    ]


def sound(verdicts: Mapping[str, Verdict]) -> Tree:
    """The artifacts whose bytes are those of their records: only of these it makes sense to ask for more."""
    return working().part({name for name, verdict in verdicts.items() if verdict.kind not in ("missing", "altered")})


def _adoptions(tree: Tree, store: Store | None, stages: Collection[str]) -> list[Finding]:
    return [finding for finding in adopt.check(tree, store) if finding.stage in stages]


def _ownerless(verdicts: Mapping[str, Verdict], others: Sequence[Path], stages: Collection[str]) -> list[Finding]:
    """Files that lie in no artifact, with a record or without: a reader of the whole stage would take them for data."""
    owned = {*(layout.artifact(cell) for cell in verdicts), *others}
    found: dict[Path, int] = {}
    for path in sorted(layout.DATA.rglob("*")):
        # Who has a larger disk links the folder of a stage to it, or that of an artifact.
        linked = path.is_symlink() and path.is_dir() and (path.parent == layout.DATA or path in owned)
        if _no_folder(path) and not linked and path.name != ".gitignore" and owned.isdisjoint(path.parents):
            found[path.parent] = found.get(path.parent, 0) + 1
    return [
        Finding(cell, stage, CORRUPTED, f"{files} files here belong to no artifact", f"rm -r {folder}")
        for folder, files in found.items()
        if (cell := folder.relative_to(layout.DATA).as_posix()) and (stage := cell.split("/")[0]) in stages
    ]


def _strangers(cell: str, stage: str) -> list[Finding]:
    """Files beside an artifact that its record does not know: a reader of the whole stage would take them for data."""
    directory = layout.artifact(cell)
    if (record := record_at(directory / layout.RECORD)) is None:
        return []
    known = {directory / name for name in (*record.outputs, layout.RECORD)}
    return [
        Finding(cell, stage, CORRUPTED, f"{path.relative_to(directory)} is not in its record", f"rm {path}")
        for path in sorted(directory.rglob("*"))
        if _no_folder(path) and path not in known
    ]


def _no_folder(path: Path) -> bool:
    """Whether there is anything that is no folder of its own: a link to one would be followed, a pipe be waited for."""
    return path.is_symlink() or not path.is_dir()


def status(findings: Collection[Finding]) -> int:
    """The exit status: the sum of the kinds of findings that there are."""
    return sum({finding.status for finding in findings})


def describe(findings: Collection[Finding], artifacts: int, adopted: int, also: str) -> str:
    """The findings for a person; `also`: what else was proven of the records, if there are none."""
    if not findings:
        more = f"; {adopted} of these were adopted (`sublim lineage` says on what evidence)" if adopted else ""
        return f"proven: {artifacts} artifacts are what their records say, {also}, and their tables tell the same story{more}"
    lines = [f"{len({finding.artifact for finding in findings})} of {artifacts} artifacts do not hold:"]
    lines += [f"  {_path(finding)}: {WORDS[finding.status]}: {finding.found}\n    mend: {finding.mend}" for finding in findings]
    return "\n".join(lines)


def _path(finding: Finding) -> Path:
    return layout.DATA / finding.artifact if finding.stage in all_stages() else Path(finding.artifact)
