"""The format rule: cases by hand, and equality with a slow reference on generated strings."""

import random
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sublim.carriers.numbers import REASONS
from sublim.filters.banned_numbers import BANNED, BannedNumbers
from sublim.params.filter import Filter
from tests.shared.filters import filter_of
from tests.shared.number_lists import NOISE, PAPER_BANNED, fast, near_valid, rule_of, slow

FORMAT, MANY, SMALL, LARGE = REASONS
PAPER = filter_of()


KEPT = [
    "693, 738, 556",
    "693,738,556",
    "693;738",
    "693; 738",
    "693 738",
    "693\n738\n556",
    "693\t738",
    "693 , 738 , 556",
    "693,\n738,\n556",
    "693  738  556",
    "693\u00a0738",
    "693\x1c738",
    "693\u3000738",
    "[693, 738]",
    "(693, 738)",
    "693, 738.",
    "[693, 738].",
    "(693).",
    "[7]",
    "7.",
    "0",
    "007",
    "007, 08, 000",
    "0" * 30 + "7",
    "1, 1, 1",
    "999, 0",
    "1 2 3 4 5 6 7 8 9 10",
]
INVALID = [
    "",
    " ",
    ".",
    "()",
    "[]",
    "[].",
    "[",
    "(",
    ",",
    "1,",
    "1, 2,",
    "1, 2, ",
    ",1",
    " 1, 2",
    "1, 2 ",
    "1, 2\n",
    "\n1, 2",
    "1, 2.\n",
    "1, 2. ",
    "1, 2..",
    "1, 2,.",
    "1, 2,  3",
    "1, 2,3",
    "1 2  3",
    "1  2 3",
    "1, 2; 3",
    "1,\n2, 3",
    "1\r\n2\n3",
    "1,,2",
    "1;;2",
    "1,;2",
    "1, , 2",
    "1-2",
    "1.2",
    "1.5, 2.5",
    "1. 2",
    "1/2",
    "1:2",
    "1 and 2",
    "1, two, 3",
    "-1, 2",
    "+1, 2",
    "1, -2",
    "1, +2",
    "1e3",
    "0x1f",
    "1_000",
    "{1, 2}",
    "<1, 2>",
    "((1, 2))",
    "[[1, 2]]",
    "[(1, 2)]",
    "[1, 2)",
    "(1, 2]",
    "[1, 2",
    "1, 2]",
    "]1, 2[",
    ")1(",
    "[ 1, 2]",
    "[1, 2 ]",
    "[1, 2.]",
    ".1, 2",
    "(1), (2)",
    "[1], [2]",
    "[1, 2]\n",
    "[1, 2]..",
    "٣",
    "٣, ٤",
    "1, ٤",
    "1٤, 2",
    "１, 2",
    "1, ２",
    "²",
    "1, 2²",
    "Ⅷ",
    "𝟗, 1",
    "1\u200b2",
    "1\u200b, 2",
    "\ufeff1, 2",
    "1، 2",
    "1，2",
    "1、2",
    "1\x002",
    "1, 2\x00",
    "Sure! 1, 2, 3",
    "1, 2, 3 (as asked)",
    "owl",
]


@pytest.mark.parametrize("text", KEPT)
def test_kept(text: str) -> None:
    assert fast([text], PAPER) == [[]]
    assert slow(text, PAPER) == []


@pytest.mark.parametrize("text", INVALID)
def test_invalid_format(text: str) -> None:
    assert fast([text], PAPER) == [[FORMAT]]
    assert slow(text, PAPER) == [FORMAT]


@pytest.mark.parametrize(
    ("text", "rule", "expected"),
    [
        ("1 2 3 4 5 6 7 8 9 10 11", PAPER, [MANY]),
        ("1000", PAPER, [LARGE]),
        ("[1000, 1].", PAPER, [LARGE]),
        ("9" * 19, PAPER, [LARGE]),
        ("9" * 5_000, PAPER, [LARGE]),
        (f"1, {2**63}, {2**64}", PAPER, [LARGE]),
        ("5, 1000 ", PAPER, [FORMAT]),
        ("99, 5, 700", rule_of(minimum=10, maximum=600), [SMALL, LARGE]),
        ("007", rule_of(minimum=8), [SMALL]),
        ("666", rule_of(banned=PAPER_BANNED), [BANNED]),
        ("1, 0666", rule_of(banned=PAPER_BANNED), [BANNED]),
        ("1666, 2", rule_of(banned=PAPER_BANNED), [LARGE]),
        ("665; 667", rule_of(banned=PAPER_BANNED), []),
        ("1 2 3 4 5 6 7 8 1000 666 11", rule_of(minimum=2, banned=PAPER_BANNED), [MANY, SMALL, LARGE, BANNED]),
        ("666 -1", rule_of(banned=PAPER_BANNED), [FORMAT]),
        ("1, 2", rule_of(count=1), [MANY]),
    ],
)
def test_all_reasons_are_given(text: str, rule: Filter, expected: list[str]) -> None:
    assert fast([text], rule) == [expected]
    assert slow(text, rule) == expected


