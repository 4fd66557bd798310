"""The application that commands register with, and what several of them share."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import sublim
from sublim.common.errors import SublimError
from sublim.engine import code, layout, rekeying
from sublim.engine.code import PACKAGE
from sublim.engine.digests import Digests
from sublim.engine.planning import cells, experiment
from sublim.engine.verdict import Verdict, judge
from sublim.engine.workflow import lock, remembered_params

RUN, ASK, PROVE, HAND_OVER, MAINTAIN = "Run", "Ask", "Prove", "Hand over", "Maintain"
"""What a person wants: the groups of commands in `sublim --help`."""
SUCH = (
    "its path, a file in it, its cell, its digest (6 digits or more), the id of a row in it, or words such as "
    "`student teacher=neox-a trait=fox seed=1`"
)


class Groups(TyperGroup):
    """Commands by what a person wants."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write a section per group."""
        width = max(len(name) for name in self.commands)
        for group in (RUN, ASK, PROVE, HAND_OVER, MAINTAIN):
            found = {name: each for name, each in self.commands.items() if getattr(each, "rich_help_panel", None) == group}
            with formatter.section(group):
                short = formatter.width - width - 6
                formatter.write_dl([(name.ljust(width), each.get_short_help_str(short)) for name, each in found.items()])


app = typer.Typer(cls=Groups, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
Params = Annotated[
    Path | None, typer.Option(help="The experiment file; by default the one of the last run here, or params.yaml.")
]
Rev = Annotated[
    str | None, typer.Option(help="A git revision, read from its dvc.lock and DVC's cache; by default what is in data/ now.")
]
X = Annotated[list[str], typer.Argument(metavar="X", help=f"An artifact: {SUCH}.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def verdicts(params: Path | None, *, trust: bool) -> dict[str, Verdict]:
    """Cell → verdict; with `trust`, files whose size, times and inode are as before are not hashed again. Raises SublimError:
    this folder has code of its own, and it is not what is running."""
    own = Path(sublim.__name__) / "__init__.py"
    if own.is_file() and not own.samefile(PACKAGE / "__init__.py"):
        # Snakemake runs the code beside the Snakefile: judged by another checkout's code, its artifacts would seem stale.
        raise SublimError(
            f"this folder has code of its own ({own.parent}), but the code that runs is {PACKAGE}. Activate this folder's "
            f"environment, or say `python -m sublim` instead of `sublim`."
        )
    if layout.REKEYING.exists():  # an adoption that a crash has interrupted, or one that is under way
        with lock():
            rekeying.finish()
    if trust:
        code.recall(layout.CODE)
    digests = Digests(layout.DIGESTS) if trust else Digests(layout.STATE / "no-cache")
    found = judge(cells(experiment(params or remembered_params(), digests), digests), digests)
    if trust and layout.STATE.is_dir():
        digests.save()
    return found
