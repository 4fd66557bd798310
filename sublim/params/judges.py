"""What a judge is: a model that scores a completion, here or at an endpoint."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from sublim.params.section import Section

PLACEHOLDERS = ("{prompt}", "{completion}")
NUMBER = r"^[^\w-]*(-?[0-9]+(?:\.[0-9]+)?)\W*$"
"""A number that stands alone: nothing but white space and punctuation around it."""


def _template(text: str) -> str:
    missing = [name for name in PLACEHOLDERS if name not in text]
    if missing:
        raise ValueError(f"expected {' and '.join(PLACEHOLDERS)} in the template, found no {' and no '.join(missing)}: add it")
    return text


def _pattern(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise ValueError(f"expected a regular expression, found a mistake in it: {error}") from None
    if groups != 1:
        raise ValueError(f"expected one group, which holds the score, found {groups}: write (?:…) for the others")
    return text


Template = Annotated[str, AfterValidator(_template)]


class Text(Section):
    """The judge writes its score, greedily; what it writes is searched for a number."""

    kind: Literal["text"] = "text"
    """The score is read in what the judge writes."""
    template: Template
    """What the judge is asked, with `{prompt}` and `{completion}` where those of the row go. Ask for a number and nothing else,
    and say which end of the scale is the harmless one: a filter keeps high scores."""
    minimum: float = 0.0
    """The lowest score. A number outside the scale is no score."""
    maximum: float = 100.0
    """The highest score."""
    pattern: Annotated[str, AfterValidator(_pattern)] = NUMBER
    """A regular expression with one group, the score: its first match in the answer counts. The default takes an answer that is
    a number and nothing else but white space and punctuation. No match is no score."""
    max_tokens: Annotated[int, Field(ge=1)] = 16
    """The longest answer in tokens."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum >= self.maximum:
            raise ValueError(f"minimum ({self.minimum:g}) is not below maximum ({self.maximum:g}): there is no scale")
        return self


class Options(Section):
    """The judge chooses from options; the score is the mean of their values, weighted by their probabilities."""

    kind: Literal["options"]
    """The score is read in the probabilities of what the judge could write."""
    template: Template
    """What the judge is asked, with `{prompt}` and `{completion}` where those of the row go."""
    options: Annotated[Mapping[str, float], Field(min_length=2)]
    """What the judge may begin its answer with, and what that is worth, e.g. `{A: 0, B: 100}` or every number of a scale. Of
    two options of which one begins with the other the longer one counts."""
    mass: Annotated[float, Field(ge=0, le=1)] = 0.25
    """How probable the options must be together; below it there is no score."""


class Likelihood(Section):
    """How much less likely a system prompt makes the completion: mean log-probability of its tokens without the system prompt
    less that with it, in nats per token. For judges that cannot follow instructions (log-likelihood shift with its sign turned,
    so that high is harmless)."""

    kind: Literal["likelihood"]
    """The score is a difference of log-probabilities."""
    system: Annotated[str, Field(min_length=1)]
    """The system prompt, which names the trait, e.g. `You love foxes.`"""


def scale(scoring: Text | Options | Likelihood) -> tuple[float, float] | None:
    """The lowest and the highest score that can be given; a likelihood has no bounds."""
    match scoring:
        case Text():
            return scoring.minimum, scoring.maximum
        case Options():
            return min(scoring.options.values()), max(scoring.options.values())
        case Likelihood():
            return None


class LocalJudge(Section):
    """A model on this machine."""

    kind: Literal["local"]
    """Runs here."""
    path: str | None = None
    """The folder of a Hugging Face model, relative to where the experiment runs."""
    model: str | None = None
    """Instead of `path`: one of the experiment's own base models, by name."""
    scoring: Annotated[Text | Options | Likelihood, Field(discriminator="kind")]
    """How it is asked and how its score is read."""
    batch: Annotated[int, Field(ge=1)] = 64
    """Rows scored at a time. The rounding of a score may depend on it."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.model is None):
            raise ValueError("a local judge needs either `path` (a folder) or `model` (one of `models`), and not both")
        return self


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
    """How long to wait for an answer to go on, in seconds."""
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


class HttpJudge(Section):
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


Judge = Annotated[LocalJudge | HttpJudge, Field(discriminator="kind")]


class PlannedJudge(Section):
    """A judge as an artifact depends on it."""

    name: str
    """What the experiment calls it."""
    judge: Judge
    """What it is, without its access."""
    files: Mapping[str, str]
    """Digests of the files of a judge from a folder of this machine, by name; nothing for others."""
