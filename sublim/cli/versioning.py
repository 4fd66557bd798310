"""Commands beside DVC's own: offline."""

from pathlib import Path

from sublim.cli.app import MAINTAIN, app
from sublim.common.errors import SublimError
from sublim.engine import layout
from sublim.lineage.revision import dvc


@app.command(rich_help_panel=MAINTAIN)
def offline() -> None:
    """Let the pages of `dvc plots` open without a network, in this clone: the drawing library is put into them."""
    from sublim.report import offline

    found = _dvc("root")
    file = Path(found) / layout.STATE / "plots.html"
    file.parent.mkdir(exist_ok=True)
    file.write_text(offline.page(), encoding="utf-8")
    # Local, not in git: DVC fails on a template that is not there, and in another clone it is not. Relative to .dvc.
    _dvc("config", "--local", "plots.html_template", f"../{layout.STATE}/plots.html")
    print("the pages of `dvc plots` now open without a network")


def _dvc(*arguments: str) -> str:
    done = dvc(*arguments)
    if done.returncode:
        raise SublimError(f"`dvc {' '.join(arguments)}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()
