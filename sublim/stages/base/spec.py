"""The stage `base`: what it is."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from sublim.engine.stage import Folders, Stage, Wanted
from sublim.forecast.tokens import LOOKED_AT, Tokens, tokens
from sublim.models.corpus import corpus
from sublim.models.hub import FILES, INDEX, SOURCE, ModelError, verify
from sublim.models.probed import FILE as PROBE
from sublim.params.experiment import Experiment
from sublim.params.models import HubModel, TinyModel
from sublim.params.rates import Rates
from sublim.stages.base.rows import TABLES, Slice


def cells(experiment: Experiment, folders: Folders) -> Iterator[Wanted]:
    """One for each model."""
    for name, model in experiment.models.items():
        # What is in a folder of this machine, its path does not say; a pinned commit says it itself.
        files = folders.folder(model.path) if isinstance(model, HubModel) and model.path else {}
        yield Wanted(Slice(name=name, model=model, files=files))


def is_here(experiment: Experiment) -> None:
    """Look at the folders of models. Raises ValueError: one is not there, or is refused."""
    for name, model in experiment.models.items():
        if isinstance(model, HubModel) and model.path is not None:
            if not Path(model.path).is_dir():
                raise ValueError(f"models.{name}.path: {model.path}: no such folder, seen from {Path.cwd()}")
            try:
                verify(Path(model.path), model.template)
            except ModelError as error:
                raise ValueError(f"models.{name}.path: {error}") from None


def work(params: Slice, above: Mapping[str, Any], rates: Rates) -> Mapping[str, Tokens]:  # noqa: ARG001
    """A tiny family is pretrained."""
    if not isinstance(params.model, TinyModel):
        return {}
    how = params.model.pretraining
    rows = corpus(how.model_copy(update={"rows": min(how.rows, LOOKED_AT)}))
    return {"": Tokens(trained=how.rows * fmean(tokens(row.prompt) + tokens(row.completion) + 1 for row in rows))}


STAGE = Stage(
    "sublim.stages.base",
    about="base",
    params=Slice,
    cells=cells,
    upstream=(),
    tables=TABLES,
    files=(*FILES, INDEX, "*.safetensors", SOURCE, PROBE),
    probe=PROBE,
    sections=("models",),
    optional=("models",),
    is_here=is_here,
    memory_mb=1500,
    work=work,
)
