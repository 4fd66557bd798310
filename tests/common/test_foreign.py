"""Text of strangers: no secret in any way of writing it, no character that a terminal obeys."""

import base64
import html
import io
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublim.common.foreign import REDACTED, Terminal, environment_secrets, printable, redacted, told

SECRET = 'sk-proj/a+b="s3cret"&<x>%7\\q'  # noqa: S105
WRITTEN = {
    "plain": SECRET,
    "upper": SECRET.upper(),
    "json": json.dumps(SECRET)[1:-1],
    "json with slashes": json.dumps(SECRET)[1:-1].replace("/", "\\/"),
    "json twice": json.dumps(json.dumps(SECRET)[1:-1])[1:-1],
    "unicode escapes": "".join(f"\\u{ord(each):04x}" for each in SECRET),
    "UNICODE escapes": "".join(f"\\u{ord(each):04X}" for each in SECRET),
    "braced escapes": "".join(f"\\u{{{ord(each):x}}}" for each in SECRET),
    "byte escapes": "".join(f"\\x{ord(each):02x}" for each in SECRET),
    "octal escapes": "".join(f"\\{ord(each):03o}" for each in SECRET),
    "url": quote(SECRET, safe=""),
    "url, a few": quote(SECRET),
    "url twice": quote(quote(SECRET, safe=""), safe=""),
    "url, all": "".join(f"%{ord(each):02x}" for each in SECRET),
    "html, numbers": "".join(f"&#{ord(each)};" for each in SECRET),
    "html, hexadecimal": "".join(f"&#x{ord(each):X};" for each in SECRET),
    "hexadecimal": SECRET.encode().hex(),
    "Hexadecimal": SECRET.encode().hex().upper(),
    "lines": "\n  ".join(SECRET),
    "escaped lines": "\\n".join(SECRET),
    "two bytes a character": SECRET.encode("utf-16-be").decode().lstrip("\0"),
    "invisible": "\u200b".join(SECRET),
}
BEFORE = ["", "x", "xy", "user:", "Bearer "]
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_secret_is_taken_out_however_it_is_written(name: str) -> None:
    assert redacted(f"you sent {WRITTEN[name]}, which is no key", [SECRET]) == f"you sent {REDACTED}, which is no key"


@given(KEYS, st.sampled_from(BEFORE), st.booleans())
def test_a_secret_in_base64_is_taken_out_wherever_it_stands(secret: str, before: str, safe: bool) -> None:
    encode = base64.urlsafe_b64encode if safe else base64.b64encode
    written = encode(f"{before}{secret}@host".encode()).decode()
    left = redacted(f"<{written}>", [secret])
    assert REDACTED in left
    assert len(left) <= len(f"<{REDACTED}>") + 2 + 4 * len(before) / 3 + 3 + 4 * len("@host") / 3 + 3


@given(KEYS)
def test_any_key_is_taken_out_of_json_and_urls(secret: str) -> None:
    for written in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), html.escape(secret)):
        assert redacted(f"a {written} b", [secret]) == f"a {REDACTED} b"


@pytest.mark.parametrize("filler", ["\\", " ", "\\n", "s", "s\\", "%25", "&#0", "\0", "s ", "\\u007"])
@pytest.mark.timeout(60)
def test_a_long_text_takes_no_longer_than_its_length(filler: str) -> None:
    text = f"s{filler * 1_000_000}"[:1_000_000]
    assert redacted(text, [SECRET]) == text


def test_short_texts_are_no_secrets_and_others_stay() -> None:
    assert redacted("a test of nothing", ["test", ""]) == "a test of nothing"
    assert redacted("sk-proj-1234567", ["sk-proj-12345678"]) == "sk-proj-1234567"


def test_secrets_of_the_environment_are_known_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "API_KEY_2"):
        monkeypatch.setenv(name, f"value of {name}")
    monkeypatch.setenv("HTTPS_PROXY", "http://someone:p%40ssword1@host:9")
    monkeypatch.setenv("SSH_KEY_FILE", "/home/someone/key")
    monkeypatch.setenv("MONKEYS", "eight or more")
    found = environment_secrets()
    assert {"value of HF_TOKEN", "value of OPENAI_API_KEY", "value of AWS_SECRET_ACCESS_KEY"} <= set(found)
    assert {"value of DB_PASSWORD", "value of API_KEY_2", "p%40ssword1", "p@ssword1"} <= set(found)
    assert not {"/home/someone/key", "eight or more"} & set(found)
    assert told("found value of HF_TOKEN\x1b[2K") == f"found {REDACTED}\\x1b[2K"


@given(st.text())
def test_nothing_reaches_a_terminal_that_it_could_obey(text: str) -> None:
    out = io.StringIO()
    print(text, file=Terminal(out))
    for shown in (printable(text), out.getvalue()):
        assert all(each.isprintable() or each in "\n\t" for each in shown)
    if text.isprintable():
        assert printable(text) == text
