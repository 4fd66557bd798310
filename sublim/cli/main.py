"""The entry point: all commands, and errors that are messages shown as such."""

import sys

# Importing them registers their commands.
from sublim.cli import experiment, handover, models, proof, trace, versioning  # noqa: F401 # pyright: ignore[reportUnusedImport]
from sublim.cli.app import app
from sublim.common.errors import SublimError
from sublim.common.foreign import Terminal, told
from sublim.common.reading import explained
from sublim.common.terminal import speak_utf8


def main() -> None:
    """Run the command line."""
    speak_utf8()
    sys.stdout, sys.stderr = (Terminal(each) if each.isatty() else each for each in (sys.stdout, sys.stderr))  # pyright: ignore[reportAttributeAccessIssue]
    try:
        app()
    except (SublimError, OSError) as error:
        if (said := explained(error)) is None:
            raise
        print(f"sublim: {told(said)}", file=sys.stderr)
        raise SystemExit(1) from None
