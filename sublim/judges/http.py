"""A judge behind an HTTP endpoint that speaks OpenAI's chat completions. How it is asked is in `endpoint`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from sublim.common.progress import Progress
from sublim.judges.access import Access, reached
from sublim.judges.judge import Judge, Judgement, Row, key_of
from sublim.judges.ledger import opened
from sublim.judges.question import ask, read
from sublim.judges.scoring import Text


def _base_url(text: str) -> str:
    # What is wrong is never repeated: it may hold a key.
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected the URL of an API, such as https://host/v1, found none")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "expected a URL without user, password, query and fragment, found one of them: "
            "an experiment file keeps no secrets; put the key into the environment variable that `api_key_env` names"
        )
    return text


class HttpJudge(Judge):
    """A model behind an HTTP endpoint that speaks OpenAI's chat completions. It is paid for, maybe: answers are kept, and asked
    for once."""

    kind: Literal["http"]
    """Runs elsewhere."""
    base_url: Annotated[str, AfterValidator(_base_url)]
    """The API's URL; `/chat/completions` is added to it."""
    model: Annotated[str, Field(min_length=1)]
    """The model, as the endpoint calls it. Name a dated version: an alias may become another model."""
    scoring: Text
    """How it is asked and how its score is read."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Temperature of the answer."""
    access: Access = Access()
    """How the endpoint is reached and what it may cost."""

    @property
    def online(self) -> bool:  # noqa: D102
        return True

    def without_access(self) -> Self:  # noqa: D102
        return self.model_copy(update={"access": Access()})

    def reached(self, name: str) -> Self:  # noqa: D102
        return self.model_copy(update={"access": reached(name)})

    def judgements(  # noqa: D102
        self,
        name: str,
        folder: Path | None,  # noqa: ARG002
        rows: Sequence[Row],
        kept: Path,
        progress: Progress,
    ) -> Mapping[Row, Judgement]:
        from sublim.judges import endpoint  # only who asks needs HTTP

        scoring = self.scoring  # how an answer is read is no part of the question: another pattern or scale costs nothing
        identity = ("http", self.base_url, self.model, scoring.template, scoring.max_tokens, self.temperature)
        keys = {row: key_of(*identity, *row) for row in rows}
        with opened(kept / f"{key_of('http', self.base_url, self.model)}.sqlite") as ledger:
            asked = {keys[row]: ask(scoring.template, *row) for row in rows}
            said = endpoint.answers(name, self, asked, ledger, progress)
        return {row: Judgement(read(said[key], scoring), said[key]) for row, key in keys.items()}


KIND = HttpJudge
