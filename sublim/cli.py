"""The command line. Thin: each command reads the experiment, asks one function, prints."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sublim.common.errors import SublimError
from sublim.lineage import audit as auditing
from sublim.lineage.why import why as explain
from sublim.plan import dvc as dvc_file
from sublim.plan import layout
from sublim.plan.cells import STAGES, cells, experiment
from sublim.plan.digests import Digests
from sublim.plan.verdict import Verdict, judge, summarize
from sublim.plan.workflow import remembered_params

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
Params = Annotated[
    Path | None, typer.Option(help="The experiment file; by default the one of the last run here, or params.yaml.")
]


@app.command()
def check(params: Params = None) -> None:
    """Check the experiment file and say how many artifacts it needs."""
    path = params or remembered_params()
    planned = cells(experiment(path), Digests(layout.DIGESTS))
    counts = {stage: sum(cell.plan.stage == stage for cell in planned) for stage in STAGES}
    print(f"{path}: {len(planned)} artifacts: " + ", ".join(f"{count} {stage}" for stage, count in counts.items()))


@app.command()
def status(params: Params = None) -> None:
    """Say how many artifacts are not up to date, and why."""
    print(summarize(_judge(params, trust=True).values()))


@app.command()
def why(path: Path, params: Params = None) -> None:
    """Say why the artifact at PATH is, or is not, up to date, field by field."""
    print(explain(path, _judge(params, trust=True)))


@app.command()
def audit(
    params: Params = None,
    stage: Annotated[
        list[str] | None, typer.Option(help="Only the artifacts of this stage; may be given several times.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Hash every file again, whatever the cache of digests says.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Prove that every artifact is what its record says, and every record what the experiment says.

    The exit status is the sum of: 1 something is corrupted, 2 something is stale, 4 something cannot be verified.
    """
    stages = tuple(stage or STAGES)
    for name in stages:
        if name not in STAGES:
            raise SublimError(f"--stage {name}: expected one of {', '.join(STAGES)}.")
    verdicts = _judge(params, trust=not full)
    findings = auditing.audit(verdicts, stages)
    count = sum(verdict.cell.plan.stage in stages for verdict in verdicts.values())
    print(json.dumps([asdict(finding) for finding in findings], indent=1) if as_json else auditing.describe(findings, count))
    raise typer.Exit(auditing.status(findings))


@app.command()
def dvc(write: Annotated[bool, typer.Option("--write", help="Write dvc.yaml instead of printing it.")] = False) -> None:
    """Print the dvc.yaml that belongs to this version of the code."""
    if write:
        Path("dvc.yaml").write_text(dvc_file.text(), encoding="utf-8")
    else:
        print(dvc_file.text(), end="")


@app.command()
def schema(markdown: Annotated[bool, typer.Option("--markdown", help="As a page for people.")] = False) -> None:
    """Print the schema of an experiment file: JSON schema for editors, or a reference page."""
    from sublim.params import reference

    print(reference.markdown() if markdown else reference.json_schema(), end="")


@app.command()
def run(cell: str) -> None:
    """Bring one artifact up to date, as planned by snakemake. Snakemake's jobs call this."""
    raise SublimError(f"run takes exactly one cell, as in `sublim run {cell}`.")


def _judge(params: Path | None, *, trust: bool) -> dict[str, Verdict]:
    digests = Digests(layout.DIGESTS) if trust else Digests(layout.STATE / "no-cache")
    verdicts = judge(cells(experiment(params or remembered_params()), digests), digests)
    if trust and layout.STATE.is_dir():
        digests.save()
    return verdicts


def main() -> None:
    """The entry point; errors that are messages are shown as such."""
    try:
        app()
    except SublimError as error:
        print(f"sublim: {error}", file=sys.stderr)
        raise SystemExit(1) from None
