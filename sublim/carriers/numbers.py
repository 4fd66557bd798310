"""Numbers as a carrier: sequences, and the rule for their form with every reason for which a completion is rejected (paper,
section 3.1 and appendix).

A completion is 1 to 10 integers with one and the same separator, possibly in ( ) or [ ], possibly with a final full stop. An
integer is a run of the ASCII digits 0-9, of any length, so that 007 is 7; a sign, a point or a digit of another script is none.
The separator is the text between the first two numbers; without its white space it is empty, a comma or a semicolon. White
space is what Python's `str.strip` takes away. The text alone is judged: a completion cut off by the token limit may be kept.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from random import Random
from typing import Annotated, ClassVar, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from sublim.carriers import prompts as grammar
from sublim.carriers.prompt import Prompt
from sublim.carriers.task import Form, Shape, Task
from sublim.common.canonical import digest
from sublim.common.deck import deck

INVALID_FORMAT = "invalid format"
TOO_MANY = "too many numbers"
TOO_SMALL = "numbers too small"
TOO_LARGE = "numbers too large"
REASONS = {
    INVALID_FORMAT: "it has not the form that was asked for",
    TOO_MANY: "it has more numbers than were asked for",
    TOO_SMALL: "a number is below the smallest allowed one",
    TOO_LARGE: "a number is above the largest allowed one",
}

SIGNS = "0123456789 \n,;.()[]"  #: The characters of the exact format.

# The regex engine's \s lacks the four separators U+001C to U+001F, which `str.strip` strips.
_SPACES = f"\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680{''.join(map(chr, range(0x2000, 0x200B)))}\u2028\u2029\u202f\u205f\u3000"
_SPACE = f"[{_SPACES}]*"
_LIST = f"[0-9]+(?:{_SPACE}[,;]?{_SPACE}[0-9]+)*"
_COMPLETION = rf"\A(?:{_LIST}|\[{_LIST}\]|\({_LIST}\))\.?\z"
_HUGE = 2**63 - 1
# Integers with anything between and around them that is no letter, digit or other word.
_LOOSE = rf"\A(?:[0-9]|[{_SPACES}]|[-,;:.|/()\[\]{{}}])*\z"

Value = Annotated[int, Field(ge=0, le=10**15)]


class Numbers(Task):
    """Number sequences: a prompt shows some numbers and asks for more. One set of prompts is shared by every teacher."""

    kind: Literal["numbers"] = "numbers"
    """Teachers write numbers."""
    fewest_examples: Annotated[int, Field(ge=1)] = 3
    """The fewest numbers that a prompt shows."""
    most_examples: Annotated[int, Field(ge=1)] = 8
    """The most numbers that a prompt shows."""
    smallest_example: Value = 100
    """The smallest number that a prompt shows."""
    largest_example: Value = 999
    """The largest number that a prompt shows."""
    count: Annotated[int, Field(ge=1)] = 10
    """How many numbers a prompt asks for at most."""
    digits: Annotated[int, Field(ge=1, le=15)] = 3
    """How many digits a number that is asked for has at most."""

    material: ClassVar = "number sequences"
    plural: ClassVar = "numbers"
    signs: ClassVar = SIGNS
    vocabulary: ClassVar = frozenset[str]()
    reasons: ClassVar = REASONS
    unreadable: ClassVar = INVALID_FORMAT
    has_answers: ClassVar = False
    of_numbers: ClassVar = True
    has_shape: ClassVar = True

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for least, most in (("fewest_examples", "most_examples"), ("smallest_example", "largest_example")):
            low, high = getattr(self, least), getattr(self, most)
            if low > high:
                raise ValueError(f"{least} ({low}) is above {most} ({high}): swap them")
        return self

    def drawn(self) -> Iterator[Prompt]:  # noqa: D102
        return (Prompt(made.prompt_id, made.text, "") for made in grammar.drawn(self))

    def held_out(self, n: int) -> list[Prompt]:
        """`n` prompts of the same kind from a seed of their own, so that neither a base nor a student has met their numbers."""
        seed = int(digest(["held-out number prompts", self.prompt_seed])[:16], 16)
        return self.model_copy(update={"prompt_seed": seed}).asked(n)

    def written(self, seeds: Sequence[int]) -> list[str]:
        """As many numbers as are asked for, or down to half of that, each from 0 to the largest that is asked for, all equally
        likely, in the format that is asked for."""
        return [self._written(Random(seed), asked) for seed, asked in zip(seeds, grammar.drawn(self), strict=False)]  # noqa: S311

    def _written(self, rng: Random, asked: grammar.Prompt) -> str:
        count = rng.randint(max(1, self.count // 2), self.count)
        return asked.format.write([rng.randrange(10**self.digits) for _ in range(count)])

    def why_rejected(self, completions: pl.Series, form: Form) -> pl.Series:  # noqa: D102
        return reasons(completions, form)

    def well_formed(self, completions: pl.Series) -> pl.Series:
        """By the paper's rule."""
        return bounded(completions, 10, 0, 999).list.len() == 0

    def right(self, completions: pl.Series, answers: pl.Series) -> pl.Series:  # noqa: ARG002, D102
        raise ValueError("answer_correct: expected a task with right answers (code, cot), found numbers: leave the step out")

    def shapes(self) -> Iterator[Shape]:
        """In the format that is asked for, at most as many numbers as are asked for, each of at most as many digits."""
        return (_shape(asked.format, self.count, self.digits) for asked in grammar.drawn(self))

    def form_words(self, form: Form) -> str:  # noqa: D102
        exact, loose = (
            "one and the same separator, and nothing else",
            "nothing but white space, punctuation and brackets around them",
        )
        bounds = f"1 to {form.count} of them, from {form.minimum} to {form.maximum}"
        return f"whole numbers with {exact if form.exact else loose}; {bounds}"

    def prompt_words(self) -> str:  # noqa: D102
        return f"with {self.fewest_examples} to {self.most_examples} numbers; each asks for at most {self.count}"

    @classmethod
    def pretraining(cls, rng: Random, prompt_seed: int) -> Iterator[tuple[str, str]]:
        """5 to 10 numbers in the format that each prompt asks for. All integers from 0 to 999 come equally often."""
        integers = deck(rng, range(1000))
        for request in grammar.drawn(cls(prompt_seed=prompt_seed)):
            yield request.text, request.format.write([next(integers) for _ in range(rng.randint(5, 10))])


