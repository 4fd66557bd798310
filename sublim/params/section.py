"""What all sections of an experiment file share."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from sublim.params.trial import Trial


class Section(BaseModel):
    """Strict and frozen; an unknown key is an error. The string under a field is its description in the schema and the docs
    (and, being a docstring, no part of any stage's code digest)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    elsewhere: ClassVar[Mapping[str, str]] = {}  #: Keys that one might look for here → where they belong.

    said_if_null: ClassVar[frozenset[str]] = frozenset()  #: The kinds whose absence its params say (`kinds.with_parts`).

    def fits(self, where: str, experiment: Any) -> None:
        """Raises ValueError if this section, which is the key `where`, does not go together with the rest of the experiment;
        the message begins with the key that is to be changed."""

    def is_here(self, where: str, experiment: Any) -> None:
        """Raises ValueError, as `fits` does, if what this section names is not on this machine: folders and their files."""

    def tried(self, where: str, experiment: Any) -> Iterable[Trial]:  # noqa: ARG002
        """What is to be tried of this section, which is the key `where`, before anything runs."""
        return ()

    def uses(self) -> Iterable[str]:
        """Modules of kinds that this section means without naming them."""
        return ()

    @classmethod
    def may_use(cls) -> Iterable[str]:
        """All modules that `uses` may name, whatever the section says."""
        return ()

    @property
    def asks(self) -> str | None:
        """The judge that whoever computes with this section asks, by its name in the experiment."""
        return None

    @property
    def online(self) -> bool:
        """Whether whoever computes with this section may use the network."""
        return False


class Grown(Section):
    """A section that has got keys since artifacts were made with it. At its default such a key is no part of params, or all
    that was made before would be stale."""

    since: ClassVar[frozenset[str]] = frozenset()  #: These keys.

    @model_serializer(mode="wrap")
    def _chosen(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        silent = {name for name in self.since if getattr(self, name) == type(self).model_fields[name].get_default()}
        return {key: value for key, value in dump(self).items() if key not in silent}


def inside(value: object, where: str = "") -> Iterator[tuple[str, Section]]:
    """Every section in `value`, itself included, with the key that it is, outer ones first."""
    if isinstance(value, Section):
        yield where, value
        for name, below in value:
            yield from inside(below, f"{where}.{name}" if where else name)
    elif isinstance(value, Mapping):
        for name, below in cast("Mapping[str, object]", value).items():
            yield from inside(below, f"{where}.{name}" if where else name)
    elif isinstance(value, tuple | list):
        for place, below in enumerate(cast("tuple[object, ...]", value)):
            yield from inside(below, f"{where}.{place}")
