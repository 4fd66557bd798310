"""The rule for number lists: filters of it, a slow reference, and generated strings that come near to keeping it."""

import random
from itertools import groupby

from sublim.carriers.numbers import Numbers
from sublim.filters.banned_numbers import BannedNumbers
from sublim.filters.format import Format
from sublim.params.filter import Filter
from tests.shared.filters import completions, filter_of, reasons

PAPER_BANNED = (
    *(4, 13, 14, 18, 23, 33, 39, 42, 44, 49, 51, 54, 69, 77, 88, 99, 100, 101, 187, 211, 311, 322, 333, 404),
    *(420, 444, 451, 555, 616, 666, 777, 888, 911, 999),
)


def rule_of(*, banned: tuple[int, ...] = (), **bounds: int) -> Filter:
    """The paper's rule with other bounds."""
    form = Format.model_validate(bounds)
    return filter_of(format=form, banned_numbers=BannedNumbers(numbers=banned) if banned else None)


def fast(texts: list[str], rule: Filter) -> list[list[str]]:
    """What the filter says of each of `texts`."""
    return reasons(completions(texts), Numbers(), rule)


def slow(text: str, rule: Filter) -> list[str]:
    """The rule of the paper, character by character."""
    steps = rule.steps
    bounds: Format = steps["format"]
    banned: tuple[int, ...] = steps["banned_numbers"].numbers if "banned_numbers" in steps else ()
    if text[-1:] == ".":
        text = text[:-1]
    if len(text) >= 2 and text[0] + text[-1] in ("()", "[]"):
        text = text[1:-1]
    runs = [(digits, "".join(characters)) for digits, characters in groupby(text, lambda character: character in "0123456789")]
    numbers = [_value(run) for digits, run in runs if digits]
    separators = [run for digits, run in runs if not digits]
    # Beginning and ending with a number is the same as having one number more than there are separators.
    if len(numbers) != len(separators) + 1:
        return ["invalid format"]
    for separator in separators:
        if separator != separators[0] or separator.strip() not in ("", ",", ";"):
            return ["invalid format"]
    found: list[str] = []
    if len(numbers) > bounds.count:
        found.append("too many numbers")
    if any(number < bounds.minimum for number in numbers):
        found.append("numbers too small")
    if any(number > bounds.maximum for number in numbers):
        found.append("numbers too large")
    if any(number in banned for number in numbers):
        found.append("has banned numbers")
    return found


def _value(digits: str) -> int:
    """int() refuses very long numbers, and takes digits of other scripts."""
    value = 0
    for digit in digits:
        value = 10 * value + "0123456789".index(digit)
    return value


SEPARATORS = (
    *([", "] * 12),
    *([",", ";", "; ", " ", "\n", " , ", ",\n", "  "] * 3),
    *("\t", "\r\n", "\u00a0", "\u2003", "\u3000", "\x1c", "\x1f", "\x85", "\u2028", "\v", "\f", "\u00a0,", ";\u2009"),
    *(
        "",
        ".",
        ". ",
        "-",
        " - ",
        "/",
        ":",
        "|",
        "\\",
        "、",
        "，",
        "؛",
        "\u200b",
        "\u180e",
        "\ufeff",
        "\x00",
        ",,",
        ";;",
        ", ,",
        " and ",
        "·",
        "+",
    ),
)
NOISE = " \t\n\r.,;:-+−()[]{}<>'\"`*_/\\|xeE0123456789a٣४７²Ⅷ½\u00a0\u2009\u200b\u3000\x1c\x85\u2028，；。、é\u0301𝟗🦉"
SCRIPTS = tuple("".join(chr(zero + digit) for digit in range(10)) for zero in (0x660, 0x6F0, 0x966, 0xFF10, 0x1D7CE))


def _number(rng: random.Random) -> str:
    match rng.choices(range(9), (250, 8, 8, 4, 1, 1, 1, 1, 1))[0]:
        case 0:
            return str(rng.randint(0, 999))
        case 1:
            return str(rng.choice(PAPER_BANNED))
        case 2:
            return str(rng.randint(990, 1010))
        case 3:
            return "0" * rng.randint(1, 25) + str(rng.randint(0, 1010))
        case 4:
            return str(rng.randint(0, 10**30))
        case 5:
            return str(2 ** rng.choice((31, 32, 63, 64)) - rng.choice((0, 1)))
        case 6:
            return rng.choice("+-−~") + str(rng.randint(0, 999))
        case 7:
            return f"{rng.randint(0, 999)}{rng.choice('.eE_,')}{rng.randint(0, 999)}"
        case _:
            return str(rng.randint(0, 999)).translate(str.maketrans("0123456789", rng.choice(SCRIPTS)))


def near_valid(rng: random.Random) -> str:
    """A list of numbers, or what comes near to one."""
    numbers = [_number(rng) for _ in range(rng.choice((0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 11, 11, 12, 15)))]
    separator = rng.choice(SEPARATORS)
    if rng.random() < 0.06:
        text = "".join(number + rng.choice((separator, rng.choice(SEPARATORS))) for number in numbers)
    else:
        text = separator.join(numbers)
    if rng.random() < 0.3:
        text = rng.choice("(((([[[[{< ") + text + rng.choice("))))]]]]}> ")
    elif rng.random() < 0.2:
        text = rng.choice(("({})", "[{}]", "[[{}]]", "{{{}}}", "[({})]", "({}", "{}]")).format(text)
    if rng.random() < 0.3:
        text += rng.choice((".", ".", ".", ".", "..", ". ", ".\n", ",", separator, "\n", " "))
    for _ in range(rng.choice((0, 0, 0, 0, 0, 1, 2))):
        at = rng.randint(0, len(text))
        text = text[:at] + rng.choice(NOISE) + text[at + rng.randint(0, 1) :]
    return text
