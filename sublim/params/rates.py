"""The section `rates` of an experiment file: how fast one GPU is, for the estimate that is printed before a run."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from sublim.params.known import known
from sublim.params.names import Name
from sublim.params.section import Section

Rate = Annotated[float, Field(gt=0)]


class Rates(Section):
    """How fast one GPU is, for the estimate of `sublim cost`. No artifact depends on it: a change recomputes nothing.

    Speeds are in tokens per second for a model of a billion parameters; one of seven billion is taken to be seven times as
    slow. The defaults are assumptions for one H100 and 16-bit weights (docs/real-models.md): replace them by what you have
    measured."""

    sampled: Rate = 40_000
    """Tokens sampled."""
    read: Rate = 150_000
    """Tokens read: prompts, questions, texts whose probability is asked for."""
    trained: Rate = 60_000
    """Tokens trained on, prompt and completion together, forwards and backwards, with LoRA."""
    start: Annotated[float, Field(ge=0)] = 60
    """Seconds that each job with a model takes to begin: imports, and loading the weights."""
    template: Annotated[int, Field(ge=0)] = 30
    """Tokens that a chat template puts around a prompt, with its own system prompt; the default is about Qwen2.5's."""
    billions: Mapping[Name, Rate] = {}
    """Model → billions of parameters, where they cannot be counted yet: a repository of the hub that is not here."""

    def fits(self, where: str, experiment: Any) -> None:  # noqa: D102
        known(f"{where}.billions", "model", self.billions, experiment.models)
