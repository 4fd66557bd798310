"""What a machine may lack: folders that may be written, permissions of one's own files."""

import os
from pathlib import Path

from sublim.common.errors import SublimError


class UnwritableError(SublimError):
    """Nothing can be written where an experiment is."""


def check_permissions() -> None:
    """Raises SublimError: the umask takes from the owner of a file what is needed to read it again, or to replace it."""
    mask = os.umask(0o077)
    os.umask(mask)
    if mask & 0o700:
        raise SublimError(
            f"umask {mask:04o}: expected one that leaves your own files to you, such as 0022 or 0077: what is made now you "
            "could not read or replace. Nothing was changed."
        )


def unwritable(error: OSError) -> UnwritableError:
    """What to say where a run cannot even put its own notes down."""
    return UnwritableError(
        f"{Path.cwd()}: expected to write here, found that it cannot be: {error.strerror} ({error.filename}). To look is "
        "possible all the same: `sublim status`, `why`, `audit`, `gc --dry-run`, `lineage`, `sql`. To run, copy the experiment "
        "to where you may write."
    )
