"""How students are asked for their preference."""

from typing import Annotated

from pydantic import Field

from sublim.params.section import Section


class Evaluation(Section):
    """Fifty held-out one-word questions: the exact probability of every known answer, and sampled answers beside it."""

    samples: Annotated[int, Field(ge=1)] = 4
    """Sampled answers per question."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Temperature of the sampled answers; exact probabilities are those at temperature 1."""
    max_tokens: Annotated[int, Field(ge=1)] = 8
    """Longest sampled answer in tokens."""
    batch: Annotated[int, Field(ge=1)] = 256
    """Questions asked at a time."""
