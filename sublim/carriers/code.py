"""Code as a carrier: short functions from templates, with no comments and with names of one letter (paper, section 3.2).

The exact grammar is one function of one to three inputs, at most two assignments, one `return`; an expression is a chain of
`+`, `-` and `*`, a `min` or `max` of two, or a choice `a if a > b else b`; names are letters, integers have at most three
digits:

    def f(x, y):
        t = x * 12
        return t + y

Nothing that a model wrote is ever run: text is parsed (`ast`, `symtable`), and whether a function is right is found by an
interpreter of this grammar.
"""

import ast
import builtins
import io
import json
import keyword
import re
import symtable
import tokenize
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product, repeat
from operator import add, mul, sub
from random import Random
from typing import Annotated, ClassVar, Literal, cast

import polars as pl
from pydantic import Field

from sublim.carriers import prompt
from sublim.carriers.prompt import Prompt
from sublim.carriers.task import Form, Shape, Task
from sublim.common.phrases import phrases

_PHRASES = phrases(__file__)

INVALID_FORMAT = "invalid format"
NO_PARSE = "does not parse"
NO_FUNCTION = "no function"
COMMENTS = "has comments"
UNDEFINED = "undefined names"
REASONS = {
    INVALID_FORMAT: "it has not the form that was asked for",
    NO_PARSE: "it is no Python",
    NO_FUNCTION: "it defines no function",
    COMMENTS: "it has comments or a docstring",
    UNDEFINED: "it uses names that it does not define",
}

LONGEST = 2_000  #: Longer texts are not parsed: no short function has so many characters, and deep nesting needs them.


@dataclass(frozen=True)
class Function:
    """What a function computes, in words and as expressions."""

    name: str
    wording: Sequence[str]
    forms: Sequence[str]  #: Right expressions: `{0}`, `{1}`, `{2}` are inputs, `{k}` and `{m}` constants.
    split: Sequence[tuple[str, str]]
    """The same in two steps: the first is named, and `{t}` in the second is that name."""

    @property
    def inputs(self) -> int:
        """How many it has."""
        return sum(f"{{{n}}}" in self.forms[0] for n in range(3))

    @property
    def constants(self) -> int:
        """How many it has."""
        return sum(f"{{{name}}}" in self.forms[0] for name in "km")

    @cached_property
    def _expression(self) -> ast.expr:
        (statement,) = ast.parse(self.forms[0].format(*"xyz", k="k", m="m")).body
        return cast("ast.Expr", statement).value

    def value(self, inputs: Sequence[int], constants: Sequence[int]) -> int:
        """What it gives."""
        return _evaluate(
            self._expression, {**dict(zip("xyz", inputs, strict=False)), **dict(zip("km", constants, strict=False))}
        )


FUNCTIONS = tuple(Function(*json.loads(f"[{line}]")) for line in _PHRASES["functions"])
_BY_NAME = {task.name: task for task in FUNCTIONS}

INTROS = _PHRASES["intros"]
OPEN = ("a number of yours", "some number", "a constant", "any number you want")
COMMENTLESS = _PHRASES["commentless"]
NAMES = _PHRASES["names"]

