"""The application that commands register with, and what several of them share."""

from pathlib import Path
from typing import Annotated

import typer

from sublim.plan import layout
from sublim.plan.cells import cells, experiment
from sublim.plan.digests import Digests
from sublim.plan.verdict import Verdict, judge
from sublim.plan.workflow import remembered_params

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
Params = Annotated[
    Path | None, typer.Option(help="The experiment file; by default the one of the last run here, or params.yaml.")
]
Rev = Annotated[
    str | None, typer.Option(help="A git revision, read from its dvc.lock and DVC's cache; by default what is in data/ now.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def verdicts(params: Path | None, *, trust: bool) -> dict[str, Verdict]:
    """Cell → verdict; with `trust`, files whose size, times and inode are as before are not hashed again."""
    digests = Digests(layout.DIGESTS) if trust else Digests(layout.STATE / "no-cache")
    found = judge(cells(experiment(params or remembered_params()), digests), digests)
    if trust and layout.STATE.is_dir():
        digests.save()
    return found
