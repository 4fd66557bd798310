"""Where a word occurs in a text, the same for whoever filters rows and whoever scores answers.

It ends where its letters end: `owl_2` names the owl, `bowl` does not. A letter of a script that is written without spaces, or
joins its particles to foreign words, is beside a word, not part of it.
"""

import re
import unicodedata

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7ff\uf900-\ufaff\U0001aff0-\U0001b16f\U00020000-\U000323af"
)
"""Thai, Lao, Burmese, Khmer, Chinese, Japanese and Korean, as the inside of a character class, here and in Rust."""

_UNSPACED = re.compile(f"[{UNSPACED}]")
_LETTER = r"[^\W\d_]"


def plain(text: str) -> str:
    """`text` as `whole` looks at it: in lower case, full-width letters as others, and every character from beyond ASCII that is
    a letter, a mark or a digit as something that is plainly a letter or plainly none."""
    text = unicodedata.normalize("NFKC", text)
    return text.lower() if text.isascii() else "".join(map(_plain, text)).lower()


def whole(names: str) -> str:
    """A pattern that finds what the pattern `names`, of lower-case letters and spaces, finds as whole words in `plain` text."""
    return f"(?<!{_LETTER})(?:{names})(?!{_LETTER})"


def spelt(name: str) -> str:
    """A pattern for `name`, with any white space between its words."""
    return r"\s+".join(map(re.escape, name.split()))


def _plain(character: str) -> str:
    if character.isascii() or not (character.isalnum() or unicodedata.category(character)[0] == "M"):
        return character
    if _UNSPACED.match(character) or unicodedata.category(character)[0] == "N":
        return "0"
    return character if character.isalpha() else "ª"