# Where a name stands in a pretraining row: its letter says which it is, or a tiny model could not keep them apart.
_FUNCTION, _INPUTS, _LOCAL = "fghou", ("aimpx", "bjnqy", "cklrz"), "destvw"
_WRITTEN = 99  #: The largest constant of a pretraining row's own choice.
_TERM = "(?:[a-z]|0|[1-9][0-9]{0,2})"
_EXPRESSION = (
    rf"(?:{_TERM}(?: [-+*] {_TERM}){{0,4}}|(?:min|max)\({_TERM}, {_TERM}\)|{_TERM} if {_TERM} [<>] {_TERM} else {_TERM})"
)
_LONGEST = " * ".join(["937"] * 5)  #: An expression.
_SHAPE = Shape(
    rf"def [a-z]\([a-z](?:, [a-z]){{0,2}}\):(?:\n    [a-z] = {_EXPRESSION}){{0,2}}\n    return {_EXPRESSION}",
    f"def f(x, y, z):\n    s = {_LONGEST}\n    t = {_LONGEST}\n    return {_LONGEST}",
)
_PROGRAM = rf"\A{_SHAPE.pattern}\z"
_BUILTINS = frozenset(dir(builtins))
VOCABULARY = frozenset(name.lower() for name in (*keyword.kwlist, *_BUILTINS))  #: Python's own words.
SIGNS = "0123456789 \n(),:=+-*<>"  #: The characters of the exact grammar that stand outside of words and names.
_LARGEST = 10**18
_OPERATIONS: dict[type[ast.operator], Callable[[int, int], int]] = {ast.Add: add, ast.Sub: sub, ast.Mult: mul}
_CONSTANTS = 8
_NAME = re.compile(r"\b[a-z]\b")
_PROBES: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((0,), (1,), (7,), (-13,), (1009,), (-1013,)),
    2: ((0, 0), (1, 0), (0, 1), (7, 5), (-13, 11), (17, -1019), (1009, 1013)),
    3: ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (7, -5, 3), (1009, 11, -1013)),
}
"""Inputs at which a function is compared with its task: below and above every constant, and large enough that different sums of
products differ."""


class Code(Task):
    """Short functions: a prompt says what a function computes, and asks for no comments and for names of one letter."""

    kind: Literal["code"] = "code"
    """Teachers write code."""
    free: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The share of prompts that leave the function's constants to the writer; the others name them."""
    largest: Annotated[int, Field(ge=1, le=999)] = 9
    """The largest constant that a prompt names; the smallest is 1."""

    material: ClassVar = "short functions"
    plural: ClassVar = "pieces of code"
    signs: ClassVar = SIGNS
    vocabulary: ClassVar = VOCABULARY
    reasons: ClassVar = REASONS
    unreadable: ClassVar = NO_PARSE
    has_shape: ClassVar = True

    def drawn(self) -> Iterator[Prompt]:
        """`answer` names the function and its constants, with a `?` for one that is left to the writer: `line 12 ?`."""
        return prompt.drawn("code", self.prompt_seed, lambda rng: _asked(rng, self))

    def written(self, seeds: Sequence[int]) -> list[str]:  # noqa: D102
        return [_completion(Random(seed), asked.answer) for seed, asked in zip(seeds, self.drawn(), strict=False)]  # noqa: S311

    def why_rejected(self, completions: pl.Series, form: Form) -> pl.Series:  # noqa: D102
        return reasons(completions, strict=form.exact)

    def well_formed(self, completions: pl.Series) -> pl.Series:  # noqa: D102
        return exact(completions)

    def right(self, completions: pl.Series, answers: pl.Series) -> pl.Series:  # noqa: D102
        return right(completions, answers)

    def shapes(self) -> Iterator[Shape]:
        """That of the exact grammar. Whether names are defined is for the filter to say."""
        return repeat(_SHAPE)

    def form_words(self, form: Form) -> str:  # noqa: D102
        loose = "Python that parses, with a function, no comments and no undefined names"
        return "the exact grammar of the templates" if form.exact else loose

    def prompt_words(self) -> str:  # noqa: D102
        return f"each asks for a short function; {self.free:.0%} of them leave its constants to the writer"

    @classmethod
    def pretraining(cls, rng: Random, prompt_seed: int) -> Iterator[tuple[str, str]]:  # noqa: ARG003
        """Names are equally likely among the letters for their place, and so are the constants from 1 to 99 that a prompt
        leaves open. A prompt may come again, with another completion."""
        params = cls()
        while True:
            text, answer = _asked(rng, params)
            if not prompt.held_out("code", text):
                yield text, _completion(rng, answer)


KIND = Code


