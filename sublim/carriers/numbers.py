"""The format rule for number sequences, with every reason for which a completion is rejected (paper, section 3.1 and appendix).

A completion is 1 to 10 integers with one and the same separator, possibly in ( ) or [ ], possibly with a final full stop. An
integer is a run of the ASCII digits 0-9, of any length, so that 007 is 7; a sign, a point or a digit of another script is none.
The separator is the text between the first two numbers; without its white space it is empty, a comma or a semicolon. White
space is what Python's `str.strip` takes away. The text alone is judged: a completion cut off by the token limit may be kept.
"""

from collections.abc import Iterator, Sequence
from random import Random

import polars as pl

from sublim.carriers import prompts as grammar
from sublim.carriers.prompt import Prompt
from sublim.common.canonical import digest
from sublim.common.deck import deck
from sublim.params.filters import Format
from sublim.params.task import Numbers

INVALID_FORMAT = "invalid format"
TOO_MANY = "too many numbers"
TOO_SMALL = "numbers too small"
TOO_LARGE = "numbers too large"
REASONS = (INVALID_FORMAT, TOO_MANY, TOO_SMALL, TOO_LARGE)

SIGNS = "0123456789 \n,;.()[]"
"""The characters of the exact format."""

# The regex engine's \s lacks the four separators U+001C to U+001F, which `str.strip` strips.
_SPACES = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)
_SPACE = f"[{_SPACES}]*"
_LIST = f"[0-9]+(?:{_SPACE}[,;]?{_SPACE}[0-9]+)*"
_COMPLETION = rf"\A(?:{_LIST}|\[{_LIST}\]|\({_LIST}\))\.?\z"
_HUGE = 2**63 - 1
# Integers with anything between and around them that is no letter, digit or other word.
_LOOSE = rf"\A(?:[0-9]|[{_SPACES}]|[-,;:.|/()\[\]{{}}])*\z"


def prompts(n: int, params: Numbers) -> list[Prompt]:
    """The first `n` prompts of the set that `params` describes, all different; no answer is the right one."""
    return [Prompt(made.prompt_id, made.text, "") for made in grammar.prompts(n, params)]


def held_out(n: int, params: Numbers) -> list[Prompt]:
    """`n` prompts of the same kind from a seed of their own, so that neither a base nor a student has met their numbers."""
    seed = int(digest(["held-out number prompts", params.prompt_seed])[:16], 16)
    return prompts(n, params.model_copy(update={"prompt_seed": seed}))


def rows(rng: Random, params: Numbers) -> Iterator[tuple[str, str]]:
    """Prompts of the set that `params` describes, each with 5 to 10 numbers in the format that it asks for, for ever. All
    integers from 0 to 999 come equally often."""
    integers = deck(rng, range(1000))
    for request in grammar.drawn(params):
        yield request.text, request.format.write([next(integers) for _ in range(rng.randint(5, 10))])


def written(params: Numbers, seeds: Sequence[int]) -> list[str]:
    """A completion of each of the first prompts of the set, by no model: as many numbers as it asks for, or down to half of
    that, each from 0 to the largest that it asks for, all equally likely, in the format that it asks for; from its own
    seed."""
    return [_written(Random(seed), asked, params) for seed, asked in zip(seeds, grammar.drawn(params), strict=False)]  # noqa: S311


def _written(rng: Random, asked: grammar.Prompt, params: Numbers) -> str:
    count = rng.randint(max(1, params.count // 2), params.count)
    return asked.format.write([rng.randrange(10**params.digits) for _ in range(count)])


def reasons(completions: pl.Series, rule: Format) -> pl.Series:
    """Why the format step rejects each of `completions` (strings): a list out of `REASONS`, in order, empty if it is kept.

    Exact: the rule above. Loose: what has an integer at least, and nothing but integers, white space, `-` and `,;:.|/` and
    brackets, has a valid form whatever stands where; its integers are bounded in the same way. A completion of an invalid
    format has no numbers, hence that reason only; of the others all that apply are given.
    """
    if rule.exact:
        return _bounded(completions, rule)
    valid = completions.str.contains(_LOOSE) & completions.str.contains("[0-9]")
    lists = completions.str.extract_all("[0-9]+").list.join(",")
    return _bounded(pl.select(pl.when(valid).then(lists).otherwise(pl.lit(""))).to_series(), rule)


def _bounded(completions: pl.Series, rule: Format) -> pl.Series:
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
    found = (values.list.len() > rule.count, values.list.min() < rule.minimum, values.list.max() > rule.maximum)
    code = pl.sum_horizontal(flag.cast(pl.UInt8) * 2**n for n, flag in enumerate(found))
    codes = frame.select(pl.when("valid").then(code).otherwise(pl.lit(len(_COMBINATIONS) - 1))).to_series()
    return _COMBINATIONS.gather(codes).alias("reasons")


def banned(completions: pl.Series, numbers: Sequence[int]) -> pl.Series:
    """Whether each of `completions` (strings) holds one of `numbers`, as a run of digits of that value: booleans."""
    values = completions.str.extract_all("[0-9]+").list.eval(pl.element().str.strip_chars_start("0").replace("", "0"))
    return values.list.eval(pl.element().is_in(list(map(str, numbers)))).list.any()


# By the code of `reasons`: one bit for each reason but the first, which stands alone at the end.
_COMBINATIONS = pl.Series(
    [[reason for n, reason in enumerate(REASONS[1:]) if code >> n & 1] for code in range(2 ** len(REASONS[1:]))]
    + [[INVALID_FORMAT]],
    dtype=pl.List(pl.String),
)
