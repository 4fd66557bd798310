"""The files of a judge's model."""

from collections.abc import Mapping
from pathlib import Path

from sublim.common.errors import SublimError
from sublim.common.files import sha256 as digest_of
from sublim.models.hub import SOURCE, variables, verify


def verify_unchanged(name: str, folder: Path, expected: Mapping[str, str]) -> None:
    """Raises SublimError if the model in `folder` was changed since the run was planned, or is not there."""
    for file, found in verified(name, folder).items():
        if expected.get(file) != found:
            raise SublimError(
                f"judges.{name}: {folder / file}: expected the file of sha256 {expected.get(file)} that the run was planned "
                f"with, found {found}: it was changed meanwhile; start the run again"
            )


def verified(name: str, folder: Path) -> dict[str, str]:
    """The files of the model in `folder`, with their digests."""
    try:
        own = (SOURCE,) if (folder / SOURCE).is_file() else ()  # its chat template is rendered with what that says
        return {file: digest_of(folder / file) for file in sorted([*verify(folder, variables(folder)), *own])}
    except SublimError as error:
        raise SublimError(f"judges.{name}: {error}") from None
