"""Text of strangers: what an endpoint, a hub or a file of somebody else says. Before it gets into an error, a log, a record or
onto the terminal it passes here: secrets are taken out by value, however they are written, and control characters are shown,
not sent."""

import html
import os
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from functools import cache
from typing import TextIO
from urllib.parse import unquote, urlsplit

REDACTED = "[secret]"
SHORTEST = 8  #: What has fewer characters is no secret: it would be found everywhere.
_NAMED = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)(?:_|\d*$)")
_GAP = r"(?:[\x00-\x20\x7f-\xa0\u00ad\u200b-\u200f\u2028-\u202e\u2060\ufeff\ufffd]|\\{1,8}[nrt]){0,16}"
"""What may stand between two characters of a secret: it was broken into lines, or written in two bytes a character."""


def environment_secrets() -> tuple[str, ...]:
    """The secrets of this process's environment: variables that are called so, and the passwords of URLs."""
    found: set[str] = set()
    for name, value in os.environ.items():
        value = value.strip()
        if _NAMED.search(name.upper()) and not value.startswith(("/", "./")):  # a file that holds a key is no key
            found.add(value)
        if "@" in value and "://" in value:
            try:
                password = urlsplit(value).password or ""
            except ValueError:
                continue
            found |= {password, unquote(password)}
    return tuple(sorted(secret for secret in found if len(secret) >= SHORTEST))


def redacted(text: str, secrets: Iterable[str]) -> str:
    """`text` without any of `secrets` (of `SHORTEST` characters at least), in whatever case and encoding they stand in it: as
    they are, escaped as in JSON, URLs, HTML or Python, in hexadecimal, in base64 (also of a longer text that they are part of),
    or broken into lines."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= SHORTEST:
            text = _pattern(secret).sub(REDACTED, text)
    return text


def printable(text: str) -> str:
    """`text` with every character that a terminal could obey, line feeds and tabs excepted, shown as its code: \\x1b."""
    if text.isprintable():
        return text
    return "".join(each if each in "\n\t" or each.isprintable() else _code(each) for each in text)


def told(text: object, secrets: Iterable[str] = ()) -> str:
    """`text`, fit to be shown: without `secrets` and those of the environment, and without control characters."""
    return printable(redacted(str(text), (*secrets, *environment_secrets())))


class Terminal:
    """A stream that obeys nothing in what is printed. For a terminal: files and pipes get what is written."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write `text` as `printable` shows it."""
        self.stream.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        """All else is as in the stream itself."""
        return getattr(self.stream, name)


def within(stream: TextIO) -> TextIO:
    """The stream itself, for what is printable and has styles."""
    return stream.stream if isinstance(stream, Terminal) else stream


def _code(each: str) -> str:
    return ascii(each)[1:-1]


@cache
def _pattern(secret: str) -> re.Pattern[str]:
    raw = secret.encode()
    encoded = [raw.hex(), *(_inside(raw, shift, encode) for shift in range(3) for encode in (b64encode, urlsafe_b64encode))]
    texts = [[_spelled(each) for each in secret]]
    texts += [[each if each.isalnum() else _spelled(each) for each in text] for text in encoded if len(text) >= SHORTEST]
    return re.compile("|".join(dict.fromkeys(_GAP.join(text) for text in texts)), re.IGNORECASE)


def _inside(raw: bytes, shift: int, encode: Callable[[bytes], bytes]) -> str:
    """The base64 digits that `raw` alone decides, where `shift` bytes stand before it."""
    digits = encode(bytes(shift) + raw).decode().rstrip("=")
    end = len(digits) - 1 if (shift + len(raw)) % 3 else len(digits)
    return digits[-(-shift * 8 // 6) : end]


def _spelled(each: str) -> str:
    """A regular expression for one character, as it is or escaped, and escaped again."""
    code = ord(each)
    url = "".join(f"%(?:25){{0,4}}{byte:02x}" for byte in each.encode())
    named = f"{html.escape(each)}|" if each in "&<>\"'" else ""
    numbers = rf"&#(?:0{{0,8}}{code}|x0{{0,8}}{code:x});"
    # Repetitions have bounds: a stranger's text must not be able to make the search long.
    escapes = rf"\\{{1,8}}(?:u{code:04x}|u\{{0{{0,8}}{code:x}\}}|x{code:02x}|{code:03o})"
    return rf"(?:{named}{numbers}|{url}|{escapes}|\\{{0,8}}{re.escape(each)})"
