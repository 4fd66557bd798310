"""The section `report` of an experiment file: how runs are summed up."""

from typing import Annotated

from pydantic import Field

from sublim.params.section import Section


class Report(Section):
    """How the runs of an experiment are summed up."""

    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Coverage of every interval. Intervals are Student's t intervals over runs; one run is one teacher-data-student chain
    with its own seed."""
    permutations: Annotated[int, Field(ge=1_000, le=10_000_000)] = 100_000
    """Random permutations for the test of "same base > other base", drawn only where there are too many groups to count all
    permutations exactly."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of these random permutations."""
