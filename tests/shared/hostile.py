"""Hostile content for readers: bytes that were good once, JSON of any shape, and what is known to break readers."""

from typing import Any, cast

from hypothesis import strategies as st

DEEP = 3000
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 1e308, float("inf"), float("nan"), "", "\0", "\x1b[2K", "\ud800", "../x", "/etc/hostname",
    "x" * 5000, [], {}, [[]], {"": None}, "{{ 7 }}", "__class__",
)  # fmt: skip
"""Values that stand where others are expected."""
SPLICES = (
    b"", b"\0", b"\xff", b"\xef\xbb\xbf", b"\n", b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"NaN", b"-Infinity",
    b"1e999", b"9" * 400, b"\\ud800", b"\\u0000", b"\x1b[2K", b"&a *a", b"<<: *x", b"!!python/name:os.system", b"---\n", b"\t",
    b"? ", b"- - - ", b"[" * DEEP, b'{"a":' * DEEP, b"- " * DEEP,
)  # fmt: skip
"""What is put into files."""


def json_values() -> st.SearchStrategy[Any]:
    """What JSON can say, and a little more."""
    return st.recursive(
        st.one_of(st.sampled_from(ODD), st.integers(), st.floats(), st.text(max_size=8)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
        max_leaves=8,
    )


@st.composite
def mutated(draw: st.DrawFn, good: bytes) -> bytes:
    """`good` with up to three pieces of it cut out, doubled or replaced by one of `SPLICES`."""
    bad = good
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(bad)))
        end = min(len(bad), start + draw(st.sampled_from([0, 1, 2, 8, 64, len(good)])))
        bad = bad[:start] + draw(st.one_of(st.sampled_from(SPLICES), st.just(bad[start:end] * 2))) + bad[end:]
    return bad


@st.composite
def altered(draw: st.DrawFn, good: Any) -> Any:
    """`good`, which JSON can say, with one value in it replaced, one key left out or one added."""
    if isinstance(good, dict) and good and draw(st.integers(0, 9)):
        fields = cast("dict[str, Any]", good)
        key = draw(st.sampled_from(sorted(fields)))
        match draw(st.integers(0, 9)):
            case 0:
                return {name: value for name, value in fields.items() if name != key}
            case 1:
                return {**fields, draw(st.text(max_size=6)): draw(json_values())}
            case _:
                return {**fields, key: draw(altered(fields[key]))}
    if isinstance(good, list) and good and draw(st.integers(0, 9)):
        items = cast("list[Any]", good)
        place = draw(st.integers(0, len(items) - 1))
        return [*items[:place], draw(altered(items[place])), *items[place + 1 :]]
    return draw(json_values())
