"""What code means is printed in one way, whichever Python reads it."""

import ast
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from sublim.engine import code
from sublim.engine.syntax import printed
from tests.shared.project import ROOT

DIGESTS = {
    "": "ad2e13b69c4f",
    "x = y = 1": "e38270b6ae13",
    (
        "x += 1; x -= 1; x *= 1; x /= 1; x //= 1; x %= 1; x @= 1; x **= 1; x >>= 1; x <<= 1; x &= 1; x |= 1; x ^= 1"
    ): "ade4c785a425",
    "x: int = 1\ny: str\n(z): int": "02068b50c649",
    "y = [1, 1_0, 0x1F, 1.5, 1e999, 5e-324, 2j, 0.1j, True, None, ...]": "0a47d468b8d1",
    "y = ['\xe9\u0378\\ud800', b'\\xff\\n', 'it\\'s', u'u', r'\\d', 'a' 'b', '''a\nb''']": "687816f88e94",
    "y = -a + b - c * d / e // f % g @ h ** i << j >> k & l | m ^ ~n": "c623761f7de0",
    "y = not a and b or c, +a": "769141863066",
    "y = a < b <= c == d != e > f >= g is h is not i in j not in k": "6a8a8af9de2c",
    "y = a if b else c": "fe666b091f26",
    "y = {1: 2, **z}, {1, *z}, [1, *z], (1,), (), {}, []": "d9b915c3ad70",
    "y = x[0], x[1:], x[:1], x[::2], x[...], x[1:2, None], x[*y]": "241c06f8665b",
    ("y = [a for b in c if d if e for f in g], {a for b in c}, {a: b for c in d}, (a for b in c)"): "1aa10fbceeb5",
    "y = f(a, *b, c=d, **e).g": "36a485fd511b",
    "y = lambda a, /, b=1, *c, d, e=2, **f: a": "cb95d7ecbbdc",
    "y = lambda: (yield)": "d549a86be0b3",
    "(y := 1)": "105513509ca1",
    "*a, b = c": "58f1931ba92c",
    "def f(a: int, /, b: str = 'x', *c: T, d, e=None, **g) -> int:\n    'doc'\n    return a": "e29c72ea0243",
    "def f(*a: *Ts): return": "cc03e5ae8afa",
    "@d\n@e(1)\nclass C(B, metaclass=M):\n    'doc'\n    x = 1\n    'doc of x'": "a75d318ed63b",
    (
        "async def f():\n"
        "    async with a as b, c: await d\n"
        "    async for x in y: pass\n"
        "    else: z\n"
        "    return [i async for i in j]"
    ): "398437225f3c",
    (
        "def f():\n"
        "    global a, b\n"
        "    def g():\n"
        "        nonlocal c\n"
        "        yield\n"
        "        x = yield c\n"
        "        yield from d\n"
        "    c = 1"
    ): "ff3cca4b84b5",
    "for a, b in c:\n    continue\nelse:\n    d": "225c8352ccf1",
    "while a:\n    break\nelse:\n    b": "e658e6b17fde",
    "if a: b\nelif c: d\nelse: e": "ae93d49f541b",
    "with (a as b, c as (d, e)): pass": "a7acf52cd1e9",
    "with a: pass": "668c1311ae10",
    ("try: a\nexcept B as e: c\nexcept (D, E): raise\nexcept: raise F from g\nelse: h\nfinally: i"): "e85b57a20488",
    "try: a\nexcept* B as e: c": "945d499480ff",
    "assert a, b\nassert c": "83415b2ed5ea",
    "del a, b.c, d[0]": "8fa7302ea671",
    "import a, b.c as d": "c05ab6988738",
    "from . import a\nfrom ..b import c as d, e\nfrom f import *": "50e651ab02fc",
    (
        "match a, b:\n"
        "    case 1 | -2.5 | 1+2j | 'x' | b'y' | c.d: e\n"
        "    case None | True | False: f\n"
        "    case [g, *h] if i: j\n"
        "    case [*_]: k"
    ): "77a7c0f5363e",
    ("match a:\n    case {'x': b, **c}: d\n    case {}: e\n    case F(g, h=i) as j: k\n    case _: l"): "c0428f57e15b",
    "y = f'', f'{x}', f'{x:}', f'a{{b}}{x!r:>{w}.{p}}c', 'a' f'{x}' 'b'": "73c2e5a97ea0",
    "y = f'{x = }', f'{x!s}{y!a:{z}}', f'{x:{{}}}{x:%Y}'": "6a290c469e78",
    "y = rf'\\d{x}', f'{x:\\n}', f'\\N{BULLET}{x}', f'''{\nx\n}'''": "5115fa993612",
    "y = f'{f\"{x}\"}', f'{(lambda: 1)()}', f'{a if b else c:{d}}'": "7bae0faa3479",
    "if a:\n    'only a string'": "9024f4145b60",
    "# a comment\ny = 1  # type: int": "75255c10ffaa",
    "\xaa\xb5 = 1": "d667ae18c53e",
}
"""A snippet for each part of the grammar of Python 3.11 → the first digits of the digest of its meaning. If one of these
changes, every artifact that there is becomes stale."""
SAME = [
    ('f"{x}"', 'f"{x:}"'),
    ('f"a{x}b"', '"a" f"{x}" "b"'),
    ('f"a{x}b"', "f'a' f'{x}b'"),
    ('y = u"x"', "y = 'x'"),
    ("y = 1_000", "y = 0x3e8"),
    ("y = 1e3", "y = 1000.0"),
    ("def f(x, /): return (x)", "def f(\n    x,\n    /,\n):\n    return x"),
    ("with (a as b, c): pass", "with a as b, c: pass"),
]
OTHER = [
    ("y = 1", "y = 1.0"),
    ("y = 1", "y = True"),
    ("y = 0.0", "y = 0j"),
    ("y = None", "y = ..."),
    ("y = 'None'", "y = None"),
    ("y = b'x'", "y = 'x'"),
    ("return_ = f()", "return_ = f(None)"),
    ('y = f"{x}"', 'y = f"{x!s}"'),
    ('y = f"{x:>{w}}"', 'y = f"{x:>w}"'),
    ('y = f"a{x}b"', 'y = f"ab{x}"'),
    ("x[:1]", "x[1:]"),
    ("x[::1]", "x[:1:]"),
    ("y = {**x}", "y = {None: x}"),
    ("y = [a, [b]]", "y = [[a], b]"),
    ("def f(*, a, b=None): ...", "def f(*, a=None, b): ..."),
    ("def f(a, /, b): ...", "def f(a, b, /): ..."),
    ("def f(*a): ...", "def f(**a): ..."),
    ("del x", "x"),
    ("x: int", "(x): int"),
    ("async def f():\n    async for x in y: pass", "async def f():\n    for x in y: pass"),
    ("global a, b", "global b, a"),
    ("from . import a", "from .. import a"),
    ("from .a import b", "from a import b"),
    ("match x:\n    case None: pass", "match x:\n    case False: pass"),
    ("match x:\n    case [*_]: pass", "match x:\n    case [*a]: pass"),
    ("try: a\nexcept B: c\nelse: d", "try: a\nexcept B: c\nfinally: d"),
    ("try: a\nexcept B: c", "try: a\nexcept* B: c"),
    ("if a:\n    b\nelse:\n    c", "if a:\n    b\n    c"),
]
PROGRAM = """
import json, sys
from sublim.engine import code
told = json.load(sys.stdin)
print(json.dumps({"meanings": [code.meaning(text) for text in told["texts"]], "digests": code.digests(told["module"])}))
"""


