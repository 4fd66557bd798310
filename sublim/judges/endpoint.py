"""A judge behind an HTTP endpoint that speaks OpenAI's chat completions.

The API key is in the header of requests and nowhere else: errors are told in words of our own, and whatever the endpoint says
is searched for the key before it is kept or shown (`sublim.common.foreign`). What it sends has bounds: the time of a whole
answer, the size of its body as it comes and unpacked, and what a number or a text in it can be.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import chain, islice
from threading import Event
from typing import Annotated, Any, Protocol

import anyio
import httpx2
from anyio.from_thread import BlockingPortal, start_blocking_portal
from pydantic import BaseModel, Field, ValidationError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, sleep_using_event, stop_after_attempt
from tenacity.wait import wait_random_exponential

from sublim.common import foreign
from sublim.common.errors import SublimError
from sublim.common.progress import Progress
from sublim.judges.access import Access, api_key
from sublim.judges.ledger import BudgetError, Ledger
from sublim.judges.scoring import Text

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Pauses between attempts, in seconds: drawn from 0 to the first, to twice that, …, to the longest."""
PATIENCE = 600.0  #: The longest pause, in seconds, that an endpoint may ask for.
OVERHEAD = 256  #: Tokens that an endpoint's chat template may add to a question.
SHOWN = 300  #: How many characters of an endpoint's own words are shown.
READ = 20_000  #: In how many of its first characters they are looked for.
LONGEST_TOKEN = 512  #: Bytes. No known vocabulary has a longer one.
ENVELOPE = 1 << 20  #: Bytes of a body beside the text of its answer.
LARGEST = 1 << 26  #: Bytes of any body.
MOST_TOKENS = 100_000_000  #: What an endpoint can have counted.
OK, BROKEN = 200, 500
BUSY = (408, 409, 425, 429)
LOST = (408, 504)  #: What says that nobody waited for the answer, which may have been made and charged.


class Asked(Protocol):
    """What the params of a judge say of its endpoint."""

    base_url: str
    model: str
    scoring: Text
    temperature: float
    access: Access


class _PassingError(Exception):
    """The call may succeed another time."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message


Count = Annotated[int, Field(strict=True, ge=0, le=MOST_TOKENS)]


class _Usage(BaseModel):
    prompt_tokens: Count
    completion_tokens: Count


class _Completion(BaseModel):
    """What is read of a chat completion."""

    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: Any = None  # it may be anything: an answer that was paid for is not thrown away because of it


class _Trouble(BaseModel):
    message: str


class _Failure(BaseModel):
    """What is read of a failure, if it has that form."""

    error: _Trouble


@dataclass(frozen=True)
class _Response:
    """What has come of an endpoint, whole."""

    status: int
    retry_after: str
    body: bytes


@dataclass(frozen=True)
class _Endpoint:
    name: str
    judge: Asked
    client: httpx2.AsyncClient
    portal: BlockingPortal
    ledger: Ledger
    key: str | None = field(repr=False)
    halt: Event = field(default_factory=Event)


def answers(name: str, judge: Asked, questions: Mapping[str, str], ledger: Ledger, progress: Progress) -> dict[str, str]:
    """Key → what the judge says, for `questions`, key → text. What it has said before is not asked again. Raises SublimError:
    the API key is missing; the endpoint cannot be reached, refuses, or gives something that is no chat completion; the budget
    does not allow the next question. Every answer that has come is kept."""
    said = ledger.answers(questions)
    rest = {key: text for key, text in questions.items() if key not in said}
    if not rest:
        return said
    key = api_key(name, judge.access)
    track = progress.start(f"judge {name}", len(rest), "answer")
    headers = {"Accept-Encoding": "gzip"} | ({"Authorization": f"Bearer {key}"} if key else {})
    limits = httpx2.Limits(max_connections=judge.access.concurrency)
    # What never ends can be left at any point in a loop of events, and nowhere else: a thread that reads cannot be stopped.
    timeout = httpx2.Timeout(None, connect=judge.access.timeout_s / 2)
    client = httpx2.AsyncClient(headers=headers, timeout=timeout, limits=limits)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(client):
        for done, answer in _asked(_Endpoint(name, judge, client, portal, ledger, key), rest):
            said[done] = answer
            track.advance()
    return said


def _asked(endpoint: _Endpoint, questions: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Answers as they come. After a failure no further question is put, and the answers under way are waited for and kept."""
    waiting, width = iter(questions.items()), endpoint.judge.access.concurrency
    with ThreadPoolExecutor(width) as pool, ExitStack() as ending:
        ending.callback(endpoint.halt.set)  # however this ends, no thread goes on to another attempt
        under_way: dict[Future[str], tuple[str, bool]] = {}
        while True:
            for key, text in islice(waiting, max(0, width - len(under_way))):
                under_way[pool.submit(_answer, endpoint, key, text)] = key, width == 1
            if not under_way:
                return
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                key, alone = under_way.pop(future)
                try:
                    yield key, future.result()
                except BudgetError as error:
                    if alone:
                        raise SublimError(_over_budget(endpoint, str(error), questions)) from None
                    # What is set aside for the others will mostly not be spent: one at a time from here on.
                    waiting, width = chain([(key, questions[key])], waiting), 1


