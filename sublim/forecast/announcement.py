"""What a run says before it begins: what is to be done and why, what it costs, and what its studies could see."""

from collections.abc import Collection

from sublim.engine.stage import Dims, stages
from sublim.engine.verdict import summarize
from sublim.engine.workflow import Workflow
from sublim.params.elsewhere import GgufModel, HubModel


def summary(workflow: Workflow) -> str:
    """What is to be done and why, in a few lines."""
    told = [summarize(workflow.verdicts.values())]
    stale = [verdict.cell.plan.stage for verdict in workflow.verdicts.values() if verdict.reason is not None]
    # The effects themselves are said when a run starts: what knows them takes longer to import than all this.
    told += [
        f"{number} {stage.about}s are to be trained; `sublim power` says what effects this design could see."
        for stage in stages().values()
        if stage.trains and (number := stale.count(stage.name)) > 1
    ]
    if stale and any(isinstance(model, HubModel | GgufModel) for model in workflow.experiment.models.values()):
        # Tiny families cost minutes: they are not worth the libraries that the estimate imports.
        from sublim.forecast import cost

        told.append(cost.describe(cost.cost(workflow.experiment, workflow.verdicts), workflow.params))
    return "\n".join([*told, *([workflow.advice] if workflow.advice else [])])


def foreseen(workflow: Workflow, targets: Collection[str]) -> str:
    """What could be seen by that which follows from what is to be trained; nothing, if the `targets` of the run are all of
    stages before that, as in most of what `dvc repro` asks for."""
    trained = [name for name, stage in stages().items() if stage.trains]
    before = stages().keys() - _downstream(trained)
    if targets and {*targets} <= {f"{name}_all" for name in before}:
        return ""
    stale = {name for name, verdict in workflow.verdicts.items() if verdict.reason is not None}
    due = {name for name in stale if name.partition("/")[0] in trained}
    affected: dict[str, list[Dims]] = {}
    for cell in (verdict.cell for verdict in workflow.verdicts.values()):
        if due & {*cell.inputs.values()}:
            affected.setdefault(cell.plan.stage, []).append(cell.plan.dims)
    # Slow to import, and most runs do without it.
    seen = [(power, dims) for name, dims in affected.items() if (power := stages()[name].power())]
    told = [power.brief(power.power(workflow.experiment, dims)) for power, dims in seen]
    return "\n".join(text for text in told if text)


def _downstream(names: Collection[str]) -> frozenset[str]:
    """`names` and the stages that read them, directly or not."""
    reached = set(names)
    for name, stage in stages().items():
        if reached & set(stage.upstream):
            reached.add(name)
    return frozenset(reached)