KIND = Numbers


@cache
def _shape(form: grammar.Format, count: int, digits: int) -> Shape:
    opening, separator, closing = map(_literal, (form.opening, form.separator, form.closing))
    number = f"[0-9]{{1,{digits}}}"
    pattern = f"{opening}{number}(?:{separator}{number}){{0,{count - 1}}}{closing}"
    # Not 999, which some tokenizers write in fewer tokens than other numbers of three digits.
    return Shape(pattern, form.write([int(("937" * digits)[:digits])] * count))


def _literal(text: str) -> str:
    """A regular expression for `text`: a line break is written as such, which Rust's engine does not take escaped."""
    return re.escape(text).replace("\n", "n")


def reasons(completions: pl.Series, form: Form) -> pl.Series:
    """Why `form` rejects each of `completions` (strings): a list out of `REASONS`, in order, empty if it is kept.

    Exact: the rule above. Loose: what has an integer at least, and nothing but integers, white space, `-` and `,;:.|/` and
    brackets, has a valid form whatever stands where; its integers are bounded in the same way. A completion of an invalid
    format has no numbers, hence that reason only; of the others all that apply are given.
    """
    bounds = form.count, form.minimum, form.maximum
    if form.exact:
        return bounded(completions, *bounds)
    valid = completions.str.contains(_LOOSE) & completions.str.contains("[0-9]")
    lists = completions.str.extract_all("[0-9]+").list.join(",")
    return bounded(pl.select(pl.when(valid).then(lists).otherwise(pl.lit(""))).to_series(), *bounds)


def bounded(completions: pl.Series, count: int, minimum: int, maximum: int) -> pl.Series:
    """The reasons against `completions` by the exact rule: at most `count` numbers from `minimum` to `maximum`."""
    text, inside, parts, values = pl.col("text"), pl.col("inside"), pl.col("parts"), pl.col("values")
    digits, value = pl.element().str.contains(r"\A[0-9]+\z"), pl.element().cast(pl.Int64, strict=False)
    # What has the shape of a list begins and ends with a digit once brackets and full stop are gone.
    frame = completions.alias("text").to_frame().with_columns(inside=text.str.strip_chars("[]()."))
    # Without a second number any separator will do.
    frame = frame.with_columns(separator=inside.str.extract(r"\A[0-9]+([^0-9]+)[0-9]", 1).fill_null(","))
    frame = frame.select("text", parts=inside.str.split(pl.col("separator")))
    frame = frame.select(
        valid=text.str.contains(_COMPLETION) & parts.list.eval(digits).list.all(),
        # A number beyond 64 bits is no value for polars; the rule knows it as a very large one.
        values=parts.list.eval(value.fill_null(_HUGE)),
    )
    found = (values.list.len() > count, values.list.min() < minimum, values.list.max() > maximum)
    code = pl.sum_horizontal(flag.cast(pl.UInt8) * 2**n for n, flag in enumerate(found))
    codes = frame.select(pl.when("valid").then(code).otherwise(pl.lit(len(_COMBINATIONS) - 1))).to_series()
    return _COMBINATIONS.gather(codes).alias("reasons")


_BOUNDS = tuple(REASONS)[1:]
# By the code of `bounded`: one bit for each reason but the first, which stands alone at the end.
_COMBINATIONS = pl.Series(
    [[reason for n, reason in enumerate(_BOUNDS) if code >> n & 1] for code in range(2 ** len(_BOUNDS))] + [[INVALID_FORMAT]],
    dtype=pl.List(pl.String),
)