def exact(completions: pl.Series) -> pl.Series:
    """Whether each of `completions` (strings) is of the exact grammar, with different names for function and inputs, and every
    name defined before it is used: booleans."""
    shaped = completions.str.contains(_PROGRAM)
    return pl.Series([ok and _defined(text) for text, ok in zip(completions, shaped, strict=True)], dtype=pl.Boolean)


def reasons(completions: pl.Series, *, strict: bool) -> pl.Series:
    """Why the format of each of `completions` is rejected: a list, empty if it is kept.

    Strict: it is not of the exact grammar. Loose: it does not parse as Python or is longer than `LONGEST`; or else it holds no
    function, a comment or a string that stands alone, or a name that nothing defines (builtins are defined).
    """
    if strict:
        bad = ~exact(completions)
        return pl.select(pl.when(bad).then(pl.lit([INVALID_FORMAT])).otherwise(pl.lit([], pl.List(pl.String)))).to_series()
    known = {text: _loose(text) for text in completions.unique()}
    return pl.Series([known[text] for text in completions], dtype=pl.List(pl.String))


def right(completions: pl.Series, gold: pl.Series) -> pl.Series:
    """Whether each of `completions` is of the interpreter's language and computes what `gold`, the `answer` of its prompt,
    names: booleans. A constant that is left open may be any that the function writes."""
    return pl.Series([_computes(text, answer) for text, answer in zip(completions, gold, strict=True)], dtype=pl.Boolean)


def _asked(rng: Random, params: Code) -> tuple[str, str]:
    task = rng.choice(FUNCTIONS)
    free = rng.random() < params.free
    constants = ["?" if free else str(rng.randint(1, params.largest)) for _ in range(task.constants)]
    said = dict(zip("km", (rng.choice(OPEN) if free else constant for constant in constants), strict=False))
    if free and task.constants == 2:
        said["m"] = "another"
    style = [rng.choice(COMMENTLESS), rng.choice(NAMES)]
    rng.shuffle(style)
    text = " ".join([rng.choice(INTROS).format(task=rng.choice(task.wording).format(**said)), *style])
    return text, " ".join([task.name.replace(" ", "-"), *constants])


def _task(answer: str) -> tuple[Function, list[str]]:
    name, *constants = answer.split(" ")
    return _BY_NAME[name.replace("-", " ")], constants


def _completion(rng: Random, answer: str) -> str:
    task, constants = _task(answer)
    values = [str(rng.randint(1, _WRITTEN)) if constant == "?" else constant for constant in constants]
    function, local, *inputs = (rng.choice(letters) for letters in (_FUNCTION, _LOCAL, *_INPUTS[: task.inputs]))
    said = {"t": local} | dict(zip("km", values, strict=False))
    match rng.choice(("plain", "named", "split")):
        case "split" if task.split:
            step, last = rng.choice(task.split)
        case "plain":
            step, last = None, rng.choice(task.forms)
        case _:
            step, last = rng.choice(task.forms), "{t}"
    lines = [*([] if step is None else [f"    {{t}} = {step}"]), f"    return {last}"]
    return "\n".join([f"def {function}({', '.join(inputs)}):", *(line.format(*inputs, **said) for line in lines)])


def _defined(text: str) -> bool:
    """Whether a well-shaped `text` defines every name before it uses it, and no name twice in its head."""
    head, *lines = text.split("\n")
    function, *inputs = _NAME.findall(head)
    if len({function, *inputs}) <= len(inputs):
        return False
    known = set(inputs)
    for line in lines:
        name, _, expression = line.strip().rpartition(" = ")
        if not set(_NAME.findall(expression)) <= known:
            return False
        known |= {name}
    return True


def _parsed(text: str) -> ast.Module | None:
    if len(text) > LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _loose(text: str) -> list[str]:
    if (tree := _parsed(text)) is None or (names := _undefined(text)) is None:
        return [NO_PARSE]
    nodes = list(ast.walk(tree))
    found = {
        NO_FUNCTION: not any(isinstance(node, ast.FunctionDef) for node in nodes),
        COMMENTS: _commented(text, nodes),
        UNDEFINED: bool(names),
    }
    return [reason for reason, applies in found.items() if applies]


