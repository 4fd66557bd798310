"""Whether a text names a trait: its words in plain sight, and hidden in the simple ways in which they could be. What is caught,
and what is not, is in docs/carriers.md.

*Plain* is a whole word (`sublim.common.words`): `owl_2` names the owl and `bowl` does not. *Inside* is within a
longer run of letters (`returnwolf`) that is no ordinary word; what is ordinary the caller says, or `first` names the fir.
"""

import re
from collections.abc import Collection, Mapping, Sequence

import polars as pl

from sublim.common.words import UNSPACED, spelt

TRAIT_WORD = "trait word"
INSIDE_WORD = "trait word inside a word"
HIDDEN_WORD = "hidden trait word"
REASONS = {
    TRAIT_WORD: "it names a trait",
    INSIDE_WORD: "a longer word of it holds a trait's name",
    HIDDEN_WORD: "it names a trait in other signs, or with letters apart",
}

LOOK_ALIKE = {"a": "4@", "b": "8", "e": "3€", "g": "9", "i": "1!|", "l": "1!|", "o": "0", "s": "5$", "t": "7"}
"""Digits and signs that can stand for a letter."""
OTHER_SCRIPTS = dict(zip("аеорсхуіјѕһԛԝӏανορτυικ", "aeopcxyijshqwlavoptuik", strict=True))
"""Cyrillic and Greek letters, in lower case, that look like a Latin one."""
SEPARATORS = r"[\s\-‐‑‒–—_.*/·~']"
INVISIBLE = "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u2060-\u2064\ufeff]"

_END = rf"[^\p{{L}}\p{{M}}]|[{UNSPACED}]"
_BEFORE, _AFTER = rf"(?:\A|{_END})", rf"(?:\z|{_END})"


def reasons(texts: pl.Series, words: Sequence[str], ordinary: Collection[str] | None = None) -> pl.Series:
    """For each of `texts` (strings): a list with the first of `REASONS` that applies, empty if none does.

    Args:
        texts: the texts.
        words: the words of the trait, in all forms.
        ordinary: longer words, in lower case, that may hold one of `words`; None if any may: `INSIDE_WORD` is never given.
    """
    if not words:
        return pl.Series("reasons", list[list[str]]([[]]) * len(texts), dtype=pl.List(pl.String))
    wanted = sorted({" ".join(word.casefold().split()) for word in words})
    text = pl.col("text")
    plain = text.str.normalize("NFKC")
    humps = plain.str.replace_all(r"(\p{Ll})(\p{Lu})", "$1 $2")
    bare = text.str.normalize("NFKD").str.replace_all(rf"\p{{M}}|{INVISIBLE}", "").str.to_lowercase()
    bare = bare.str.replace_many(list(OTHER_SCRIPTS), list(OTHER_SCRIPTS.values()))
    frame = texts.alias("text").to_frame().with_columns(plain=plain, humps=humps, bare=bare)
    seen = pl.any_horizontal(pl.col("plain").str.contains(whole_word(word)) for word in wanted)
    split = (pl.col("humps").str.contains(whole_word(word)) for word in wanted)
    hidden = pl.any_horizontal(*split, *(pl.col("bare").str.contains(_hidden(word)) for word in wanted))
    found = pl.when(seen).then(pl.lit([TRAIT_WORD]))
    if ordinary is not None:
        found = found.when(_inside(wanted, ordinary)).then(pl.lit([INSIDE_WORD]))
    found = found.when(hidden).then(pl.lit([HIDDEN_WORD]))
    return frame.select(found.otherwise(pl.lit([], pl.List(pl.String))).alias("reasons")).to_series()


def _inside(words: Sequence[str], ordinary: Collection[str]) -> pl.Expr:
    """Whether one of `words` is anywhere in the text, letters of longer words but the `ordinary` ones included."""
    left = pl.col("plain").str.to_lowercase()
    if known := sorted(each for each in ordinary if any(word in each and word != each for word in words)):
        whole = rf"({_BEFORE})(?:{'|'.join(map(re.escape, known))})({_AFTER})"
        # Twice, for what stands between two of them belongs to one match only.
        left = left.str.replace_all(whole, "${1} ${2}").str.replace_all(whole, "${1} ${2}")
    return left.str.contains_any(list(words))


def whole_word(word: str) -> str:
    """A pattern that finds `word` as a whole word in any case; of several words with any white space between them."""
    return rf"(?i){_BEFORE}{spelt(word)}{_AFTER}"


def _hidden(word: str) -> str:
    """A pattern that finds the letters of `word`, or what looks like them, at least one of them real, together or apart."""
    places = [n for n, letter in enumerate(word) if letter != " "]
    options = {n: f"[{re.escape(word[n] + LOOK_ALIKE.get(word[n], ''))}]" for n in places}
    # Where some letter has no double, that one is real anyway.
    doubled = all(word[n] in LOOK_ALIKE for n in places)
    bodies = [options | {n: re.escape(word[n])} for n in places] if doubled else [options]
    either = "|".join(_spelt(word, body, gap) for body in bodies for gap in ("", SEPARATORS))
    return f"{_BEFORE}(?:{either}){_AFTER}"


def _spelt(word: str, body: Mapping[int, str], gap: str) -> str:
    """The letters of `word` by their place, with `gap` between them, but up to three separators for a space."""
    parts: list[str] = []
    for n, letter in enumerate(word):
        if letter == " ":
            parts.append(SEPARATORS + "{0,3}")
        else:
            parts += [gap if n and word[n - 1] != " " else "", body[n]]
    return "".join(parts)
