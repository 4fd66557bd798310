"""Names that one section takes from another."""

from collections.abc import Iterable
from difflib import get_close_matches


def known(where: str, what: str, names: Iterable[str], there: Iterable[str]) -> None:
    """Raises ValueError, which names the nearest one, if one of `names`, each a `what` at the key `where`, is not `there`."""
    every = list(there)
    for name in names:
        if name not in every:
            close = get_close_matches(name, every, n=1, cutoff=0.5)
            near = f"; did you mean `{close[0]}`? Known: " if close else "; known: "
            raise ValueError(f"{where}: no {what} is called `{name}`{near}{', '.join(every)}")
