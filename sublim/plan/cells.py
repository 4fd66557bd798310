"""Which artifacts an experiment needs, and from which each is made: stages, cells, slices."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import TypeVar, get_args

from sublim.models.hub import ModelError, verify
from sublim.params.adjustment import adjusted
from sublim.params.arm import Arm
from sublim.params.experiment import Experiment
from sublim.params.load import load
from sublim.params.models import HubModel, Model, TinyModel
from sublim.params.section import Section
from sublim.params.slices import base, filtered, raw, report, student, teacher
from sublim.params.slices import eval as eval_
from sublim.plan import code
from sublim.plan.digests import Digests
from sublim.plan.record import Plan
from sublim.plan.verdict import Cell
from sublim.traits.preference import target

Dims = dict[str, str | int]
T = TypeVar("T", bound=Section)

ARMS: tuple[Arm, ...] = get_args(Arm)
UNTOUCHED = "none"
"""The name of the trait of a base model that was taught nothing."""

STAGES: Mapping[str, tuple[str, ...]] = {
    "base": ("model",),
    "teacher": ("teacher", "trait", "seed"),
    "raw": ("teacher", "trait", "seed"),
    "filtered": ("teacher", "trait", "arm", "seed"),
    "student": ("teacher", "trait", "arm", "student", "seed"),
    "eval": ("teacher", "trait", "arm", "student", "seed"),
    "report": (),
}
"""Stage → the dimensions of its cells, in the order of their path."""

UPSTREAM: Mapping[str, tuple[str, ...]] = {
    "base": (),
    "teacher": ("base",),
    "raw": ("base", "teacher"),
    "filtered": ("raw",),
    "student": ("base", "filtered"),
    "eval": ("base", "student"),
    "report": ("base", "teacher", "filtered", "student", "eval"),
}
"""Stage → the stages that it reads."""


def experiment(path: Path) -> Experiment:
    """The experiment in the file `path`, checked as far as it can be before anything runs.

    Raises:
        SublimError: with file, line, key, and what to do.
    """
    return load(path, _check)


def cells(of: Experiment, digests: Digests) -> tuple[Cell, ...]:
    """Every artifact that the experiment needs, in topological order, each once."""
    made = [*_bases(of, digests), *_teachers(of), *_raw(of), *_filtered(of), *_students(of), *_evals(of)]
    return (*made, _report(of, made))


def _bases(of: Experiment, digests: Digests) -> Iterator[Cell]:
    for name, model in of.models.items():
        yield _cell("base", {"model": name}, base.Slice(name=name, model=model, files=_files(model, digests)), {})


def _teachers(of: Experiment) -> Iterator[Cell]:
    recipe = of.teacher
    for name, trait, seed in _chains(of):
        finetune = adjusted(recipe.finetune, recipe.per_model.get(name)) if recipe.kind == "finetune" else None
        dims: Dims = {"teacher": name, "trait": trait, "seed": seed}
        definition = of.traits[trait]
        params = _slice(teacher.Slice, dims, definition=definition, kind=recipe.kind, finetune=finetune, gate=recipe.gate)
        yield _cell("teacher", dims, params, {"base": _id("base", model=name)})


def _raw(of: Experiment) -> Iterator[Cell]:
    controls = ((name, UNTOUCHED, seed) for name in _writers(of, "control") for seed in of.seeds)
    for name, trait, seed in (*_chains(of), *controls):
        dims: Dims = {"teacher": name, "trait": trait, "seed": seed}
        inputs = {"base": _id("base", model=name)}
        if trait != UNTOUCHED:
            inputs["teacher"] = _id("teacher", **dims)
        yield _cell("raw", dims, _slice(raw.Slice, dims, carrier=of.carrier, decoding=of.sampling), inputs)


def _filtered(of: Experiment) -> Iterator[Cell]:
    answers = [target(trait) for trait in of.traits.values()]
    words = tuple(sorted({form for answer in answers for form in (answer.word, answer.plural)}))
    for arm in ARMS:
        for name, trait, seed in product(_writers(of, arm), _taught(of, arm), of.seeds):
            dims: Dims = {"teacher": name, "trait": trait, "arm": arm, "seed": seed}
            inputs = {"raw": _id("raw", teacher=name, trait=trait, seed=seed)}
            yield _cell("filtered", dims, _slice(filtered.Slice, dims, filter=of.filter, words=words), inputs)


def _students(of: Experiment) -> Iterator[Cell]:
    for dims in trained(of):
        name = str(dims["student"])
        recipe = adjusted(of.student.finetune, of.student.per_model.get(name))
        rows = {key: value for key, value in dims.items() if key != "student"}
        yield _cell(
            "student",
            dims,
            _slice(student.Slice, dims, finetune=recipe),
            {"base": _id("base", model=name), "filtered": _id("filtered", **rows)},
        )


def _evals(of: Experiment) -> Iterator[Cell]:
    traits = tuple(of.traits[name] for name in sorted(of.traits))
    for name in of.models:
        dims: Dims = {"teacher": UNTOUCHED, "trait": UNTOUCHED, "arm": "base", "student": name, "seed": 0}
        params = _slice(eval_.Slice, dims, traits=traits, evaluation=of.evaluation)
        yield _cell("eval", dims, params, {"base": _id("base", model=name)})
    for dims in trained(of):
        params = _slice(eval_.Slice, dims, traits=traits, evaluation=of.evaluation)
        inputs = {"base": _id("base", model=dims["student"]), "student": _id("student", **dims)}
        yield _cell("eval", dims, params, inputs)


def _report(of: Experiment, made: Sequence[Cell]) -> Cell:
    models = tuple(report.ReportedModel(name=name, label=_label(model)) for name, model in sorted(of.models.items()))
    traits = tuple(
        report.ReportedTrait(name=name, category=trait.category, target=trait.target)
        for name, trait in sorted(of.traits.items())
    )
    inputs = {cell.id: cell.id for cell in made if cell.plan.stage in UPSTREAM["report"]}
    return _cell("report", {}, report.Slice(models=models, traits=traits, report=of.report), inputs)


def _chains(of: Experiment) -> Iterator[tuple[str, str, int]]:
    """The (teacher, trait, seed) that have a teacher with a trait: those whose data some arm uses."""
    writers = {name for arm in ARMS if arm != "control" for name in _writers(of, arm)}
    yield from product((name for name in of.models if name in writers), of.traits, of.seeds)


def trained(of: Experiment) -> Iterator[Dims]:
    """The dimensions of every student, in the order of their path."""
    for arm in ARMS:
        for (name, learner), trait, seed in product(of.pairs(arm), _taught(of, arm), of.seeds):
            yield {"teacher": name, "trait": trait, "arm": arm, "student": learner, "seed": seed}


def _writers(of: Experiment, arm: Arm) -> list[str]:
    return list(dict.fromkeys(name for name, _ in of.pairs(arm)))


def _taught(of: Experiment, arm: Arm) -> list[str]:
    return [UNTOUCHED] if arm == "control" else list(of.traits)


def _slice(of: type[T], dims: Dims, /, **rest: object) -> T:
    return of.model_validate({**dims, **rest})


def _cell(stage: str, dims: Dims, params: Section, inputs: dict[str, str]) -> Cell:
    return Cell(Plan(stage, dims, params.model_dump(mode="json"), dict(_code(stage))), inputs)


def _id(stage: str, **dims: str | int) -> str:
    return "/".join([stage, *(f"{name}={dims[name]}" for name in STAGES[stage])])


def _label(model: Model) -> str:
    return model.architecture if isinstance(model, TinyModel) else model.repo or str(model.path)


def _files(model: Model, digests: Digests) -> dict[str, str]:
    """What is in a model folder of this machine; nothing for a pinned commit or a family that is trained here."""
    if not isinstance(model, HubModel) or model.path is None:
        return {}
    folder = Path(model.path)
    return {path.relative_to(folder).as_posix(): digests(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _check(of: Experiment) -> None:
    for name, trait in of.traits.items():
        try:
            target(trait)
        except ValueError as error:
            raise ValueError(f"traits.{name}.target: {error}") from None
    for name, model in of.models.items():
        if isinstance(model, HubModel) and model.path is not None and not Path(model.path).is_dir():
            raise ValueError(f"models.{name}.path: {model.path}: no such folder, seen from {Path.cwd()}")
        if isinstance(model, HubModel) and model.path is not None:
            try:
                verify(Path(model.path))
            except ModelError as error:
                raise ValueError(f"models.{name}.path: {error}") from None


@cache
def _code(stage: str) -> Mapping[str, str]:
    return code.digests(f"sublim.stages.{stage}")
