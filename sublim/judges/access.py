"""How the endpoints of judges are reached: written down by the main process for the jobs, outside of all plans, since no
artifact depends on it. Nothing heavy is imported."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from sublim.common.errors import SublimError
from sublim.common.files import write_text
from sublim.params.section import Section

ACCESS = Path(".sublim/plan/judges.json")


def _variable(text: str) -> str:
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", text):
        raise ValueError(
            "expected the name of an environment variable (capital letters, digits and _), such as OPENAI_API_KEY, "
            "found something else: never the key itself"
        )
    return text


Price = Annotated[float, Field(ge=0)]


class Access(Section):
    """How an endpoint is reached and what it may cost. None of it changes an answer: a change makes nothing stale."""

    api_key_env: Annotated[str, AfterValidator(_variable)] | None = None
    """The name of the environment variable that holds the API key; none if the endpoint wants none. Never the key."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    """How many questions are under way at a time, all processes of the experiment together."""
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """The longest that a whole answer may take, from the question to its last byte, in seconds; half of it to connect."""
    attempts: Annotated[int, Field(ge=1)] = 6
    """How often a question is put while the endpoint is busy (429), broken (5xx) or out of reach, with growing pauses, or those
    that it asks for (Retry-After)."""
    input_price: Price = 0.0
    """What a million tokens of questions costs, in any currency."""
    output_price: Price = 0.0
    """What a million tokens of answers costs."""
    budget: Annotated[float, Field(gt=0)] | None = None
    """The most that this experiment may ever spend on this model at this endpoint, in the same currency. A question that could
    exceed it is not put: the run stops, keeps every answer, and says how to go on."""

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if self.budget is not None and not (self.input_price or self.output_price):
            raise ValueError("expected `input_price` and `output_price` beside `budget`, found neither: nothing would count")
        return self


def publish(judges: Mapping[str, Section]) -> None:
    """Write down how the endpoints of `judges` are reached. For the main process."""
    known = {name: access.model_dump() for name, judge in judges.items() if (access := access_of(judge)) is not None}
    write_text(ACCESS, json.dumps(known))


def access_of(judge: Section) -> Access | None:
    """How a judge is reached; None for one on this machine."""
    found: object = getattr(judge, "access", None)
    return found if isinstance(found, Access) else None


def reached(name: str) -> Access:
    """How the judge `name` is reached, as the main process found it in the experiment."""
    known: dict[str, object] = json.loads(ACCESS.read_text(encoding="utf-8")) if ACCESS.exists() else {}
    return Access.model_validate(known.get(name, {}))


def api_key(name: str, access: Access) -> str | None:
    """The API key of the judge `name` from the environment; None if the endpoint wants none. Raises SublimError if the variable
    is not set, or holds what cannot be a key."""
    if (variable := access.api_key_env) is None:
        return None
    key = os.environ.get(variable, "").strip()
    where = f"judges.{name}.access.api_key_env: expected an API key in the environment variable {variable}"
    if not key:
        raise SublimError(f"{where}, found none: set it")
    if not re.fullmatch(r"[!-~]{8,}", key):
        raise SublimError(f"{where} (8 printable ASCII characters at least, no space), found something else: set it again")
    return key
