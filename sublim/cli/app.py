"""The application that commands register with, and what several of them share."""

from pathlib import Path
from typing import Annotated

import typer

import sublim
from sublim.common.errors import SublimError
from sublim.plan import layout
from sublim.plan.cells import cells, experiment
from sublim.plan.code import PACKAGE
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
    """Cell → verdict; with `trust`, files whose size, times and inode are as before are not hashed again.

    Raises:
        SublimError: this folder has code of its own, and it is not what is running.
    """
    own = Path(sublim.__name__) / "__init__.py"
    if own.is_file() and not own.samefile(PACKAGE / "__init__.py"):
        # Snakemake runs the code beside the Snakefile: judged by another checkout's code, its artifacts would seem stale.
        raise SublimError(
            f"this folder has code of its own ({own.parent}), but the code that runs is {PACKAGE}. Activate this folder's "
            f"environment, or say `python -m sublim` instead of `sublim`."
        )
    digests = Digests(layout.DIGESTS) if trust else Digests(layout.STATE / "no-cache")
    found = judge(cells(experiment(params or remembered_params()), digests), digests)
    if trust and layout.STATE.is_dir():
        digests.save()
    return found
