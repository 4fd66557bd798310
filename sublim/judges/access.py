"""How the endpoints of judges are reached: written down by the main process for the jobs, outside of all plans, since no
artifact depends on it. Nothing heavy is imported."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from sublim.common.errors import SublimError
from sublim.common.files import write_text
from sublim.params.judges import Access, HttpJudge, Judge

ACCESS = Path(".sublim/plan/judges.json")


def publish(judges: Mapping[str, Judge]) -> None:
    """Write down how the endpoints of `judges` are reached. For the main process."""
    known = {name: judge.access.model_dump() for name, judge in judges.items() if isinstance(judge, HttpJudge)}
    write_text(ACCESS, json.dumps(known))


def reached(name: str, judge: HttpJudge) -> HttpJudge:
    """The judge `name` of an artifact's params, with its access as the main process found it in the experiment."""
    try:
        known = json.loads(ACCESS.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = {}
    return judge.model_copy(update={"access": Access.model_validate(known.get(name, {}))})


def api_key(name: str, judge: HttpJudge) -> str | None:
    """The API key of the judge `name` from the environment; None if the endpoint wants none.

    Raises:
        SublimError: the variable is not set, or holds what cannot be a key.
    """
    variable = judge.access.api_key_env
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    where = f"judges.{name}.access.api_key_env: expected an API key in the environment variable {variable}"
    if not key:
        raise SublimError(f"{where}, found none: set it")
    if not re.fullmatch(r"[!-~]{8,}", key):
        raise SublimError(f"{where} (8 printable ASCII characters at least, no space), found something else: set it again")
    return key
