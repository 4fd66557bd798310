"""What an audit finds: one thing that does not hold, and the command that mends it."""

from dataclasses import dataclass

CORRUPTED, STALE, UNVERIFIABLE = 1, 2, 4
WORDS = {CORRUPTED: "corrupted", STALE: "stale", UNVERIFIABLE: "cannot be verified"}


@dataclass(frozen=True)
class Finding:
    """One thing that does not hold."""

    artifact: str  #: The cell, or the path of a file that is no artifact.
    stage: str  #: The stage of the cell; `store` or `dvc` for a copy behind it.
    status: int  #: 1 corrupted, 2 stale, 4 cannot be verified.
    found: str  #: What was expected and what was found.
    mend: str  #: The command that mends it.
