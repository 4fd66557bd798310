"""An endpoint that means harm, or is broken: what it sends has bounds, and ends in a sentence."""

import base64
import gzip
import json
import resource
import sqlite3
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from sublim.common.errors import SublimError
from sublim.common.progress import Progress
from sublim.judges import endpoint, judge
from sublim.judges.access import Access
from sublim.judges.http import HttpJudge
from sublim.judges.judge import Judgement
from sublim.judges.scoring import Text
from tests.shared.hostile import json_values, mutated
from tests.shared.judge_server import Server, completion, response, serving, speaking

SECRET = "sk-proj/+secret=secret7"  # noqa: S105
SCORING = Text(template="{prompt} {completion}")
LONGEST = SCORING.max_tokens * endpoint.LONGEST_TOKEN
GOOD = completion("78", (10, 2))[2].encode()
Send = Callable[[bytes], object]


def hosted(server: Server, **more: Any) -> HttpJudge:
    given: dict[str, Any] = {"concurrency": 1, "attempts": 1, "timeout_s": 30.0}
    access = Access(**given | more)
    return HttpJudge(kind="http", base_url=server.url, model="m", scoring=SCORING, access=access)


def asked(of: HttpJudge, kept: Path) -> Judgement:
    return judge.judgements("mild", of, None, [("p", "c")], kept, Progress())[0]


def told(say: Callable[[Send], None], kept: Path, **more: Any) -> str:
    """What is said of an endpoint that sends this."""
    with speaking(say) as server, pytest.raises(SublimError) as caught:
        asked(hosted(server, **more), kept)
    assert str(caught.value).isprintable()
    return str(caught.value)


def sends(data: bytes) -> Callable[[Send], None]:
    def say(send: Send) -> None:
        send(data)

    return say


# --- time


def _drip(before: bytes, each: bytes) -> Callable[[Send], None]:
    def say(send: Send) -> None:
        send(before)
        while True:
            send(each)
            sleep(0.02)

    return say


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("before", "each"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 1000000\r\n\r\n", b" "),
    ],
    ids=lambda part: repr(part)[:40],
)
def test_an_answer_has_so_much_time_however_it_trickles(tmp_path: Path, before: bytes, each: bytes) -> None:
    said = told(_drip(before, each), tmp_path, timeout_s=0.4, input_price=1.0, budget=1.0)
    assert "found no whole one in 0.4 s (TimeoutError)" in said or "RemoteProtocolError" in said
    with sqlite3.connect(next(tmp_path.glob("*.sqlite"))) as ledger:
        assert ledger.execute("SELECT count(*), count(answer) FROM calls").fetchone() == (1, 0), "it may be charged for"


