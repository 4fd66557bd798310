"""Commands that prove, and the one that clears up: audit, gc."""

import json
import os
import sys
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from sublim.cli.app import MAINTAIN, PROVE, SUCH, AsJson, Params, Rev, app, verdicts
from sublim.common.errors import SublimError
from sublim.engine import layout
from sublim.engine.stage import stage as stage_named
from sublim.engine.stage import stages as every_stage
from sublim.engine.store import Store, root
from sublim.engine.surroundings import UnwritableError

if TYPE_CHECKING:
    from sublim.evidence.finding import Finding
    from sublim.evidence.tree import Tree


@app.command(rich_help_panel=PROVE)
def audit(
    params: Params = None,
    stage: Annotated[
        list[str] | None, typer.Option(help="Only the artifacts of this stage; may be given several times.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Hash and check everything again, whatever is remembered.")] = False,
    replay: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N|X", help=f"Also make N artifacts, drawn at random, or X, again and compare; repeatable. X: {SUCH}."
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

    stages = tuple(stage or every_stage())
    for name in stages:
        if name not in every_stage():
            raise SublimError(f"--stage {name}: expected one of {', '.join(every_stage())}.")
    if rev is not None:
        if params or replay or cache:
            raise SublimError("--rev: a revision is read from DVC's cache by itself; leave --params, --replay and --cache out.")
        tree = revision.revision(rev)
        findings = auditing.audit_revision(tree, stages)
        count = sum(record.plan.stage in stages for record in tree.records.values())
        _report(findings, count, _adopted(tree, stages), "each was made from those that it names", as_json=as_json)
    found = verdicts(params, trust=not full)
    cells = replaying.chosen(replay or (), found)
    tree = auditing.sound(found)
    findings = auditing.audit(found, tree, stages, None if full or not layout.STATE.is_dir() else layout.PROVEN)
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
    _report(findings, count, _adopted(tree, stages), "their records are what the experiment says", as_json=as_json)


def _adopted(tree: "Tree", stages: Collection[str]) -> int:
    return sum(bool(record.adopted) for record in tree.records.values() if record.plan.stage in stages)


def _report(findings: "list[Finding]", artifacts: int, adopted: int, also: str, *, as_json: bool) -> NoReturn:
    from sublim.lineage import audit as auditing

    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        print(auditing.describe(findings, artifacts, adopted, also))
    raise typer.Exit(auditing.status(findings))


@app.command(rich_help_panel=MAINTAIN)
def adopt(
    stages: Annotated[
        list[str] | None, typer.Argument(metavar="[STAGE]...", help="Only artifacts of these stages; by default of all.")
    ] = None,
    replay: Annotated[
        int, typer.Option(min=1, metavar="N", help="Make N artifacts of each stage and old code again, drawn at random.")
    ] = 1,
    everything: Annotated[bool, typer.Option("--all", help="Make all of them again.")] = False,
    params: Params = None,
) -> None:
    """Keep artifacts that are stale by code alone, if some of each stage, made again by the code as it is, come out byte for
    byte the same. If one byte differs, nothing is adopted."""
    from sublim.engine import rekeying
    from sublim.engine.digests import Digests
    from sublim.engine.workflow import lock
    from sublim.lineage import adopt as adopting

    chosen = [stage_named(name).name for name in stages or every_stage()]
    with lock():
        rekeying.finish()
        found = verdicts(params, trust=True)
        digests = Digests(layout.DIGESTS)
        groups = adopting.groups(found, chosen, digests)
        digests.save()
        done = adopting.adopt(
            groups, found, None if everything else replay, lambda line: print(line, file=sys.stderr, flush=True)
        )
    print(adopting.describe(done))


@app.command(rich_help_panel=MAINTAIN)
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
    from sublim.engine.workflow import lock
    from sublim.lineage import gc as collecting

    store = Store(root(layout.STORE))
    with ExitStack() as held:
        try:
            held.enter_context(lock())
            held.enter_context(store.being_cleared())
        except (UnwritableError, OSError):
            if not dry:  # where nothing can be written, there is nobody to wait for
                raise
        found = collecting.garbage(store, ignore_missing=ignore_missing)
        if not dry:
            collecting.free(found)
    print(collecting.as_json(found) if as_json else collecting.describe(found, dry=dry))
