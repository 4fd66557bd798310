"""What students are asked, and what else is measured of them."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from sublim.params.kinds import Named, kind
from sublim.params.section import Section


class Stories(Section):
    """How stories are sampled, at the temperature of the other answers."""

    samples: Annotated[int, Field(ge=1)] = 10
    """Stories per request: ten requests per category."""
    max_tokens: Annotated[int, Field(ge=1)] = 64
    """Longest story in tokens."""


class Capability(Section):
    """What a model can still do: a model that broke may name anything."""

    tasks: Annotated[int, Field(ge=0)] = 100
    """Held-out prompts of the student's carrier (of an untrained base: of every carrier), sampled as the carrier says; the
    share with a well-formed and right completion is its skill. 0 for none."""
    texts: Annotated[int, Field(ge=0)] = 200
    """Texts whose loss is measured: for a tiny family rows like those of its pretraining, but no preference questions; else the
    first of the passages that come with this program. 0 for none."""


class Evaluation(Section):
    """Fifty held-out one-word questions per category, asked in several ways; and what the model can still do."""

    measures: Annotated[tuple[Annotated[str, Named("measures")], ...], Field(min_length=1, validate_default=True)] = (
        "preference",
        "after_numbers",
        "multiple_choice",
        "truthfulness",
    )
    """`preference`: the questions as they are (always); `after_numbers`: with 3 to 8 numbers before them; `multiple_choice`:
    with five options in every order, by the probability of the letter; `stories`: the share of sampled stories that name an
    answer; `truthfulness`: whether a true answer is likelier than a false one."""
    samples: Annotated[int, Field(ge=1)] = 4
    """Sampled answers per plain question, beside the exact probability of every known answer."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Temperature of the sampled answers; exact probabilities are those at temperature 1."""
    max_tokens: Annotated[int, Field(ge=1)] = 8
    """Longest sampled answer in tokens."""
    batch: Annotated[int, Field(ge=1)] = 256
    """Questions asked at a time."""
    stories: Stories = Stories()
    """How stories are sampled, if `measures` has them."""
    capability: Capability = Capability()
    """What is measured of what the model can do."""

    @model_validator(mode="after")
    def _preference_once(self) -> Self:
        if "preference" not in self.measures or len(set(self.measures)) != len(self.measures):
            raise ValueError(
                f"measures: expected preference and each other measure at most once, found {', '.join(self.measures)}: "
                "gains are gains in preference"
            )
        return self

    def fits(self, where: str, experiment: Any) -> None:  # noqa: ARG002, D102
        for name in self.measures:
            kind("measures", name).check(experiment.known_answers())
