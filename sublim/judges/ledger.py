"""What a judge has said and what that has cost: kept by content, in a file that a kill at any moment leaves whole.

A call is entered with the most that it can cost before it is made, and gets its answer and its real cost afterwards. One that
was never answered, since the process was killed or the answer did not come, may have been charged for: it keeps its largest
cost.
"""

import fcntl
import sqlite3
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock

from sublim.common.errors import SublimError

WAIT_SECONDS = 60
_SETTINGS = (
    "PRAGMA locking_mode = EXCLUSIVE",  # before the next: no memory shared with others, which a network file system has not
    "PRAGMA journal_mode = WAL",  # one flush to the disk per call, where the default needs four
    "PRAGMA synchronous = FULL",
)
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS calls (id INTEGER PRIMARY KEY, key TEXT NOT NULL, cost REAL NOT NULL, answer TEXT, seal TEXT)",
    "CREATE INDEX IF NOT EXISTS by_key ON calls (key)",
)


class BudgetError(Exception):
    """The next call could exceed the budget."""


@dataclass(frozen=True)
class Spent:
    """What calls have cost so far."""

    total: float  #: All of it, calls without an answer at the most that they can have cost.
    lost: float  #: The part of calls without an answer.
    answers: int  #: Answers that are kept.


class Ledger:
    """The calls of one account. Its methods may be called from several threads."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = Lock()

    def answers(self, keys: Iterable[str]) -> dict[str, str]:
        """Key → answer, for those of `keys` that were answered. An answer that is not as it was written is forgotten."""
        query = "SELECT id, answer, seal FROM calls WHERE key = ? AND answer NOT NULL"
        found: dict[str, str] = {}
        with self._lock, self._connection as connection:
            for key in keys:
                for call, answer, seal in connection.execute(query, (key,)).fetchall():
                    if seal == _seal(key, answer):
                        found[key] = answer
                    else:
                        connection.execute("UPDATE calls SET answer = NULL WHERE id = ?", (call,))
        return found

    def reserve(self, key: str, cost: float, budget: float | None) -> int:
        """Enter a call that costs `cost` at most, before it is made. Returns its number. Raises BudgetError: all calls together
        could cost more than `budget` then; nothing is entered."""
        with self._lock, self._connection as connection:
            spent: float = connection.execute("SELECT total(cost) FROM calls").fetchone()[0]
            if budget is not None and spent + cost > budget:
                raise BudgetError(f"the next answer could cost {cost:.6g}")
            return connection.execute("INSERT INTO calls (key, cost) VALUES (?, ?)", (key, cost)).lastrowid or 0

    def settle(self, call: int, key: str, answer: str, cost: float) -> None:
        """Keep the answer to a call, and what it really cost."""
        with self._lock, self._connection as connection:
            values = (answer, cost, _seal(key, answer), call)
            connection.execute("UPDATE calls SET answer = ?, cost = ?, seal = ? WHERE id = ?", values)

    def release(self, call: int) -> None:
        """Forget a call that was turned away: it cost nothing."""
        with self._lock, self._connection as connection:
            connection.execute("DELETE FROM calls WHERE id = ?", (call,))

    def spent(self) -> Spent:
        """What all calls have cost."""
        query = "SELECT total(cost), total(CASE WHEN answer IS NULL THEN cost END), count(answer) FROM calls"
        with self._lock:
            return Spent(*self._connection.execute(query).fetchone())


@contextmanager
def opened(path: Path) -> Generator[Ledger]:
    """The ledger in the file `path`, for this process alone: another one waits, and then finds what this one has asked. Raises
    SublimError: the file is no ledger, or damaged, or cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a") as lock:  # a flock: it dies with its process
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{path}: another process is asking this judge; waiting for its answers", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        connection = sqlite3.connect(path, timeout=WAIT_SECONDS, check_same_thread=False)
        try:
            for setting in _SETTINGS:
                connection.execute(setting)
            with connection:
                for statement in _SCHEMA:
                    connection.execute(statement)
            yield Ledger(connection)
        except sqlite3.OperationalError as error:
            what = f"{path}: the answers of a judge cannot be written there ({error}): mend that, run it again"
            raise SublimError(what) from None
        except sqlite3.DatabaseError as error:
            raise SublimError(
                f"{path}: expected the answers of a judge, found a file that cannot be read ({error}): "
                "put back a copy of it, or move it away, and every question is asked and paid for again"
            ) from None
        finally:
            connection.close()


def _seal(key: str, answer: str) -> str:
    """A checksum: a flipped bit in an answer must not become a score."""
    return sha256(f"{key}\0{answer}".encode()).hexdigest()
