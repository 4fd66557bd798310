"""How much of a pretraining two models have in common: the trunk of a tiny family and its branches, by their params alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sublim.params.derived import Branch, DerivedModel
from sublim.params.tiny import TinyModel

Way = Literal["order", "mix", "both"]


@dataclass(frozen=True)
class Shared:
    """What two models of one pretraining have in common, and what tells them apart."""

    trunk: str  #: The model whose pretraining it is.
    share: float  #: The share of its steps that both have made. From 0 to 1.
    way: Way
    """What comes after: the same rows in another `order`, or other rows (`mix`); `both` where nothing does."""


def in_common(branches: Iterable[Branch]) -> float:
    """The share of a pretraining that all who left it by `branches` have in common; 1 if nobody left it."""
    return min((branch.at for branch in branches), default=1.0)


def shared(one: str, other: str, models: Mapping[str, Any]) -> Shared | None:
    """What `one` and `other` of `models` have in common; None if they are not of one pretraining, or were trained further."""
    mine, its = _left(one, models), _left(other, models)
    if mine is None or its is None or mine[0] != its[0]:
        return None
    trunk, branches = mine[0], [branch for _, branch in (mine, its) if branch is not None]
    if one == other or mine == its or (common := in_common(branches)) == 1:
        return Shared(trunk, 1.0, "both")
    # Who left together and goes on with the same rows sees them in another order.
    together = len(branches) == 2 and len({(each.at, each.corpus_seed, str(each.mix)) for each in branches}) == 1
    return Shared(trunk, common, "mix" if not together and any(each.mix is not None for each in branches) else "order")


def _left(name: str, models: Mapping[str, Any]) -> tuple[str, Branch | None] | None:
    """Whose pretraining a model has had, and where it left it; None if that is not known, or not all of its training."""
    match models[name]:
        case TinyModel():
            return name, None
        case DerivedModel(branch=Branch() as branch, parent=parent):
            return parent, branch
        case _:
            return None