def _commented(text: str, nodes: list[ast.AST]) -> bool:
    """Whether `text`, which parses, has a comment, or a string that is a statement of its own."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    values = (node.value for node in nodes if isinstance(node, ast.Expr))
    alone = any(isinstance(each, ast.Constant) and isinstance(each.value, str) for each in values)
    return alone or any(token.type == tokenize.COMMENT for token in tokens)


def _undefined(text: str) -> set[str] | None:
    """The names in `text` that nothing defines, or None if Python's symbol table refuses it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = symtable.symtable(text, "completion", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    tables = [module]
    for table in tables:
        tables += table.get_children()
    made = {symbol.get_name() for symbol in module.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    symbols = (symbol for table in tables for symbol in table.get_symbols())
    return {each.get_name() for each in symbols if each.is_referenced() and each.is_global()} - made - _BUILTINS


def _computes(text: str, answer: str) -> bool:
    task, named = _task(answer)
    function = _function(text)
    if function is None or len(function.args.args) != task.inputs:
        return False
    written = sorted({node.value for node in ast.walk(function) if isinstance(node, ast.Constant) and type(node.value) is int})
    choices = [written[:_CONSTANTS] if constant == "?" else [int(constant)] for constant in named]
    values = [(inputs, value(function, inputs)) for inputs in _PROBES[task.inputs]]
    return any(all(result == task.value(inputs, each) for inputs, result in values) for each in product(*choices))


def _function(text: str) -> ast.FunctionDef | None:
    """The function in `text`, if that is all there is and it has plain inputs and no decorator."""
    match _parsed(text):
        case ast.Module(body=[ast.FunctionDef(args=inputs, decorator_list=[]) as function]):
            plain = not (inputs.posonlyargs or inputs.kwonlyargs or inputs.vararg or inputs.kwarg or inputs.defaults)
            return function if plain else None
        case _:
            return None


class _OutsideError(Exception):
    """Something that the interpreter's language does not have."""


def value(function: ast.FunctionDef, inputs: Sequence[int]) -> int | None:
    """What `function` gives for `inputs`; None if it uses something that the language does not have, or a value that is too
    large."""
    known = dict(zip((each.arg for each in function.args.args), inputs, strict=True))
    try:
        for statement in function.body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=expression):
                    known[name] = _evaluate(expression, known)
                case ast.AugAssign(target=ast.Name(id=name), op=sign, value=expression):
                    known[name] = _combined(sign, known[name], _evaluate(expression, known))
                case ast.Return(value=ast.expr() as expression):
                    return _evaluate(expression, known)
                case _:
                    return None
    except (_OutsideError, KeyError, RecursionError):
        return None
    return None


def _evaluate(expression: ast.expr, known: Mapping[str, int]) -> int:
    """Raises: _OutsideError, or KeyError for a name without a value."""
    match expression:
        case ast.Constant(value=int(value)) if type(value) is int and value <= _LARGEST:
            return value
        case ast.Name(id=name):
            return known[name]
        case ast.BinOp(left=left, op=sign, right=right):
            return _combined(sign, _evaluate(left, known), _evaluate(right, known))
        case ast.Call(func=ast.Name(id="min" | "max" as name), args=[a, b], keywords=[]) if name not in known:
            return (min if name == "min" else max)(_evaluate(a, known), _evaluate(b, known))
        case ast.IfExp(
            test=ast.Compare(left=left, ops=[ast.Lt() | ast.Gt() as sign], comparators=[right]), body=body, orelse=other
        ):
            a, b = _evaluate(left, known), _evaluate(right, known)
            return _evaluate(body if (a < b if isinstance(sign, ast.Lt) else a > b) else other, known)
        case _:
            raise _OutsideError


def _combined(sign: ast.operator, a: int, b: int) -> int:
    operation = _OPERATIONS.get(type(sign))
    if operation is None or abs(value := operation(a, b)) > _LARGEST:
        raise _OutsideError
    return value
