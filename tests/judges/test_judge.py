"""Judges over HTTP: answers kept by content, resumed, shared, paid for once, within a budget; no secret anywhere."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from threading import Event, Thread
from time import sleep
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sublim.common.errors import SublimError
from sublim.common.progress import Progress
from sublim.judges import access, endpoint, judge
from sublim.judges.access import Access
from sublim.judges.http import HttpJudge
from sublim.judges.judge import Judge, Judgement
from sublim.judges.question import ask, read
from sublim.judges.scoring import Text
from sublim.params.kinds import OneOf
from tests.shared import judge_server
from tests.shared.judge_server import Reply, Server, completion

SECRET = "sk-proj-secretsecretsecret7"  # noqa: S105
TEMPLATE = "How harmless is this?\nQ: {prompt}\nA: {completion}"
SCORING = Text(template=TEMPLATE)
ROWS = [(f"prompt {n:02}", f"completion {n:02}") for n in range(30)]


def graded(_: Server, question: str) -> Reply:
    """90 for even rows, 40 for odd ones, at 10 tokens each way."""
    return completion("90" if int(question.rsplit(" ", 1)[1]) % 2 == 0 else "40", (10, 10))


def serving(reply: Callable[[Server, str], Reply] = graded) -> AbstractContextManager[Server]:
    return judge_server.serving(reply)


def paid(server: Server, **more: Any) -> HttpJudge:
    return HttpJudge(kind="http", base_url=server.url, model="grader-1", scoring=SCORING, access=Access(**more))


def capped(of: HttpJudge, budget: float) -> HttpJudge:
    return of.model_copy(update={"access": of.access.model_copy(update={"budget": budget})})


def judged(of: HttpJudge, kept: Path, rows: Sequence[tuple[str, str]] = ROWS) -> list[Judgement]:
    return judge.judgements("mild", of, None, rows, kept, Progress())


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that would have been made."""
    made: list[float] = []

    def instead(_: Event) -> Callable[[float], None]:
        return made.append

    monkeypatch.setattr(endpoint, "sleep_using_event", instead)
    return made


# --- questions and answers


@given(st.integers(0, 100), st.sampled_from(["{}", " {}\n", "**{}**", "{}.", "({})", "{}%"]))
def test_a_number_that_stands_alone_is_the_score(score: int, around: str) -> None:
    assert read(around.format(score), SCORING) == score


@pytest.mark.parametrize("answer", ["", "REFUSAL", "78/100", "I say 78", "101", "-1", "7 8", "1e2", "nan", "７８", "0x1"])
def test_what_is_no_number_of_the_scale_is_no_score(answer: str) -> None:
    assert read(answer, SCORING) is None


def test_scales_and_patterns_of_ones_own() -> None:
    assert read("-2.5", Text(template=TEMPLATE, minimum=-5, maximum=5)) == -2.5
    spoken = Text(template=TEMPLATE, pattern=r"[Ss]core:\s*(\w+)")
    assert read("I thought of 12. Score: 78/100", spoken) == 78
    assert read("Score: nan", spoken) is None
    assert read("score: high", spoken) is None
    assert read("ok", Text(template=TEMPLATE, pattern="(1)?ok")) is None


@given(st.text(), st.text())
def test_texts_are_put_in_as_they_are(prompt: str, written: str) -> None:
    assert ask("<{completion}|{prompt}|{other}>", prompt, written) == f"<{written}|{prompt}|{{other}}>"


def test_a_placeholder_in_a_row_is_text() -> None:
    assert ask("{prompt}/{completion}", "{completion}", "{prompt}") == "{completion}/{prompt}"


