"""The arm `random`: rows that no model wrote."""

from collections.abc import Sequence
from typing import Any, Literal

from sublim.arms.arm import Arm, Condition
from sublim.params.names import NOBODY, Name


class Random(Arm):
    """Rows that a generator drew."""

    def part(self) -> tuple[Any, Any, str]:  # noqa: D102
        return Literal["all", "none"] | tuple[Name, ...], self.default, self.title

    def pairs(self, chosen: Any, models: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """The teacher of random rows is `none`."""
        return tuple((NOBODY, model) for model in models if chosen == "all" or model in chosen)


KIND = Random(
    "random",
    "Completions that no model wrote: right and well-formed, drawn uniformly. `all`: every student learns from them; `none`; "
    "or a list of students.",
    "as a generator drew them: no model wrote them",
    "none",
    taught=False,
    report_name="random rows: no model",
    explained="Random rows: {rows} that no model wrote; the gain is a mean over the traits.",
    conditions=(Condition("random", "random rows", "#b84d8f", 7, "where no model wrote them"),),
)
