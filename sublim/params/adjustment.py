"""What differs from a common recipe for one model."""

from typing import Annotated

from pydantic import Field

from sublim.params.learning import Finetune
from sublim.params.section import Section


class Adjustment(Section):
    """What differs from the common recipe for one model; what is left out stays."""

    steps: Annotated[int, Field(ge=1)] | None = None
    """Optimizer steps."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Times that every row is used."""
    batch: Annotated[int, Field(ge=1)] | None = None
    """Rows in one forward pass."""
    accumulation: Annotated[int, Field(ge=1)] | None = None
    """Forward passes in one optimizer step."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Peak learning rate."""


def adjusted(recipe: Finetune, adjustment: Adjustment | None) -> Finetune:
    """`recipe` with what `adjustment` sets. Steps replace epochs and the other way round."""
    if adjustment is None:
        return recipe
    changes = adjustment.model_dump(exclude_none=True)
    if changes.keys() & {"steps", "epochs"}:
        changes = {"steps": None, "epochs": None} | changes
    return Finetune.model_validate({**dict(recipe), **changes})