@cache
def _pythons() -> dict[str, str]:
    """Version → interpreter, of every Python from 3.11 on that is here: on the path, or kept by pyenv."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    named = [path for minor in range(11, 30) if (path := shutil.which(f"python3.{minor}"))]
    found: dict[str, str] = {}
    for path in [sys.executable, *named, *map(str, sorted(kept.glob("*/bin/python3")))]:
        said = subprocess.run(
            [path, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
        )
        if said.returncode == 0 and (version := tuple(map(int, said.stdout.split()))) >= (3, 11):
            found.setdefault(".".join(map(str, version)), path)
    return found


@pytest.mark.parametrize("version", _pythons())
def test_code_means_the_same_to_every_python(version: str) -> None:
    told = json.dumps({"texts": [*DIGESTS], "module": "sublim.stages.student.make"})
    clean = {"PYTHONPATH": os.fspath(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]}
    command = [_pythons()[version], "-W", "ignore", "-c", PROGRAM]
    done = subprocess.run(command, input=told, capture_output=True, text=True, check=False, env=clean)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert dict(zip(DIGESTS, (found[:12] for found in answer["meanings"]), strict=True)) == DIGESTS
    assert answer["digests"] == code.digests("sublim.stages.student.make")


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_means_the_same_is_printed_the_same(one: str, other: str) -> None:
    assert printed(ast.parse(one)) == printed(ast.parse(other))


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_what_means_something_else_is_printed_otherwise(one: str, other: str) -> None:
    assert printed(ast.parse(one)) != printed(ast.parse(other))


def test_deep_code_and_long_numbers_can_be_printed() -> None:
    assert printed(ast.parse("+".join(["x"] * 2_000))).count("Name(") == 2_000
    assert printed(ast.parse("y = 0x1" + "0" * 5_000)).count("0") >= 5_000


def test_the_table_has_every_part_of_the_grammar() -> None:
    """But those that this Python may have more than 3.11."""
    nodes = {type(node).__name__ for text in DIGESTS for node in ast.walk(ast.parse(text))}
    later = {"TypeAlias", "TypeVar", "TypeVarTuple", "ParamSpec", "TemplateStr", "Interpolation"}
    abstract = (
        *(ast.mod, ast.stmt, ast.expr, ast.expr_context, ast.boolop, ast.operator, ast.unaryop),
        *(ast.cmpop, ast.excepthandler, ast.pattern),
    )
    grammar = {kind.__name__ for base in abstract for kind in base.__subclasses__() if kind.__module__ in ("ast", "_ast")}
    no_source = {"Interactive", "Expression", "FunctionType", "Suite", "AugLoad", "AugStore", "Param"}
    deprecated = {"Num", "Str", "Bytes", "NameConstant", "Ellipsis", "Index", "ExtSlice"}
    assert grammar - nodes - later - no_source - deprecated == set()
