"""Names that one section takes from another."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def known(where: str, what: str, names: Iterable[str], there: Iterable[str]) -> None:
    """Raises ValueError, which names the nearest one, if one of `names`, each a `what` at the key `where`, is not `there`."""
    every = list(there)
    for name in names:
        if name not in every:
            close = nearest(name, every)
            near = f"; did you mean `{close}`? Known: " if close else "; known: "
            raise ValueError(f"{where}: no {what} is called `{name}`{near}{', '.join(every)}")


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The one among `known` that may have been meant."""
    return next(iter(get_close_matches(name, known, n=1, cutoff=0.5)), None)
