"""Commands that prove, and the one that clears up: audit, gc."""

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from sublim.cli.app import AsJson, Params, Rev, app, verdicts
from sublim.common.errors import SublimError
from sublim.plan import layout
from sublim.plan.cells import STAGES
from sublim.plan.store import Store, root

if TYPE_CHECKING:
    from sublim.lineage.finding import Finding


@app.command()
def audit(
    params: Params = None,
    stage: Annotated[
        list[str] | None, typer.Option(help="Only the artifacts of this stage; may be given several times.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Hash and check everything again, whatever is remembered.")] = False,
    replay: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N|PATH", help="Also make N artifacts, drawn at random, or the one at PATH, again and compare; repeatable."
        ),
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache", help="Also hash the copies in the local store and in DVC's cache again.")
    ] = False,
    rev: Rev = None,
    as_json: AsJson = False,
) -> None:
    """Prove that every artifact is what its record says, every record what the experiment says, and that the tables agree.

    The exit status is the sum of: 1 something is corrupted, 2 something is stale, 4 something cannot be verified.
    """
    # Artifacts are checked side by side: threads of polars' own would fight them for the cores. It reads this when imported.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    from sublim.lineage import audit as auditing
    from sublim.lineage import caches, revision
    from sublim.lineage import replay as replaying

    stages = tuple(stage or STAGES)
    for name in stages:
        if name not in STAGES:
            raise SublimError(f"--stage {name}: expected one of {', '.join(STAGES)}.")
    if rev is not None:
        if params or replay or cache:
            raise SublimError("--rev: a revision is read from DVC's cache by itself; leave --params, --replay and --cache out.")
        tree = revision.revision(rev)
        findings = auditing.audit_revision(tree, stages)
        count = sum(record.plan.stage in stages for record in tree.records.values())
        _report(findings, count, "each was made from those that it names", as_json=as_json)
    found = verdicts(params, trust=not full)
    cells = replaying.chosen(replay or (), found)
    findings = auditing.audit(found, stages, None if full or not layout.STATE.is_dir() else layout.PROVEN)
    if cache:
        findings += caches.check(Store(root(layout.STORE)))
    same = 0
    for done in replaying.replay(cells, lambda line: print(line, file=sys.stderr, flush=True)):
        finding = replaying.finding(done)
        findings += [finding] if finding else []
        same += finding is None
    if cells and not as_json:
        print(f"made again: {len(cells)}, of which {same} came out with the same bytes")
    count = sum(verdict.cell.plan.stage in stages for verdict in found.values())
    _report(findings, count, "their records are what the experiment says", as_json=as_json)


def _report(findings: "list[Finding]", artifacts: int, also: str, *, as_json: bool) -> NoReturn:
    from sublim.lineage import audit as auditing

    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        print(auditing.describe(findings, artifacts, also))
    raise typer.Exit(auditing.status(findings))


@app.command()
def gc(
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would be freed.")] = False,
    ignore_missing: Annotated[
        bool,
        typer.Option(
            "--ignore-missing", help="Free also what only a revision or an experiment that cannot be looked into may reach."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Free what nothing in the local store needs any more: neither data/ nor any revision that DVC has versioned."""
    from sublim.lineage import gc as collecting
    from sublim.plan.workflow import lock

    store = Store(root(layout.STORE))
    with lock(), store.being_cleared():
        found = collecting.garbage(store, ignore_missing=ignore_missing)
        if not dry:
            collecting.free(found)
    print(collecting.as_json(found) if as_json else collecting.describe(found, dry=dry))