def _answer(endpoint: _Endpoint, key: str, text: str) -> str:
    """One answer, with as many attempts as that takes."""
    stop, sleep = stop_after_attempt(endpoint.judge.access.attempts), sleep_using_event(endpoint.halt)
    attempts = Retrying(stop=stop, wait=_pause, sleep=sleep, retry=retry_if_exception_type(_PassingError), reraise=True)
    try:
        return attempts(_attempt, endpoint, key, text)
    except _PassingError as error:
        raise SublimError(
            f"judges.{endpoint.name}: {error}; {endpoint.judge.access.attempts} attempts were made. Every answer that has come "
            "is kept: run it again later, with a smaller `concurrency` or with more `attempts`"
        ) from None


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    own = wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE)(state)
    return max(own, error.after) if isinstance(error, _PassingError) else own


def _attempt(endpoint: _Endpoint, key: str, text: str) -> str:
    if endpoint.halt.is_set():
        raise SublimError(f"judges.{endpoint.name}: stopped")
    judge = endpoint.judge
    most = _cost(judge, len(text.encode()) + OVERHEAD, judge.scoring.max_tokens)
    call = endpoint.ledger.reserve(key, most, judge.access.budget)
    body = {
        "model": judge.model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": judge.scoring.max_tokens,
        "temperature": judge.temperature,
    }
    try:
        response = endpoint.portal.call(_post, endpoint, body)
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
        endpoint.ledger.release(call)
        trouble = f"could not connect to it ({type(error).__name__})"
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:  # it may have been heard, and charged for
        trouble = f"found no whole one in {judge.access.timeout_s:g} s ({type(error).__name__})"
    except _OversizeError as error:
        trouble = f"found {error}"
    else:
        return _settled(endpoint, call, key, response, most)
    # Raised here, not where it was caught: what httpx says of a request may hold its header.
    raise _PassingError(f"expected an answer of {judge.base_url}, {trouble}")


async def _post(endpoint: _Endpoint, question: Mapping[str, object]) -> _Response:
    """What the endpoint says to a question, whole, in the time that an answer may take and no larger than one can be. Raises
    TimeoutError, _OversizeError and what httpx raises."""
    url = f"{endpoint.judge.base_url.rstrip('/')}/chat/completions"
    largest = min(LARGEST, ENVELOPE + 6 * _longest(endpoint.judge))  # a byte may be written as \u0000
    with anyio.fail_after(endpoint.judge.access.timeout_s):
        async with endpoint.client.stream("POST", url, json=question) as response:
            raw = bytearray()
            async for chunk in response.aiter_raw():
                raw += chunk
                if len(raw) > largest:
                    raise _OversizeError(f"a body of more than {largest:,} bytes")
            body = _unpacked(bytes(raw), response.headers.get("content-encoding", ""), largest)
            return _Response(response.status_code, response.headers.get("retry-after", ""), body)


def _unpacked(raw: bytes, encoding: str, largest: int) -> bytes:
    match encoding.strip().lower():
        case "" | "identity":
            return raw
        case "gzip" | "x-gzip":
            with suppress(zlib.error):
                body = zlib.decompressobj(wbits=31).decompress(raw, largest + 1)
                if len(body) > largest:
                    raise _OversizeError(f"a body of more than {largest:,} bytes, compressed to {len(raw):,}")
                return body
            raise _OversizeError("a body that says that it is compressed by gzip, and is not")
        case _:
            raise _OversizeError(f"a body compressed by {foreign.told(encoding)[:SHOWN]!r}, where gzip was asked for")