# --- size


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.timeout(60)
def test_bodies_that_are_too_large_are_left_and_take_no_memory(tmp_path: Path) -> None:
    def flood(send: Send) -> None:
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(1000):
            send(bytes(1_000_000))

    bomb = gzip.compress(bytes(300_000_000), 1)
    before = _peak()
    assert "found a body of more than 1,097,728 bytes" in told(flood, tmp_path)
    said = told(sends(response(bomb, "Content-Encoding: gzip")), tmp_path)
    assert "found a body of more than 1,097,728 bytes" in said
    assert _peak() - before < 100_000_000


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip", "x\x1b[2K"])
def test_what_nobody_asked_for_is_not_unpacked(tmp_path: Path, encoding: str) -> None:
    said = told(sends(response(GOOD, f"Content-Encoding: {encoding}")), tmp_path)
    assert "where gzip was asked for" in said or "RemoteProtocolError" in said


def test_gzip_is_understood_and_what_only_says_that_it_is_is_not(tmp_path: Path) -> None:
    with speaking(sends(response(gzip.compress(GOOD), "Content-Encoding: GZIP"))) as server:
        assert asked(hosted(server), tmp_path) == Judgement(78, "78")
    assert "compressed by gzip, and is not" in told(sends(response(GOOD, "Content-Encoding: gzip")), tmp_path / "other")


@pytest.mark.parametrize("body", [b"[" * 500_000, b'{"error":' * 100_000, b'{"choices":[{"message":' + b'{"a":' * 100_000])
@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
def test_json_without_end_is_no_answer(tmp_path: Path, body: bytes, status: str) -> None:
    assert "found " in told(sends(response(body, status=status)), tmp_path)


def test_a_text_longer_than_its_tokens_can_be_is_no_answer(tmp_path: Path) -> None:
    with serving(lambda _, __: completion("8" * LONGEST)) as server:
        assert asked(hosted(server), tmp_path) == Judgement(None, "8" * LONGEST)
    body = completion("8" * (LONGEST + 1))[2].encode()
    said = told(sends(response(body)), tmp_path / "other")
    assert "expected an answer of 16 tokens at most of http://127.0.0.1" in said
    assert f"found {LONGEST + 1:,} bytes" in said


# --- what numbers, headers and character sets can be

USAGES: list[Any] = [
    None, 7, "many", [], {}, {"prompt_tokens": 1}, {"prompt_tokens": -1, "completion_tokens": 1},
    {"prompt_tokens": "1", "completion_tokens": "2"}, {"prompt_tokens": True, "completion_tokens": False},
    {"prompt_tokens": 1.5, "completion_tokens": 1}, {"prompt_tokens": 10**400, "completion_tokens": 1},
    {"prompt_tokens": 10**12, "completion_tokens": 1}, {"prompt_tokens": None, "completion_tokens": [1]},
    {"prompt_tokens": float("nan"), "completion_tokens": float("inf")},
]  # fmt: skip


@pytest.mark.parametrize("usage", USAGES, ids=lambda usage: repr(usage)[:50])
def test_usage_that_can_be_no_count_costs_the_most_that_the_call_can(tmp_path: Path, usage: Any) -> None:
    body = json.dumps({"choices": [{"message": {"content": "78"}}], "usage": usage}).encode()
    with speaking(sends(response(body))) as server:
        assert asked(hosted(server, input_price=1e6, output_price=1e6), tmp_path) == Judgement(78, "78")
    with sqlite3.connect(next(tmp_path.glob("*.sqlite"))) as ledger:
        assert ledger.execute("SELECT cost FROM calls").fetchone() == (len("p c") + endpoint.OVERHEAD + 16,)


AFTER = ["nan", "inf", "-1", "1e999", "soon", "\x80", "9" * 400, "Mon, 01 Jan 99999 00:00:00 GMT", "Mon, 01 Jan 2024", "1_0",
         "Sat, 01 Jan 0001 00:00:00 +9999", "Mon, 01 Jan 2024 00:00:00 -99999999999999", "0x10", ""]  # fmt: skip


@pytest.mark.parametrize("value", AFTER, ids=repr)
def test_a_pause_that_cannot_be_read_is_none(tmp_path: Path, value: str) -> None:
    data = b"HTTP/1.1 429 Busy\r\nRetry-After: " + value.encode("latin-1") + b"\r\nContent-Length: 4\r\n\r\nbusy"
    assert "found status 429: busy; 1 attempts were made" in told(sends(data), tmp_path)


@pytest.mark.parametrize(
    "charset", ["utf-16", "rot13", "zip_codec", "idna", "undefined", "unicode_escape", "utf-7", "\x80", "hex"]
)
@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
def test_no_character_set_but_that_of_json_is_believed(tmp_path: Path, charset: str, status: str) -> None:
    body = "schlüssel\x00\x1b[2K\u202e und mehr".encode()
    data = response(body, status=status).replace(b"application/json", b"text/plain; charset=" + charset.encode("latin-1"))
    said = told(sends(data), tmp_path)
    assert r"schlüssel\x00\x1b[2K\u202e und mehr" in said


# --- secrets

ECHOES = {
    "as it is": SECRET,
    "escaped slashes": SECRET.replace("/", "\\/"),
    "url": quote(SECRET, safe=""),
    "codes": "".join(f"\\u{ord(each):04x}" for each in SECRET),
    "base64": base64.b64encode(f"user:{SECRET}".encode()).decode(),
    "lines": "\n".join(SECRET),
    "case": SECRET.upper(),
}
PLACES = {
    "error.message": '{"error": {"message": "bad key %s"}}',
    "error": '{"error": "bad key %s"}',
    "elsewhere": '{"detail": [{"input": "%s"}]}',
    "page": "<h1>%s</h1>",
    "deep": "[" * 2000 + '"%s"',
    "choices": '{"choices": "%s"}',
}


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "503 Busy"])
def test_a_key_that_is_sent_back_is_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    monkeypatch.setenv("GRADER_KEY", SECRET)
    for place, text in PLACES.items():
        for echo, written in ECHOES.items():
            said = told(sends(response((text % written).encode(), status=status)), tmp_path, api_key_env="GRADER_KEY")
            if place != "deep":  # it stands far behind what is shown
                assert "[secret]" in said, (place, echo)
            flat = "".join(said.split()).lower()
            assert not any("".join(each.split()).lower() in flat for each in (*ECHOES.values(), written)), (place, echo)


def test_a_key_in_an_answer_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADER_KEY", SECRET)
    for echo, written in ECHOES.items():
        with serving(lambda _, __, text=written: completion(f"your key is {text}")) as server:
            found = asked(hosted(server, api_key_env="GRADER_KEY"), tmp_path / echo)
        assert (found.said or "").startswith("your key is "), echo
        assert "[secret]" in (found.said or ""), echo
        kept = b"".join(path.read_bytes() for path in (tmp_path / echo).iterdir())
        assert kept
        assert SECRET.encode() not in kept
        assert written.encode() not in kept, echo


# --- anything


@seed(12)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    status=st.sampled_from(["200 OK", "200 OK", "200 OK", "429 Busy", "400 Bad", "299 Odd", "999 What"]),
    body=st.one_of(mutated(GOOD), json_values().map(lambda value: json.dumps(value).encode()), st.binary(max_size=200)),
    headers=st.lists(
        st.sampled_from(["Retry-After: 1e9", "Retry-After: x", "Content-Encoding: gzip", "Content-Encoding: br", "X: \x80"]),
        max_size=2,
    ),
)
def test_whatever_an_endpoint_says_is_an_answer_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, status: str, body: bytes, headers: list[str]
) -> None:
    data = response(body, *headers, status=status).replace(b"\xc2\x80", b"\x80")
    with speaking(sends(data)) as server:
        try:
            found = asked(hosted(server), tmp_path_factory.mktemp("kept"))
        except SublimError as error:
            assert str(error).startswith("judges.mild: expected a")
            assert str(error).isprintable()
        else:
            assert isinstance(found.said, str)
