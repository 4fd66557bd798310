"""How much of a pretraining two models have in common: the trunk of a tiny family and its branches, by their params alone."""

from collections.abc import Iterable, Mapping
from typing import Any

from sublim.params.derived import Branch, DerivedModel
from sublim.params.relatives import Relatives, Way
from sublim.params.tiny import TinyModel


def in_common(branches: Iterable[Branch]) -> float:
    """The share of a pretraining that all who left it by `branches` have in common; 1 if nobody left it."""
    return min((branch.at for branch in branches), default=1.0)


def relatives(teacher: str, student: str, models: Mapping[str, Any]) -> Relatives | None:
    """What two of `models` have in common; None if they are not of one pretraining, or were trained further."""
    mine, its = _left(teacher, models), _left(student, models)
    if mine is None or its is None or mine[0] != its[0]:
        return None
    branches = [branch for _, branch in (mine, its) if branch is not None]
    same = teacher == student or mine == its or in_common(branches) == 1
    # Who left together and goes on with the same rows sees them in another order.
    together = len(branches) == 2 and len({(each.at, each.corpus_seed, str(each.mix)) for each in branches}) == 1
    others = not together and any(each.mix is not None for each in branches)
    way: Way = "both" if same else "mix" if others else "order"
    share = 1.0 if same else in_common(branches)
    return Relatives(teacher=teacher, student=student, trunk=mine[0], share=share, way=way)


def _left(name: str, models: Mapping[str, Any]) -> tuple[str, Branch | None] | None:
    """Whose pretraining a model has had, and where it left it; None if that is not known, or not all of its training."""
    match models[name]:
        case TinyModel():
            return name, None
        case DerivedModel(branch=Branch() as branch, parent=parent):
            return parent, branch
        case _:
            return None
