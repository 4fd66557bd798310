"""Rows per second of the format rule: polars expressions against a plain Python loop, on the same rows in one run.

python benchmarks/filter.py [rows]
"""

import random
import re
import sys
import time
from collections.abc import Callable

import polars as pl

from sublim.carriers.numbers import INVALID_FORMAT, TOO_LARGE, TOO_MANY, TOO_SMALL, reasons
from sublim.filters.format import Format

RULE = Format()
ROUNDS = 3


def looped(completions: list[str]) -> list[list[str]]:
    """The rule as one would write it down for a single string, applied row by row."""
    return [_judged(text) for text in completions]


def vectorised(completions: pl.Series) -> pl.Series:
    """The rule as the pipeline applies it."""
    return reasons(completions, RULE)


def _judged(text: str) -> list[str]:
    text = text.removesuffix(".")
    if len(text) > 1 and text[0] + text[-1] in ("()", "[]"):
        text = text[1:-1]
    found = [match.span() for match in re.finditer("[0-9]+", text)]
    if not found:
        return [INVALID_FORMAT]
    separator = text[found[0][1] : found[1][0]] if len(found) > 1 else None
    parts = text.split(separator) if separator else [text]
    if (separator or "").strip() not in ("", ",", ";") or not all(part.isascii() and part.isdigit() for part in parts):
        return [INVALID_FORMAT]
    numbers = [int(part) for part in parts]
    checks = {
        TOO_MANY: len(numbers) > RULE.count,
        TOO_SMALL: any(number < RULE.minimum for number in numbers),
        TOO_LARGE: any(number > RULE.maximum for number in numbers),
    }
    return [reason for reason, applies in checks.items() if applies]


def _completion(rng: random.Random) -> str:
    separator = rng.choice((", ", ", ", ", ", ",", "; ", " ", "\n"))
    text = separator.join(str(rng.randint(0, 999)) for _ in range(rng.randint(1, 10)))
    return rng.choice(("{}", "{}", "{}", "{}", "[{}]", "({})", "{}.")).format(text)


def _seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def main(rows: int) -> None:
    """Time both on `rows` valid completions and print rows per second (the best of three) and their ratio."""
    rng = random.Random(0)  # noqa: S311
    texts = [_completion(rng) for _ in range(rows)]
    series = pl.Series(texts)
    if vectorised(series).to_list() != looped(texts):
        raise SystemExit("the two disagree: no timing is worth anything")
    slow, fast = _seconds(lambda: looped(texts)), _seconds(lambda: vectorised(series))
    print(f"{rows:,} valid rows, {pl.thread_pool_size()} polars threads")
    print(f"Python loop       {rows / slow:12,.0f} rows/s")
    print(f"polars            {rows / fast:12,.0f} rows/s")
    print(f"ratio             {slow / fast:12.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300_000)
