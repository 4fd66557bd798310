"""Commands on the experiment file and its plan: check, power, cost, status, valid, why, dvc, schema, run."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sublim.cli.app import ASK, MAINTAIN, RUN, AsJson, Params, X, app, verdicts
from sublim.common.errors import SublimError
from sublim.engine import dvc as dvc_file
from sublim.engine import layout
from sublim.engine.digests import Digests
from sublim.engine.planning import cells
from sublim.engine.planning import experiment as load
from sublim.engine.stage import stage as stage_named
from sublim.engine.stage import stages
from sublim.engine.surroundings import unwritable
from sublim.engine.verdict import summarize
from sublim.engine.workflow import PARAMS, clear, lock, remembered_params
from sublim.lineage.why import why as explain


@app.command(rich_help_panel=RUN)
def check(
    params: Params = None,
    remove: Annotated[
        bool, typer.Option("--clear", help="Move artifacts that the experiment does not have (any more) to the store.")
    ] = False,
    sections: Annotated[bool, typer.Option("--sections", help="Check also that no section is left out.")] = False,
) -> None:
    """Check the experiment file and say how many artifacts it needs."""
    path = params or remembered_params()
    found = load(path)
    if sections:
        lacking = dvc_file.lacking(found)
        if missing := [name for name in type(found).model_fields if name in dvc_file.watched(lacking) - found.model_fields_set]:
            raise SublimError(
                f"{path}: DVC needs every section that stages read. Add `{missing[0]}: {{}}`, which means its defaults."
            )
        if unfit := dvc_file.unfit(Path("dvc.yaml"), lacking):
            raise SublimError(f"dvc.yaml: {unfit}. Run `sublim dvc --write`, which fits it to {path}.")
    planned = cells(found, Digests(layout.DIGESTS))
    if remove:
        with lock():
            clear(cell.id for cell in planned)
    counts = {stage: sum(cell.plan.stage == stage for cell in planned) for stage in stages()}
    print(f"{path}: {len(planned)} artifacts: " + ", ".join(f"{count} {stage}" for stage, count in counts.items()))


@app.command(rich_help_panel=ASK)
def doctor(as_json: AsJson = False) -> None:
    """Say what this machine and this file system can do of what a run needs, and what to do about what they cannot."""
    from sublim.engine import doctor

    try:
        found = list(doctor.examine(Path.cwd()))
    except OSError as error:
        raise unwritable(error) from None
    print(json.dumps([asdict(each) for each in found], indent=1) if as_json else "\n".join(doctor.table(found)))
    if any(each.severe for each in found):
        raise SystemExit(1)


@app.command(rich_help_panel=ASK)
def power(params: Params = None, as_json: AsJson = False) -> None:
    """Say what the experiment could see: for each comparison the smallest gain that it finds with 80 % power. Computes no
    artifact.

    The JSON has, by study: source of the spread (params, or the finished report that it was measured in), spread, confidence,
    margin, power, comparisons (as power.parquet: what, test, against, n, cells, level, spread, smallest, shown).
    """
    path = params or remembered_params()
    experiment = load(path)
    for planning in (module for stage in stages().values() if (module := stage.power())):
        if found := planning.power(experiment):
            print(planning.as_json(found) if as_json else planning.describe(found, path))
            return
    raise SublimError(f"{path}: there are no studies, only theory: nothing is compared that could be too small to see.")


@app.command(rich_help_panel=ASK)
def cost(params: Params = None, as_json: AsJson = False) -> None:
    """Say what the run will cost, stage by stage: jobs, tokens sampled, read and trained on, GPU hours by the params' rates.
    What is up to date costs nothing; where something is, the cost of everything stands beside. Computes no artifact.

    The JSON has: stages (stage, jobs, sampled, read, trained, hours of what is stale; the same with all_ before the name of
    everything), download (model → repo, revision), rates, unknown (models whose size, and so whose hours, are missing).
    """
    from sublim.forecast import cost as planning

    path = params or remembered_params()
    found = planning.cost(load(path), verdicts(params, trust=True))
    print(planning.as_json(found) if as_json else planning.describe(found, path))


@app.command(rich_help_panel=RUN)
def status(params: Params = None) -> None:
    """Say how many artifacts are not up to date, and why."""
    print(summarize(verdicts(params, trust=True).values()))


@app.command(rich_help_panel=MAINTAIN)
def valid(stage: str, params: Params = None) -> None:
    """Tell by the exit status whether all artifacts of STAGE are up to date: 0 if they are, 1 if not. `dvc repro` asks this
    before it asks Snakemake."""
    stage_named(stage)
    if any(found.reason is not None for found in verdicts(params, trust=True).values() if found.cell.plan.stage == stage):
        raise typer.Exit(1)


@app.command(rich_help_panel=ASK)
def why(what: X, params: Params = None) -> None:
    """Say why X is, or is not, up to date, field by field; of several artifacts, how many are not, and why."""
    print(explain(what, verdicts(params, trust=True)))


@app.command(rich_help_panel=MAINTAIN)
def dvc(
    write: Annotated[bool, typer.Option("--write", help="Write dvc.yaml instead of printing it.")] = False,
    params: Annotated[Path, typer.Option(help="The experiment file.")] = PARAMS,
) -> None:
    """Print the dvc.yaml that belongs to this version of the code and to the optional sections of params.yaml."""
    text = dvc_file.text(dvc_file.lacking(load(params)))
    if write:
        Path("dvc.yaml").write_text(text, encoding="utf-8")
    else:
        print(text, end="")


@app.command(rich_help_panel=MAINTAIN)
def schema(
    markdown: Annotated[bool, typer.Option("--markdown", help="As a page for people.")] = False,
    tables: Annotated[
        bool, typer.Option("--tables", help="What each Parquet file of each stage holds instead, as a page.")
    ] = False,
) -> None:
    """Print the schema of an experiment file (JSON schema for editors, or a page), or that of the tables."""
    from sublim.lineage.reference import tables_markdown
    from sublim.params import reference

    print(tables_markdown() if tables else reference.markdown() if markdown else reference.json_schema(), end="")


@app.command(rich_help_panel=RUN)
def run(what: X) -> None:
    """Bring one artifact up to date, as planned by snakemake: its jobs call this, with a cell."""
    from sublim.engine.run import run as bring
    from sublim.evidence.tree import working
    from sublim.lineage.naming import artifact

    planned = cells(load(remembered_params()), Digests(layout.DIGESTS))
    cell = artifact(what, working(), [each.id for each in planned])
    print(f"{cell}: {bring(cell)}", flush=True)