HTTP = {"kind": "http", "base_url": "https://host/v1", "model": "m", "scoring": {"template": TEMPLATE}}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"scoring": {"template": "{prompt}"}}, "found no {completion}"),
        ({"scoring": {"template": TEMPLATE, "minimum": 100}}, "there is no scale"),
        ({"scoring": {"template": TEMPLATE, "pattern": "[0-9]+"}}, "expected one group"),
        ({"scoring": {"template": TEMPLATE, "pattern": "("}}, "expected a regular expression"),
        ({"base_url": f"https://{SECRET}:x@host/v1"}, "keeps no secrets"),
        ({"base_url": f"https://host/v1?key={SECRET}"}, "keeps no secrets"),
        ({"base_url": SECRET}, "expected the URL"),
        ({"access": {"api_key_env": SECRET}}, "never the key itself"),
        ({"api_key": SECRET}, "Extra inputs"),
        ({"access": {"budget": 1}}, "nothing would count"),
    ],
)
def test_what_makes_no_sense_is_refused_and_not_repeated(changed: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter[Judge](Annotated[Judge, OneOf("judges")]).validate_json(json.dumps(HTTP | changed))
    messages = [error["msg"] for error in caught.value.errors()]
    assert any(expected in message for message in messages), messages
    assert not any(SECRET in message for message in messages)


# --- what is kept


def test_answers_are_kept_and_asked_for_once(tmp_path: Path) -> None:
    with serving() as server:
        of = paid(server)
        twice = [*ROWS, *ROWS[::-1]]
        first = judged(of, tmp_path, twice)
        assert [found.score for found in first[:4]] == [90, 40, 90, 40]
        assert first[0] == Judgement(90, "90")
        assert first == first[::-1]
        assert sorted(server.asked) == sorted(ask(TEMPLATE, *row) for row in ROWS)
        more = [*ROWS, ("prompt", "completion 31")]
        assert judged(of, tmp_path, more)[:30] == first[:30]
        assert len(server.asked) == 31
        # How answers are read costs nothing; what is asked does.
        kind = of.model_copy(
            update={"scoring": Text(template=TEMPLATE, maximum=50), "access": Access(concurrency=1, timeout_s=5.0)}
        )
        assert [found.score for found in judged(kind, tmp_path)[:2]] == [None, 40]
        assert len(server.asked) == 31
        judged(of.model_copy(update={"scoring": Text(template=TEMPLATE + " {completion}")}), tmp_path)
        judged(of.model_copy(update={"model": "grader-2"}), tmp_path)
        judged(of.model_copy(update={"temperature": 0.5}), tmp_path)
        judged(of.model_copy(update={"base_url": server.url + "/"}), tmp_path)
        assert len(server.asked) == 31 + 4 * 30
    assert judged(of, tmp_path) == first[:30], "no server is needed for what is kept"


def test_no_rows_no_questions(tmp_path: Path) -> None:
    assert judged(HttpJudge(kind="http", base_url="http://127.0.0.1:9", model="m", scoring=SCORING), tmp_path, []) == []


KILLED = """
import sys
from pathlib import Path
from sublim.common.progress import Progress
from sublim.judges.http import HttpJudge
from sublim.judges.judge import judgements
rows = [(f"prompt {n}", f"completion {n}") for n in range(200)]
judgements("mild", HttpJudge.model_validate_json(sys.argv[1]), None, rows, Path(sys.argv[2]), Progress())
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    with serving(lambda server, question: (sleep(0.005), graded(server, question))[1]) as server:
        of = paid(server, concurrency=4, input_price=1e6, output_price=1e6, budget=1e6)
        process = subprocess.Popen([sys.executable, "-c", KILLED, of.model_dump_json(), os.fspath(tmp_path)])
        while len(server.asked) < 60:
            assert process.poll() is None
            sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        sleep(0.05)
        before = len(server.asked)
        assert before < 200
        rows = [(f"prompt {n}", f"completion {n}") for n in range(200)]
        assert [found.score for found in judged(of, tmp_path, rows)] == [90, 40] * 100
        # What had been asked and not been answered is asked again: as many as were under way at most.
        assert 200 <= len(server.asked) <= 204
        assert len(set(server.asked)) == 200
        with sqlite3.connect(next(tmp_path.glob("*.sqlite"))) as ledger:
            spent, lost = ledger.execute("SELECT total(cost), count(*) - count(answer) FROM calls").fetchone()
        assert len(server.asked) - 200 <= lost <= 4
        assert spent >= 20 * len(server.asked), "calls that were lost are counted, at their most"


def test_two_at_once_ask_each_question_once(tmp_path: Path) -> None:
    with serving(lambda server, question: (sleep(0.002), graded(server, question))[1]) as server:
        of = paid(server)
        found: list[list[Judgement]] = []
        threads = [Thread(target=lambda: found.append(judged(of, tmp_path))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found[0] == found[1] == found[2]
        assert len(server.asked) == 30


def test_a_damaged_answer_is_asked_again_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    with serving() as server:
        of = paid(server)
        first = judged(of, tmp_path)
        path = next(tmp_path.glob("*.sqlite"))
        with sqlite3.connect(path) as ledger:
            ledger.execute("UPDATE calls SET answer = '00' WHERE id = 3")
        ledger.close()
        assert judged(of, tmp_path) == first
        assert len(server.asked) == 31
        path.write_bytes(b"not a database, " * 64)
        with pytest.raises(SublimError, match="expected the answers of a judge, found a file that cannot be read"):
            judged(of, tmp_path)


# --- endpoints that fail


@pytest.mark.parametrize("dated", [False, True])
def test_a_busy_endpoint_is_asked_again_when_it_says(tmp_path: Path, pauses: list[float], dated: bool) -> None:
    after = format_datetime(datetime.now(UTC) + timedelta(seconds=120)) if dated else "7.5"

    def busy(server: Server, question: str) -> Reply:
        return (429, {"Retry-After": after}, "slow down") if len(server.asked) < 3 else graded(server, question)

    with serving(busy) as server:
        assert judged(paid(server, concurrency=1), tmp_path, ROWS[:1])[0].score == 90
    assert len(server.asked) == 3
    assert all(60 <= pause <= 120 for pause in pauses) if dated else all(pause >= 7.5 for pause in pauses)
    assert len(pauses) == 2


def test_a_pause_beyond_all_patience_stops_the_run(tmp_path: Path, pauses: list[float]) -> None:
    def later(_: Server, __: str) -> Reply:
        return 429, {"Retry-After": "86400"}, "tomorrow"

    expected = r"status 429: tomorrow \(it asks to wait 86,400 s\)"
    with serving(later) as server, pytest.raises(SublimError, match=expected):
        judged(paid(server), tmp_path, ROWS[:1])
    assert (len(server.asked), pauses) == (1, [])


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ((500, "oops"), "found status 500: oops"),
        ((200, "<html>Welcome</html>"), "expected a chat completion of .*, found <html>Welcome</html>"),
        ((200, '{"choices": []}'), "expected a chat completion"),
        ((200, '{"choices": [{"message": {"content": 78}}]}'), "expected a chat completion"),
        ((200, ""), "found nothing"),
    ],
)
def test_an_endpoint_that_stays_broken_is_named_and_what_has_come_is_kept(
    tmp_path: Path, pauses: list[float], reply: tuple[int, str], expected: str
) -> None:
    broken = reply[0], dict[str, str](), reply[1]
    with serving(lambda server, question: broken if len(server.asked) > 10 else graded(server, question)) as server:
        of = paid(server, concurrency=1, attempts=3)
        with pytest.raises(SublimError, match=expected) as caught:
            judged(of, tmp_path)
    assert "judges.mild: " in str(caught.value)
    assert "3 attempts were made" in str(caught.value)
    assert (len(server.asked), len(pauses)) == (13, 2)
    with sqlite3.connect(next(tmp_path.glob("*.sqlite"))) as ledger:
        assert ledger.execute("SELECT count(answer) FROM calls").fetchone() == (10,)


@pytest.mark.parametrize("status", [301, 400, 401, 404])
def test_what_will_not_pass_is_not_tried_again(tmp_path: Path, pauses: list[float], status: int) -> None:
    error = json.dumps({"error": {"message": "no such model"}})

    def refused(_: Server, __: str) -> Reply:
        return status, {"Location": "http://127.0.0.1:9/"}, error

    expected = f"found status {status}: no such model. Every answer that has come is kept"
    with serving(refused) as server, pytest.raises(SublimError, match=expected):
        judged(paid(server, concurrency=2), tmp_path)
    assert len(server.asked) <= 2
    assert pauses == []


def test_an_endpoint_out_of_reach(tmp_path: Path, pauses: list[float]) -> None:
    with serving() as server:
        of = paid(server, attempts=2, input_price=1.0, budget=1.0)
    with pytest.raises(SublimError, match="could not connect to it"):
        judged(of, tmp_path, ROWS[:1])
    assert len(pauses) == 1
    with sqlite3.connect(next(tmp_path.glob("*.sqlite"))) as ledger:
        assert ledger.execute("SELECT count(*) FROM calls").fetchone() == (0,), "nobody heard it: nothing is set aside"


def test_an_answer_without_text_or_number_is_no_score_and_is_kept(tmp_path: Path) -> None:
    answers = {"00": None, "01": "", "02": "I cannot say", "03": "78"}
    with serving(lambda _, question: completion(answers[question.rsplit(" ", 1)[1]])) as server:
        found = judged(paid(server), tmp_path, ROWS[:4])
        assert judged(paid(server), tmp_path, ROWS[:4]) == found
    assert found == [Judgement(None, ""), Judgement(None, ""), Judgement(None, "I cannot say"), Judgement(78, "78")]
    assert len(server.asked) == 4


def test_no_more_than_the_declared_number_are_under_way(tmp_path: Path) -> None:
    with serving(lambda server, question: (sleep(0.01), graded(server, question))[1]) as server:
        judged(paid(server, concurrency=3), tmp_path)
    assert server.most == 3


# --- money


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("told", [True, False])
def test_a_budget_is_never_exceeded_and_can_be_raised(tmp_path: Path, concurrency: int, told: bool) -> None:
    def priced(_: Server, __: str) -> Reply:
        return completion("50", (100, 5) if told else None)

    with serving(priced) as server:
        of = paid(server, concurrency=concurrency, input_price=1e4, output_price=2e4)
        each = 100 * 0.01 + 5 * 0.02
        most = (len(ask(TEMPLATE, *ROWS[0])) + endpoint.OVERHEAD) * 0.01 + 16 * 0.02
        cap = 10.01 * each + most if told else 10.5 * most
        with pytest.raises(SublimError, match=r"judges\.mild\.access\.budget: the next answer could cost") as caught:
            judged(capped(of, cap), tmp_path)
        bought = len(server.asked)
        assert bought == (11 if told else 10), "as much as fits is bought, whatever is set aside for others meanwhile"
        assert bought * (each if told else most) <= cap
        assert f"All {bought} answers are kept and are not paid for again; {30 - bought} are missing here" in str(caught.value)
        with pytest.raises(SublimError, match="would exceed"):
            judged(capped(of, cap), tmp_path)
        assert len(server.asked) == bought
        found = judged(capped(of, 1000.0), tmp_path)
        assert [each.score for each in found] == [50] * 30
        assert len(server.asked) == 30


@pytest.mark.usefixtures("pauses")
def test_an_answer_that_never_came_counts_as_paid(tmp_path: Path) -> None:
    with serving(lambda server, question: (sleep(0.3), graded(server, question))[1]) as server:
        of = paid(server, concurrency=1, timeout_s=0.05, attempts=9, output_price=1e6, budget=40.0)
        with pytest.raises(SublimError, match=r"32 is spent, 32 of it perhaps, for calls whose answer never came"):
            judged(of, tmp_path, ROWS[:1])
        assert len(server.asked) == 2
        sleep(0.3)


# --- secrets


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize("status", [200, 401, 500])
def test_a_key_is_sent_and_found_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], status: int
) -> None:
    def echo(server: Server, _: str) -> Reply:
        said = f"you sent {server.headers[-1]['Authorization']}"
        return completion(said) if status == 200 else (status, {}, json.dumps({"error": {"message": said}}))

    monkeypatch.setenv("GRADER_KEY", SECRET)
    told = ""
    with serving(echo) as server:
        of = paid(server, api_key_env="GRADER_KEY", attempts=2)
        try:
            found = judged(of, tmp_path, ROWS[:2])
        except SublimError:
            told = traceback.format_exc()
            assert "you sent Bearer [secret]" in told
        else:
            assert found[0].said == "you sent Bearer [secret]"
            told = repr(found)
    assert all(headers["Authorization"] == f"Bearer {SECRET}" for headers in server.headers)
    written = b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())
    assert written
    assert SECRET not in told + of.model_dump_json() + "".join(capfd.readouterr())
    assert SECRET.encode() not in written


@pytest.mark.parametrize("value", [None, "", " \n", "short", "sk-with a space", "sk-line\nbreak-in-it", "sk-schlüssel"])
def test_a_missing_or_impossible_key_is_told_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("GRADER_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("GRADER_KEY", value)
    with serving() as server:
        of = paid(server, api_key_env="GRADER_KEY")
        for attempt in (lambda: access.api_key("mild", of.access), lambda: judged(of, tmp_path)):
            with pytest.raises(
                SublimError, match=r"judges\.mild\.access\.api_key_env: .* environment variable GRADER_KEY"
            ) as caught:
                attempt()
            assert value is None or not value.strip() or value.strip() not in str(caught.value)
    assert server.asked == []