class _OversizeError(Exception):
    """A body that is too large, or cannot be unpacked; the message says so."""


def _longest(judge: Asked) -> int:
    """Bytes of the longest text that `max_tokens` tokens can be."""
    return judge.scoring.max_tokens * LONGEST_TOKEN


def _settled(endpoint: _Endpoint, call: int, key: str, response: _Response, most: float) -> str:
    """The answer in a response, kept with what it cost: `most`, if the endpoint does not say."""
    judge = endpoint.judge
    if response.status != OK:
        if response.status not in LOST:
            endpoint.ledger.release(call)
        raise _refused(endpoint, response)
    try:
        found = _Completion.model_validate_json(response.body)
        text = found.choices[0].message.content or ""
        size = len(text.encode())
    except ValueError:  # no JSON, another form, nested without end, half of a character
        words = _told(endpoint, response)
        raise _PassingError(f"expected a chat completion of {judge.base_url}, found {words}") from None
    if size > _longest(judge):
        said = f"expected an answer of {judge.scoring.max_tokens} tokens at most of {judge.base_url}, found {size:,} bytes"
        raise _PassingError(said)
    answer, used = foreign.redacted(text, [endpoint.key] if endpoint.key else []), _used(found.usage)
    real = most if used is None else _cost(judge, used.prompt_tokens, used.completion_tokens)
    endpoint.ledger.settle(call, key, answer, real)
    return answer


def _used(usage: object) -> _Usage | None:
    """The tokens that an endpoint has counted; None if it says nothing that can be a count."""
    try:
        return _Usage.model_validate(usage)
    except ValidationError:
        return None


def _refused(endpoint: _Endpoint, response: _Response) -> Exception:
    status, after = response.status, _asked_to_wait(response.retry_after)
    what = f"expected an answer of {endpoint.judge.base_url}, found status {status}: {_told(endpoint, response)}"
    if after > PATIENCE:
        what += f" (it asks to wait {after:,.0f} s)"
    elif status in BUSY or status >= BROKEN:
        return _PassingError(what, after)
    variable = endpoint.judge.access.api_key_env
    return SublimError(
        f"judges.{endpoint.name}: {what}. Every answer that has come is kept: mend that (base_url, model, "
        f"{f'the key in {variable}' if variable else 'access.api_key_env'}, or the account) and run it again"
    )


def _asked_to_wait(value: str) -> float:
    """Seconds in a Retry-After header, a number or a date; 0 if there is none."""
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", value.strip()):
        return float(value)
    with suppress(ValueError, TypeError, OverflowError, IndexError):  # as many as there are ways to be no date
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return 0.0


def _told(endpoint: _Endpoint, response: _Response) -> str:
    """An endpoint's own words, in short. They are UTF-8, as JSON is, whatever it says that they are."""
    try:
        words = _Failure.model_validate_json(response.body).error.message
    except ValueError:
        words = response.body[:READ].decode(errors="replace")
    words = foreign.told(words[:READ], [endpoint.key] if endpoint.key else [])
    words = " ".join(words.split())
    return f"{words[:SHOWN]}…" if len(words) > SHOWN else words or "nothing"


def _cost(judge: Asked, asked: int, answered: int) -> float:
    """What tokens cost. A token is a byte at least, so that a text never has more tokens than bytes."""
    return (asked * judge.access.input_price + answered * judge.access.output_price) / 1e6


def _over_budget(endpoint: _Endpoint, why: str, questions: Mapping[str, str]) -> str:
    spent, missing = endpoint.ledger.spent(), len(questions) - len(endpoint.ledger.answers(questions))
    lost = f", {spent.lost:.6g} of it perhaps, for calls whose answer never came" if spent.lost else ""
    return (
        f"judges.{endpoint.name}.access.budget: {why} and would exceed {endpoint.judge.access.budget:g}: {spent.total:.6g} is "
        f"spent{lost}. All {spent.answers:,} answers are kept and are not paid for again; {missing:,} are missing here. "
        "To go on, raise `budget` and run it again"
    )
