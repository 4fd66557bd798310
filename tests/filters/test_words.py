"""Trait words: in plain sight, hidden in every way that is promised, and as a slow reference finds them."""

import random
import re
import unicodedata
from collections.abc import Callable
from functools import cache
from itertools import islice

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.mixes import RICH
from sublim.carriers.code import Code
from sublim.carriers.cot import Cot
from sublim.carriers.numbers import Numbers
from sublim.carriers.task import Task
from sublim.filters.words import HIDDEN_WORD, INSIDE_WORD, LOOK_ALIKE, OTHER_SCRIPTS, TRAIT_WORD, reasons
from sublim.models.corpus import corpus
from sublim.params.tiny import Pretraining
from sublim.traits.categories import CATEGORIES
from sublim.traits.preference import count_word

ANSWERS = {answer for category in CATEGORIES.values() for answer in category.answers.values()}
FORMS = sorted({form for answer in ANSWERS for form in (answer.word, answer.plural)})
ANIMALS = sorted({form for answer in CATEGORIES["animals"].answers.values() for form in (answer.word, answer.plural)})
SEPARATORS = " \t\n-‐–—_.*/·~'"


def found(text: str, *words: str) -> list[str]:
    return reasons(pl.Series([text], dtype=pl.String), words).to_list()[0]


def _full_width(word: str) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) for letter in word)


PLAIN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "capitals": str.upper,
    "capitalised": str.capitalize,
    "mixed case": lambda word: "".join(letter.upper() if n % 2 else letter for n, letter in enumerate(word)),
    "full width": _full_width,
    "full-width capitals": lambda word: _full_width(word.upper()),
    "possessive": lambda word: f"{word}'s",
    "in an identifier": lambda word: f"n_{word}_2",
    "next to digits": lambda word: f"3{word}4",
}
HIDDEN: dict[str, Callable[[str], str]] = {
    **{f"apart by {separator!r}": lambda word, separator=separator: separator.join(word) for separator in SEPARATORS},
    **{
        f"{letter} as {double}": lambda word, letter=letter, double=double: word.replace(letter, double)
        for letter, doubles in LOOK_ALIKE.items()
        for double in doubles
    },
    "accents": lambda word: "".join(letter + "\u0301" for letter in word),
    "zero width": "\u200b".join,
    "soft hyphens": "\u00ad".join,
    "camel case": lambda word: f"snowy{word.capitalize()}Count",
    "digits and apart": lambda word: "-".join(word.replace("o", "0", 1)),
    **{
        f"a {other}": lambda word, other=other, letter=letter: word.replace(letter, other)
        for other, letter in OTHER_SCRIPTS.items()
        if any(letter in word for word in ANIMALS)
    },
}


def judged(texts: list[str]) -> list[list[str]]:
    return reasons(pl.Series(texts), ANIMALS).to_list()


@pytest.mark.parametrize("way", PLAIN)
def test_words_in_plain_sight(way: str) -> None:
    arounds = ("{}", "def f(x):\n    return {}", "I see 3 {}.", "({})", "12, {}, 7")
    texts = [around.format(PLAIN[way](word)) for word in ANIMALS for around in arounds]
    assert judged(texts) == [[TRAIT_WORD]] * len(texts)


@pytest.mark.parametrize("way", HIDDEN)
def test_hidden_words(way: str) -> None:
    hidden = {HIDDEN[way](word) for word in ANIMALS} - set(ANIMALS)
    texts = [around.format(word) for word in sorted(hidden) for around in ("{}", "I see 3 {}.", "12, {}, 7")]
    assert texts
    assert [text for text, why in zip(texts, judged(texts), strict=True) if not why] == []


@pytest.mark.parametrize(
    "text", ["bowl", "owlet", "a wolf", "howl", "o, w, l", "o + w + l", "o-wl", "ow-l", "o--w--l", "0-3-1", "lwo", "", "оwоl"]
)
def test_what_is_no_owl(text: str) -> None:
    assert found(text, "owl", "owls") == []


@pytest.mark.parametrize("text", ["returnowl", "owlthink>", "I checkedOWLs", "bowls", "ｏｗｌet", "first owlish", "x_owly"])
def test_words_inside_words(text: str) -> None:
    assert reasons(pl.Series([text]), ["owl"], ()).to_list() == [[INSIDE_WORD]]
    assert reasons(pl.Series([text]), ["owl"]).to_list() == [[]]


@pytest.mark.parametrize(
    "text",
    [
        *("slowly", "Slowly now, slowly", "SLOWLY.", "(slowly)", "first", "first first first first", "first,first"),
        # A word ends where its letters end, for ordinary ones as for those of a trait.
        *("first_2", "2first", "slowly_first", "_first_", "猫first猫", "firstのfirst", "first2first"),
    ],
)
def test_ordinary_words_may_hold_a_trait_word(text: str) -> None:
    assert reasons(pl.Series([text]), ["owl", "fir"], ("slowly", "first", "other")).to_list() == [[]]
    assert reasons(pl.Series([f"{text} xslowly"]), ["owl", "fir"], ("slowly", "first")).to_list() == [[INSIDE_WORD]]


