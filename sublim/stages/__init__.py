"""One package per stage: `rows` (what a cell depends on, what its tables hold, the rows that follow from params alone), `spec`
(what the stage is), `make` (computes it), `check` (the story that its tables must tell), `tell` (its words).

What `make` imports, `rows` among it, is the code of a cell; `spec`, `check` and `tell` are in no digest.
"""

from collections.abc import Iterable, Mapping, Sequence


def distinct(names: Sequence[str], every: Iterable[Mapping[str, str | int]]) -> list[dict[str, str | int]]:
    """What `every` says of the dimensions `names`, each once, in their order."""
    return [dict(dims) for dims in dict.fromkeys(tuple((name, dims[name]) for name in names) for dims in every)]
