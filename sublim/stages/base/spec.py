"""The stage `base`: what it is."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from sublim.engine.record import Record
from sublim.engine.stage import Dims, Folders, Inputs, Stage, Wanted
from sublim.forecast.tokens import LOOKED_AT, Tokens, passes, tokens
from sublim.models.corpus import corpus
from sublim.models.hub import FILES, INDEX, SOURCE, TEMPLATE, WEIGHTS, ModelError, verify
from sublim.models.probed import FILE as PROBE
from sublim.models.taught import ROWS
from sublim.params.derived import DerivedModel, Training
from sublim.params.elsewhere import HubModel, Templated
from sublim.params.experiment import Experiment
from sublim.params.models import Model
from sublim.params.rates import Rates
from sublim.params.tiny import Corpus, TinyModel
from sublim.stages.base.rows import TABLES, Slice


def cells(experiment: Experiment, folders: Folders) -> Iterator[Wanted]:
    """One for each model."""
    for name, model in _parents_first(experiment.models):
        parent = experiment.models[model.parent] if isinstance(model, DerivedModel) and model.branch else None
        yield Wanted(Slice(name=name, model=model, files=_files(model, folders), parent=parent))  # pyright: ignore[reportArgumentType]


def _parents_first(models: Mapping[str, Model]) -> Iterator[tuple[str, Model]]:
    def depth(name: str) -> int:
        model = models[name]
        return 1 + depth(model.parent) if isinstance(model, DerivedModel) else 0

    yield from sorted(models.items(), key=lambda each: depth(each[0]))


def _files(model: Model, folders: Folders) -> Mapping[str, str]:
    """What is in a folder of this machine, its path does not say; a pinned commit says it itself."""
    files: dict[str, str] = {}
    if isinstance(model, HubModel) and model.path:
        files |= folders.folder(model.path)
    if isinstance(model, Templated) and (own := model.template_file) is not None:
        files[TEMPLATE] = folders.files(own)[own.name]
    if isinstance(model, DerivedModel) and model.training and model.training.file:
        files[ROWS] = folders.files(rows := Path(model.training.file))[rows.name]
    return files


def reads(dims: Dims, params: Slice) -> Inputs:  # noqa: ARG001
    """The parent of a derived model."""
    return {"parent": STAGE.cell({"model": params.model.parent})} if isinstance(params.model, DerivedModel) else {}


def is_here(experiment: Experiment) -> None:
    """Look at the folders of models. Raises ValueError: one is not there, or is refused."""
    for name, model in experiment.models.items():
        if isinstance(model, HubModel) and model.path is not None:
            if not Path(model.path).is_dir():
                raise ValueError(f"models.{name}.path: {model.path}: no such folder, seen from {Path.cwd()}")
            try:
                verify(Path(model.path), model.variables, model.template_file)
            except ModelError as error:
                raise ValueError(f"models.{name}.path: {error}") from None


def work(params: Slice, above: Mapping[str, Any], rates: Rates) -> Mapping[str, Tokens]:  # noqa: ARG001
    """A tiny family is pretrained; others may be trained further."""
    match params.model:
        case TinyModel(pretraining=how):
            return {"": Tokens(trained=how.rows * _length(how))}
        case DerivedModel(training=Training(corpus=how, finetune=recipe)):
            n = how.rows if how else LOOKED_AT  # nobody has looked into a file
            length = rates.template + (_length(how) if how else LONG)
            return {"parent": Tokens(trained=passes(recipe, n) * min(length, recipe.max_length or length))}
        case DerivedModel() if params.parent is not None:
            how = params.parent.pretraining
            return {"": Tokens(trained=how.rows * _length(how))}
        case _:
            return {}


LONG = 100  #: Tokens that a row of a file is taken to have.


def _length(recipe: Corpus) -> float:
    rows = corpus(recipe.model_copy(update={"rows": min(recipe.rows, LOOKED_AT)}))
    return fmean(tokens(row.prompt) + tokens(row.completion) + 1 for row in rows)


def weights_of(record: Record) -> str:
    """The digest of a base's weights (of all of the base, where these lie in several files): tables beside them hold its name,
    and a branch at the end of a pretraining has the weights of its trunk."""
    whole = record.outputs.get(WEIGHTS)
    return whole.sha256 if whole else record.digest


STAGE = Stage(
    "sublim.stages.base",
    about="base",
    params=Slice,
    cells=cells,
    upstream=("base",),
    reads=reads,
    tables=TABLES,
    files=(*FILES, INDEX, "*.safetensors", SOURCE, PROBE),
    probe=PROBE,
    sections=("models",),
    optional=("models",),
    is_here=is_here,
    memory_mb=1500,
    work=work,
)
