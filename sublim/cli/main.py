"""The entry point: all commands, and errors that are messages shown as such."""

import sys

# Importing them registers their commands.
from sublim.cli import experiment, handover, proof, trace, versioning  # noqa: F401 # pyright: ignore[reportUnusedImport]
from sublim.cli.app import app
from sublim.common.errors import SublimError
from sublim.engine.surroundings import legible


def main() -> None:
    """Run the command line."""
    legible()
    try:
        app()
    except SublimError as error:
        print(f"sublim: {error}", file=sys.stderr)
        raise SystemExit(1) from None
