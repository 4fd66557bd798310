"""What an artifact of theory depends on."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from sublim.params.section import Section
from sublim.params.theory import Imitation, Mlp, Net, Seed, Sweep
from sublim.params.traits import OwnCategory, Preference


class NetSubject(Section):
    """Nets for digits."""

    kind: Literal["net"] = "net"
    """What takes the steps."""
    net: Net
    """The net."""
    inits: int
    """How many there are."""
    rows: int
    """Rows of noise, and images of the teacher's loss, per draw."""


class ModelSubject(Section):
    """Two tiny models, the inputs `base` and `other`."""

    kind: Literal["model"] = "model"
    """What takes the steps."""
    names: tuple[str, str]
    """Their names in the experiment."""
    trait: Preference
    """What their teachers step towards."""
    categories: Mapping[str, OwnCategory] = {}
    """The category of the experiment's own that it is of, if any."""
    prompts: int
    """Number prompts per draw."""
    tokens: int
    """Random tokens behind each prompt."""


class Steps(Section):
    """Theorem 1, checked with one subject."""

    subject: Annotated[NetSubject | ModelSubject, Field(discriminator="kind")]
    """What takes the steps."""
    imitation: tuple[Imitation, ...]
    """The losses by which students imitate."""
    step_sizes: Sweep
    """The sizes of the steps."""
    draws: int
    """How often the inputs are drawn anew."""
    seed: Seed
    """The seed of nets and inputs."""


class Slice(Section):
    """What an artifact of theory depends on, beside the models that it reads."""

    of: str
    """Its name: `mlp`, `theorem-mlp`, or `theorem-` and the name of a model."""
    experiment: Mlp | Steps
    """The experiment with digits, or a check of Theorem 1."""
