"""The section `report` of an experiment file: how runs are summed up."""

from typing import Annotated

from pydantic import Field

from sublim.params.section import Section


class Spread(Section):
    """Standard deviations of gains between runs, assumed where nothing is measured yet."""

    same_base: Annotated[float, Field(gt=0, le=1)] = 0.24
    """Between students of the teacher's base: transmission varies with trait, base and seed. The default is what the default
    experiment measured; `sublim sql "select condition, stddev_samp(gain) from runs group by 1"` says it of any finished one."""
    other: Annotated[float, Field(gt=0, le=1)] = 0.02
    """Between students to whom nothing is transmitted: of other bases, of controls. The default was measured as above."""


class CapabilityMargin(Section):
    """How much worse than its untrained base a student may be before its gain is not taken for transmission alone."""

    skill: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Fall of the share of held-out tasks done."""
    bits: Annotated[float, Field(gt=0)] = 0.5
    """Rise of the loss on held-out texts, in bits per token."""


class Report(Section):
    """How the runs of an experiment are summed up."""

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Coverage of every interval. Intervals are Student's t intervals over runs; one run is one teacher-data-student chain
    with its own seed. Every test is at 1 minus this."""
    permutations: Annotated[int, Field(ge=1_000, le=10_000_000)] = 100_000
    """Random permutations for the test of "same base > other base", drawn only where there are too many groups to count all
    permutations exactly."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of these random permutations, of the simulation behind that test's power, and of the bootstrap of transmission by
    shared history."""
    equivalence_margin: Annotated[float, Field(gt=0, lt=1)] = 0.03
    """"No transmission" is shown where a gain is shown to be closer to zero than this. The default is half of .06, the
    smallest gain across GPT-4.1 models that the paper calls significant: an effect of that size cannot hide in it."""
    capability_margin: CapabilityMargin = CapabilityMargin()
    """The report flags conditions whose students have become less able than this on average."""
    spread: Spread = Spread()
    """The spread between runs that `sublim power` assumes before there are any."""
