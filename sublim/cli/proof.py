"""Commands that prove: audit."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from sublim.cli.app import AsJson, Params, app, verdicts
from sublim.common.errors import SublimError
from sublim.lineage import audit as auditing
from sublim.plan.cells import STAGES


@app.command()
def audit(
    params: Params = None,
    stage: Annotated[
        list[str] | None, typer.Option(help="Only the artifacts of this stage; may be given several times.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Hash every file again, whatever the cache of digests says.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prove that every artifact is what its record says, and every record what the experiment says.

    The exit status is the sum of: 1 something is corrupted, 2 something is stale, 4 something cannot be verified.
    """
    stages = tuple(stage or STAGES)
    for name in stages:
        if name not in STAGES:
            raise SublimError(f"--stage {name}: expected one of {', '.join(STAGES)}.")
    found = verdicts(params, trust=not full)
    findings = auditing.audit(found, stages)
    count = sum(verdict.cell.plan.stage in stages for verdict in found.values())
    print(json.dumps([asdict(finding) for finding in findings], indent=1) if as_json else auditing.describe(findings, count))
    raise typer.Exit(auditing.status(findings))
