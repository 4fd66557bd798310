"""Words for people: texts, counts, names of artifacts."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_SHOWN = 3
_STEPS = 8
_TEXT = 150


def spaced(cell: str) -> str:
    """A cell in words, `student teacher=a …`: it wraps, and can be given to a command as it stands."""
    return cell.replace("/", " ")


def quoted(text: str, most: int = _TEXT) -> str:
    """A text in quotes, at most `most` characters of it."""
    return json.dumps(text if len(text) <= most else f"{text[: most - 1]}…", ensure_ascii=False)


def plural(count: int, one: str, many: str | None = None) -> str:
    """How many there are of something: `1 row`, `1,200 rows`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def more(count: int, shown: int = _SHOWN) -> str:
    """How many of `count` things are not shown; nothing if all are."""
    return f" and {count - shown} more" if count > shown else ""


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names, a line each, and how many more there are."""
    every = list(names)
    return "".join(f"\n  {name}" for name in every[:most]) + (f"\n {more(len(every), most)}" if len(every) > most else "")


def at_steps(steps: Sequence[int]) -> str:
    """Steps in which a row is, each as often as it is in it."""
    if not steps:
        return "at no step"
    times = Counter(steps)
    shown = ", ".join(f"{step}{f' ({count}×)' if count > 1 else ''}" for step, count in list(times.items())[:_STEPS])
    return f"at {'step' if len(times) == 1 else 'steps'} {shown}{more(len(times), _STEPS)}"


def near(name: str, known: Sequence[str]) -> str:
    """The names of `known` that are most like `name`, a line each; nothing if none is."""
    close = get_close_matches(name, known, n=3, cutoff=0.6)
    return f" Near it:{listed(close)}" if close else ""