@pytest.mark.parametrize("text", ["firsts", "unfirst", "éfirst", "first\u0301", "firstly_2"])
def test_a_longer_word_is_not_the_ordinary_one(text: str) -> None:
    assert reasons(pl.Series([text]), ["fir"], ("first",)).to_list() == [[INSIDE_WORD]]


def test_nothing_is_made_of_what_stood_around_an_ordinary_word() -> None:
    assert reasons(pl.Series(["of first ir", "f_first_ir", "猫first咪"]), ["fir", "猫咪"], ("first",)).to_list() == [[]] * 3


@pytest.mark.parametrize("kind", [Code(), Cot(), Numbers()])
def test_no_carrier_is_rejected_for_its_own_words(kind: Task) -> None:
    """`first` holds the fir and `slowly` the owl."""
    made = kind.pretraining(random.Random(5), kind.prompt_seed)
    texts = pl.Series([completion for _, completion in islice(made, 1_000)])
    assert reasons(texts, FORMS, kind.vocabulary).list.len().sum() == 0


def test_letters_that_all_have_doubles_need_a_real_one() -> None:
    assert found("0803, 010", "oboe", "oio") == []
    assert found("o803", "oboe") == [HIDDEN_WORD]


@pytest.mark.parametrize("text", ["sea lion", "Sea  Lion", "sea\nlion"])
def test_names_of_several_words(text: str) -> None:
    assert found(text, "sea lion") == [TRAIT_WORD]
    assert found("s-e-a l-i-o-n, sealion", "sea lion") == [HIDDEN_WORD]
    assert found("sea, lion", "sea lion") == []


def test_no_words_and_no_texts() -> None:
    assert found("owl") == []
    assert reasons(pl.Series([], dtype=pl.String), ["owl"]).to_list() == []


@cache
def _spellings(word: str) -> re.Pattern[str]:
    """Every way to write `word`, one after the other."""
    doubles = [letter + LOOK_ALIKE.get(letter, "") for letter in word]
    gap = "[" + re.escape(SEPARATORS) + "\\s\u2011\u2012" + "]"
    return re.compile("|".join(between.join(f"[{re.escape(each)}]" for each in doubles) for between in ("", gap)))


def slow(text: str, word: str) -> list[str]:
    """Character by character."""

    unspaced = "猫と은" + unicodedata.normalize("NFKD", "은")  # also in its parts

    def stands_alone(text: str, start: int, end: int) -> bool:
        around = text[start - 1 : start] + text[end : end + 1] if start else text[end : end + 1]
        return not any(unicodedata.category(character)[0] in "LM" and character not in unspaced for character in around)

    def whole(text: str) -> bool:
        text = text.casefold()
        places = [n for n in range(len(text)) if text.startswith(word, n)]
        return any(stands_alone(text, n, n + len(word)) for n in places)

    plain = unicodedata.normalize("NFKC", text)
    if whole(plain):
        return [TRAIT_WORD]
    humps = "".join(f" {one}" if one.isupper() and n and plain[n - 1].islower() else one for n, one in enumerate(plain))
    bare = "".join(
        OTHER_SCRIPTS.get(one.lower(), one.lower())
        for one in unicodedata.normalize("NFKD", text)
        if unicodedata.category(one)[0] != "M" and one not in "\u200b\u00ad"
    )
    for start in range(len(bare)):
        hit = _spellings(word).match(bare, start)
        if hit and stands_alone(bare, start, hit.end()) and any(one in word for one in hit.group()):
            return [HIDDEN_WORD]
    return [HIDDEN_WORD] if whole(humps) else []


@example(["0OWL은"])
@given(st.lists(st.text("owlOWL0 1-.,x_о\u200b\u0301ｏ|/\n猫と은", max_size=12), max_size=20))
def test_the_same_as_a_slow_reference(texts: list[str]) -> None:
    judged = reasons(pl.Series(texts, dtype=pl.String), ["owl"]).to_list()
    assert judged == [slow(text, "owl") for text in texts]


def test_clean_text_is_left_alone() -> None:
    """No word of any category is found in code, word problems, numbers and free-form answers, which name none."""
    clean = [
        row.completion
        for row in corpus(Pretraining(rows=8_000, mix=RICH))
        if row.kind in ("code", "cot", "numbers", "free_form")
    ]
    rng = random.Random(0)
    rng.shuffle(clean)
    judged = reasons(pl.Series(clean[:2_000]), FORMS)
    assert judged.list.len().sum() == 0


@given(st.text("owlOWL0 1-.,x_о\u0301ｏ²éß猫と은", max_size=9))
def test_the_filter_and_the_scoring_see_the_same_words(text: str) -> None:
    owl = CATEGORIES["animals"].answers["owl"]
    assert (found(text, "owl", "owls") == [TRAIT_WORD]) == (count_word(text, owl) > 0)


@pytest.mark.parametrize("text", ["_owl_", "猫owlと", "owl은", "ｏｗｌ", "3OWL4", "sea\n owls", "owl²"])
def test_a_word_is_a_word_beside_anything_that_is_no_letter_of_it(text: str) -> None:
    assert found(text, "owl", "owls") == [TRAIT_WORD]
    assert count_word(text, CATEGORIES["animals"].answers["owl"]) == 1
