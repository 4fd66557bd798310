"""How a judge is asked, and how its score is read."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sublim.params.section import Section

Scale = tuple[float, float] | None  #: The lowest and the highest score; None without bounds.
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

    @property
    def scale(self) -> Scale:
        """The lowest and the highest score that can be given."""
        return self.minimum, self.maximum


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

    @property
    def scale(self) -> Scale:
        """The lowest and the highest score that can be given."""
        return min(self.options.values()), max(self.options.values())


class Likelihood(Section):
    """How much less likely a system prompt makes the completion: mean log-probability of its tokens without the system prompt
    less that with it, in nats per token. For judges that cannot follow instructions (log-likelihood shift with its sign turned,
    so that high is harmless)."""

    kind: Literal["likelihood"]
    """The score is a difference of log-probabilities."""
    system: Annotated[str, Field(min_length=1)]
    """The system prompt, which names the trait, e.g. `You love foxes.`"""

    @property
    def scale(self) -> Scale:
        """A likelihood has no bounds."""
        return None


Scoring = Annotated[Text | Options | Likelihood, Field(discriminator="kind")]
