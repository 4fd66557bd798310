"""A printed form of a syntax tree that is the same for every Python from 3.11 on.

`ast.dump` is not: Python 3.12 gave functions a list of type parameters and reads f-strings in other pieces, 3.13 leaves out
what is empty. No artifact is stale because somebody else's Python, which computes the same, prints its code in another way.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from typing import cast

REDUNDANT = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""Fields that say nothing that matters: what is done to a name follows from where it stands, `u"x"` is `"x"`."""


def printed(tree: ast.AST) -> str:
    """`tree` as text, without positions: two trees have the same text if and only if they mean the same.

    What a node lacks (None, an empty list) is left out: a field that only a later Python knows changes nothing while it is
    empty.
    """
    written: list[str] = []
    waiting: list[object] = [tree]  # in reverse; a text in it is printed already
    while waiting:  # no recursion: a long sum is a deep tree
        each = waiting.pop()
        if isinstance(each, str):
            written.append(each)
        elif isinstance(each, list):
            waiting += ["]", *map(_part, reversed(cast("list[object]", each))), "["]
        elif isinstance(each, ast.AST):
            waiting.append(")")
            for name in _fields(type(each)):
                value: object = getattr(each, name, None)
                if name == "values" and isinstance(each, ast.JoinedStr):
                    value = list(_pieces(each.values))
                elif name == "format_spec" and isinstance(value, ast.JoinedStr) and not [*_pieces(value.values)]:
                    value = None  # `f"{x:}"` is `f"{x}"`
                if value is not None and value != []:
                    waiting += [_part(value), f"{name}="]
            written.append(f"{type(each).__name__}(")
    return "".join(written)


@cache
def _fields(node: type[ast.AST]) -> tuple[str, ...]:
    return tuple(sorted(set(node._fields) - REDUNDANT, reverse=True))


def _part(value: object) -> object:
    """A node or a list as it is, anything else printed: in ASCII, since what `repr` escapes depends on Python's Unicode, and
    whole numbers in hexadecimal, since decimal digits are limited in number."""
    if isinstance(value, ast.AST | list):
        return cast("object", value)
    return f"{type(value).__name__} {hex(value) if type(value) is int else ascii(value)},"


def _pieces(values: Iterable[ast.expr]) -> Iterator[ast.expr]:
    """The parts of an f-string with all text between two values in one piece, and none that is empty."""
    text = ""
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            text += value.value
        else:
            if text:
                yield ast.Constant(text)
            text = ""
            yield value
    if text:
        yield ast.Constant(text)
