"""Kinds: what one key of the experiment file may be, each in a module of its own with its params, behaviour and words.

Modules are found by name (`sublim.lists`) and never imported by a statement: so a cell's code is that of the kinds that its
params name, and of no other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Annotated, Any, TypeVar, Union, cast

from pydantic import Field, GetCoreSchemaHandler, SerializerFunctionWrapHandler, create_model, model_serializer
from pydantic_core import CoreSchema, core_schema

from sublim import lists
from sublim.params.section import Section

S = TypeVar("S", bound=Section)


@cache
def modules(family: str) -> Mapping[str, str]:
    """Name → module of each kind of a family, in the order of its list."""
    return {module.rpartition(".")[2]: module for module in lists.KINDS[family]}


@cache
def kind(family: str, name: str) -> Any:
    """The kind `name` of a family: what its module calls `KIND`."""
    return kind_module(family, name).KIND


def kind_module(family: str, name: str) -> Any:
    """The module of the kind `name` of a family."""
    return import_module(modules(family)[name])


def every(family: str) -> dict[str, Any]:
    """Name → kind, of all kinds of a family."""
    return {name: kind(family, name) for name in modules(family)}


class KindName(str):
    """The name of a kind as a value of a section: text that knows its module."""

    __slots__ = ("family",)
    family: str

    def __new__(cls, family: str, name: str) -> "KindName":
        """The kind `name` of a family."""
        made = super().__new__(cls, name)
        made.family = family
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.family, str(self)

    @property
    def module(self) -> str:
        """Its module."""
        return modules(self.family)[self]


@dataclass(frozen=True)
class Named:
    """Annotation of text that names a kind of a family."""

    family: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            lambda name: KindName(self.family, name),
            core_schema.literal_schema(list(modules(self.family))),
            serialization=core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema()),
        )


@dataclass(frozen=True)
class OneOf:
    """Annotation of a section that is one of the kinds of a family, told apart by its key `kind`."""

    family: str
    default: str | None = None  #: The kind of a section that does not say; None if it has to.

    def models(self, base: Any) -> tuple[Any, ...]:  # noqa: ARG002
        """The kinds."""
        return tuple(every(self.family).values())

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        kinds = self.models(source)
        if self.default is None:
            return handler.generate_schema(Annotated[cast("Any", Union[kinds]), Field(discriminator="kind")])  # noqa: UP007
        tagged = {name: handler.generate_schema(each) for name, each in every(self.family).items()}
        return core_schema.tagged_union_schema(tagged, self._kind)

    def _kind(self, given: Any) -> Any:
        """The kind of what is given: a mapping, or a section."""
        said = given.get("kind") if isinstance(given, dict) else getattr(given, "kind", None)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return self.default if said is None else said  # pyright: ignore[reportUnknownVariableType]


@dataclass(frozen=True)
class Of:
    """Annotation of a section that is this kind of a family."""

    family: str
    name: str

    def models(self, base: Any) -> tuple[Any, ...]:  # noqa: ARG002
        """The kind."""
        return (kind(self.family, self.name),)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(*self.models(source))


@dataclass(frozen=True)
class PartOf:
    """Annotation of a section that some kind of a family has as the attribute `part`."""

    family: str
    part: str

    def models(self, base: Any) -> tuple[Any, ...]:  # noqa: ARG002
        """What the kinds have."""
        return tuple(found for kind in every(self.family).values() if (found := getattr(kind, self.part)) is not None)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(Union[self.models(source)])  # noqa: UP007


@dataclass(frozen=True)
class WithParts:
    """Annotation of a section that has, beside keys of its own, one for each kind of a family."""

    family: str

    def models(self, base: Any) -> tuple[Any, ...]:
        """The section with these keys."""
        return (with_parts(base, self.family),)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(*self.models(source))


@cache
def with_parts(base: type[S], family: str) -> type[S]:
    """`base` with a key for each kind of a family, of the type, default and description that its `part` gives. A kind that is
    null is no part of params, or every new one would be another param of all that was made before it; but for those whose null
    is in records since ever (`base.said_if_null`)."""
    kinds = every(family)
    parts = {name: kind.part() for name, kind in kinds.items()}
    fields: Any = {name: (type_, Field(default=default, description=said)) for name, (type_, default, said) in parts.items()}
    silent = kinds.keys() - base.said_if_null

    def chosen(self: S, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in dump(self).items() if value is not None or key not in silent}

    made: Any = create_model(
        base.__name__,
        __base__=base,
        __module__=base.__module__,
        __doc__=base.__doc__,
        __validators__={"chosen": model_serializer(mode="wrap")(chosen)},
        **fields,
    )
    return made


def used(value: object) -> frozenset[str]:
    """The modules of the kinds that a section, and everything in it, is made of or names."""
    return frozenset(_used(value))


def _used(value: object) -> Iterator[str]:
    if isinstance(value, KindName):
        yield value.module
    elif isinstance(value, Section):
        if (module := type(value).__module__) in _everywhere():
            yield module
        yield from value.uses()
        for _, inside in value:
            yield from _used(inside)
    elif isinstance(value, Mapping):
        yield from _used(tuple(cast("Mapping[object, object]", value).values()))
    elif isinstance(value, tuple | list):
        for inside in cast("tuple[object, ...]", value):
            yield from _used(inside)


@cache
def possible(section: type[Section]) -> frozenset[str]:
    """The modules of all kinds that a section of this type may be made of or name: `used` of it is among them."""
    found, seen = set[str](), set[type]()
    waiting: list[tuple[Any, Any]] = [(section, ())]
    while waiting:
        each, notes = waiting.pop()
        parts = [(part, getattr(each, "__metadata__", ())) for part in getattr(each, "__args__", ())]
        for note in notes:
            if isinstance(note, Named):
                found |= {*modules(note.family).values()}
            elif isinstance(note, OneOf | Of | PartOf | WithParts):
                waiting += [(model, ()) for model in note.models(each)]
        if isinstance(each, type) and issubclass(each, Section):
            if each not in seen:
                seen.add(each)
                found |= {*each.may_use(), *({each.__module__} & _everywhere())}
                waiting += [(field.annotation, field.metadata) for field in each.model_fields.values()]
        else:
            waiting += parts
    return frozenset(found)


@cache
def _everywhere() -> frozenset[str]:
    return frozenset(module for family in lists.KINDS.values() for module in family)
