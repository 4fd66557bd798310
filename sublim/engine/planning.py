"""Which artifacts an experiment needs, and from which each is made: a loop over the stages."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from sublim.engine import code, layout, trials
from sublim.engine.digests import Digests
from sublim.engine.record import Plan
from sublim.engine.stage import Folders, Stage, Wanted, stages
from sublim.engine.verdict import Cell
from sublim.params import kinds
from sublim.params.experiment import Experiment
from sublim.params.load import load
from sublim.params.section import inside


def experiment(path: Path, digests: Digests | None = None) -> Experiment:
    """The experiment in the file `path`, checked as far as it can be before anything runs. Without `digests`, those that are
    remembered in its folder are used, and remembered. Raises SublimError: with file, line, key, and what to do."""
    known = Digests(layout.DIGESTS) if digests is None else digests
    found = load(path, lambda experiment: _is_here(experiment, known))
    if digests is None and layout.STATE.is_dir():
        known.save()
    return found


def cells(experiment: Experiment, folders: Folders) -> tuple[Cell, ...]:
    """Every artifact that the experiment needs, in topological order, each once."""
    return tuple(_cell(stage, wanted) for stage in stages().values() for wanted in stage.cells(experiment, folders))


def _is_here(experiment: Experiment, digests: Digests) -> None:
    for where, section in inside(experiment):
        section.is_here(where, experiment)
    for stage in stages().values():
        if stage.is_here is not None:
            stage.is_here(experiment)
    trials.check([trial for where, section in inside(experiment) for trial in section.tried(where, experiment)], digests)


def _cell(stage: Stage, wanted: Wanted) -> Cell:
    params, inputs = wanted.params, wanted.inputs
    if inputs is None:
        inputs = stage.reads(params.dims, params) if stage.reads else {}
    if strange := [cell for cell in inputs.values() if cell.partition("/")[0] not in stage.upstream]:
        raise ValueError(f"stage {stage.name}: expected inputs of {stage.upstream}, found {strange[0]}")
    code_ = dict(code_of(stage.makes, kinds.used(params)))
    plan = Plan(stage.name, params.dims, params.model_dump(mode="json"), code_)
    sections = [section for _, section in inside(params)]
    asks = frozenset(name for section in sections if (name := section.asks) is not None)
    return Cell(plan, inputs, online=any(section.online for section in sections), asks=asks)


@cache
def code_of(makes: str, kinds_used: frozenset[str]) -> Mapping[str, str]:
    """Module → digest: of the module that makes an artifact and of the kinds that its params name, with all that these
    import."""
    found = {name: digest for root in (makes, *kinds_used) for name, digest in code.digests(root).items()}
    return dict(sorted(found.items()))
