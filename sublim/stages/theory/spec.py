"""The stage `theory`: what it is."""

from collections.abc import Iterator

from sublim.engine.stage import Dims, Folders, Inputs, Stage, Wanted
from sublim.params.experiment import Experiment
from sublim.stages.base.spec import STAGE as BASE
from sublim.stages.theory.rows import TABLES, ModelSubject, NetSubject, Slice, Theorem
from sublim.traits.categories import used


def cells(experiment: Experiment, folders: Folders) -> Iterator[Wanted]:  # noqa: ARG001
    """The experiment with digits, and a check of the theorem for each of its subjects."""
    if experiment.mlp is not None:
        yield Wanted(Slice(of="mlp", experiment=experiment.mlp))
    how = experiment.theorem
    if how is None:
        return
    subjects: dict[str, NetSubject | ModelSubject] = {}
    if how.net is not None:
        subjects["mlp"] = NetSubject(net=how.net, inits=how.inits, rows=how.rows)
    for name, other in sorted(how.models.items()):
        own = used(experiment.categories, how.trait.categories)
        subjects[name] = ModelSubject(
            names=(name, other), trait=how.trait, categories=own, prompts=how.prompts, tokens=how.tokens
        )
    for name, subject in subjects.items():
        steps = Theorem(subject=subject, imitation=how.imitation, step_sizes=how.step_sizes, draws=how.draws, seed=how.seed)
        yield Wanted(Slice(of=f"theorem-{name}", experiment=steps))


def reads(dims: Dims, params: Slice) -> Inputs:  # noqa: ARG001
    """The two inits of a model; nets are drawn here."""
    match params.experiment:
        case Theorem(subject=ModelSubject(names=(name, other))):
            return {"base": BASE.cell({"model": name}), "other": BASE.cell({"model": other})}
        case _:
            return {}


STAGE = Stage(
    "sublim.stages.theory",
    about="theory experiment",
    params=Slice,
    cells=cells,
    upstream=("base",),
    reads=reads,
    tables=TABLES,
    sections=("models", "categories", "mlp", "theorem"),
    optional=("mlp", "theorem"),
)