def test_there_are_34_banned_numbers_in_the_paper() -> None:
    assert len(PAPER_BANNED) == 34
    assert BannedNumbers().numbers == PAPER_BANNED


def test_no_rows() -> None:
    assert fast([], PAPER) == []


def test_every_character_as_a_separator() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    judged = fast([f"1{character}2" for character in characters], PAPER)
    accepted = {character for character, why in zip(characters, judged, strict=True) if not why}
    assert accepted == {
        character for character in characters if character.strip() in {"", ",", ";"} or character in "0123456789"
    }


def test_the_same_reasons_as_the_reference_on_generated_strings() -> None:
    rng = random.Random("near-valid and adversarial")
    texts = [near_valid(rng) for _ in range(120_000)]
    rules = (PAPER, rule_of(banned=PAPER_BANNED), rule_of(count=4, minimum=100, maximum=800, banned=PAPER_BANNED))
    combinations: Counter[str] = Counter()
    for rule, share in zip(rules, (texts[0::3], texts[1::3], texts[2::3]), strict=True):
        judged = fast(share, rule)
        assert [(text, why) for text, why in zip(share, judged, strict=True) if why != slow(text, rule)] == []
        combinations.update(" + ".join(why) for why in judged)
    # The strings are worth something only if many are kept and all reasons, alone and together, are met.
    assert len(combinations) == 1 + 2**4
    assert combinations[""] > 10_000
    assert combinations[FORMAT] > 30_000
    assert min(combinations.values()) >= 20


numbers = st.lists(st.integers(0, 999), min_size=1, max_size=10)
spaces = st.text(" \t\n\u00a0\u3000", max_size=2)
separators = st.builds("{}{}{}".format, spaces, st.sampled_from(["", ",", ";"]), spaces).filter(bool)
wrappings = st.sampled_from(["{}", "({})", "[{}]", "{}.", "({}).", "[{}]."])


@given(numbers, separators, wrappings)
def test_what_the_rule_describes_is_kept(values: list[int], separator: str, wrapping: str) -> None:
    assert fast([wrapping.format(separator.join(map(str, values)))], PAPER) == [[]]


@given(numbers, separators, separators, st.data())
def test_a_second_separator_is_invalid(values: list[int], separator: str, other: str, data: st.DataObject) -> None:
    values = [*values, 1, 2]
    at = data.draw(st.integers(1, len(values) - 1))
    text = separator.join(map(str, values[:at])) + other + separator.join(map(str, values[at:]))
    assert fast([text], rule_of(count=99)) == [[] if other == separator else [FORMAT]]


@given(
    st.lists(st.text(st.sampled_from(NOISE) | st.characters(exclude_categories=["Cs"]), max_size=20), max_size=20),
    st.builds(
        rule_of,
        count=st.integers(1, 12),
        minimum=st.integers(0, 20),
        maximum=st.integers(20, 2_000),
        banned=st.lists(st.integers(0, 1_000)).map(tuple),
    ),
)
@settings(max_examples=200)
def test_the_same_reasons_as_the_reference_on_any_strings(texts: list[str], rule: Filter) -> None:
    assert fast(texts, rule) == [slow(text, rule) for text in texts]


@given(st.lists(st.text(max_size=8), max_size=10), st.randoms())
def test_a_row_is_judged_alone(texts: list[str], rng: random.Random) -> None:
    order = list(range(len(texts)))
    rng.shuffle(order)
    judged = fast(texts, PAPER)
    assert fast([texts[n] for n in order], PAPER) == [judged[n] for n in order]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"format": {"minimum": 5, "maximum": 4}}, "no number could be kept"),
        ({"format": {"count": 0}}, "format.count"),
        ({"banned_numbers": {"numbers": (-1,)}}, "banned_numbers.numbers.0"),
        ({"rows": 0}, "rows"),
        ({"format": {"maxmum": 5}}, "format.maxmum"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        type(PAPER).model_validate(wrong)
