"""Judges as stages read them."""

from collections.abc import Iterable, Mapping

from sublim.engine.stage import Folders, Inputs
from sublim.judges.planned import PlannedJudge, planned
from sublim.params.experiment import Experiment
from sublim.stages.base.spec import STAGE as BASE
from sublim.traits.freeform import SCALES, free_form
from sublim.traits.trait import Trait


def graders(experiment: Experiment, traits: Iterable[Trait], folders: Folders) -> dict[str, PlannedJudge]:
    """Who grades the free-form answers of `traits`, by scale; nothing for the rule, or for none."""
    trait = free_form(traits)
    if trait is None or trait.grader == "rule":
        return {}
    return {scale: planned(experiment, getattr(trait.grader, scale), folders.folder) for scale in SCALES}


def judges_read(judges: Mapping[str, PlannedJudge]) -> Inputs:
    """The base models of the experiment that judge, as inputs by what they are asked for."""
    return {what: BASE.cell({"model": each.judge.base}) for what, each in judges.items() if each.judge.base is not None}
