"""A judge behind an HTTP endpoint that speaks OpenAI's chat completions.

The API key is in the header of requests and nowhere else: errors are told in words of our own, and whatever the endpoint says
is searched for the key before it is kept or shown.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import chain, islice
from threading import Event
from typing import Annotated, Protocol

import httpx2
from pydantic import BaseModel, Field, ValidationError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, sleep_using_event, stop_after_attempt
from tenacity.wait import wait_random_exponential

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


class _Usage(BaseModel):
    prompt_tokens: Annotated[int, Field(ge=0)]
    completion_tokens: Annotated[int, Field(ge=0)]


class _Completion(BaseModel):
    """What is read of a chat completion."""

    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


@dataclass(frozen=True)
class _Endpoint:
    name: str
    judge: Asked
    client: httpx2.Client
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
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx2.Limits(max_connections=judge.access.concurrency)
    with httpx2.Client(headers=headers, timeout=judge.access.timeout_s, limits=limits) as client:
        for done, answer in _asked(_Endpoint(name, judge, client, ledger, key), rest):
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
        response = endpoint.client.post(f"{judge.base_url.rstrip('/')}/chat/completions", json=body)
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
        endpoint.ledger.release(call)
        trouble = f"could not connect to it ({type(error).__name__})"
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:  # it may have been heard, and charged for
        trouble = f"found none in {judge.access.timeout_s:g} s ({type(error).__name__})"
    else:
        return _settled(endpoint, call, key, response, most)
    # Raised here, not where it was caught: what httpx says of a request may hold its header.
    raise _PassingError(f"expected an answer of {judge.base_url}, {trouble}")


def _settled(endpoint: _Endpoint, call: int, key: str, response: httpx2.Response, most: float) -> str:
    """The answer in a response, kept with what it cost: `most`, if the endpoint does not say."""
    if response.status_code != OK:
        if response.status_code not in LOST:
            endpoint.ledger.release(call)
        raise _refused(endpoint, response)
    try:
        found = _Completion.model_validate_json(response.content)
    except ValidationError:
        words = _told(endpoint, response)
        raise _PassingError(f"expected a chat completion of {endpoint.judge.base_url}, found {words}") from None
    answer, used = _without_key(endpoint, found.choices[0].message.content or ""), found.usage
    real = most if used is None else _cost(endpoint.judge, used.prompt_tokens, used.completion_tokens)
    endpoint.ledger.settle(call, key, answer, real)
    return answer


def _refused(endpoint: _Endpoint, response: httpx2.Response) -> Exception:
    status, after = response.status_code, _asked_to_wait(response.headers.get("retry-after", ""))
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
    with suppress(ValueError):
        return max(0.0, float(value))
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return 0.0


def _told(endpoint: _Endpoint, response: httpx2.Response) -> str:
    """An endpoint's own words, in short."""
    try:
        words = str(response.json()["error"]["message"])
    except (ValueError, LookupError, TypeError):
        words = response.text
    words = " ".join(_without_key(endpoint, words).split())
    return f"{words[:SHOWN]}…" if len(words) > SHOWN else words or "nothing"


def _without_key(endpoint: _Endpoint, text: str) -> str:
    return text.replace(endpoint.key, "[API key]") if endpoint.key else text


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
