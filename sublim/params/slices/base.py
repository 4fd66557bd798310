"""What a base depends on."""

from collections.abc import Mapping

from sublim.params.models import Model
from sublim.params.section import Section


class Slice(Section):
    """What a base depends on."""

    name: str
    """The model's name in the experiment."""
    model: Model
    """Where it comes from."""
    files: Mapping[str, str] = {}
    """File → sha256 of a model that is a folder of this machine: its path says nothing of what is in it."""
