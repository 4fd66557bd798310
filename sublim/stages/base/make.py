"""The stage `base`: a model as an ordinary Hugging Face directory, pretrained here or made elsewhere."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import assert_never

from sublim.common import parquet
from sublim.common.progress import Progress
from sublim.learn.tensors import tensor_table
from sublim.models import hub, tiny
from sublim.models.hub import ModelError
from sublim.params.models import PROBE, HubModel, TinyModel
from sublim.stages.base.rows import Slice, Tensors


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:  # noqa: ARG001
    """Write the model of `params` into `output`, with tensors.parquet; a model pretrained here also with corpus.parquet and
    steps.parquet, one made elsewhere with source.json and probe.json. Raises ModelError: a model made elsewhere is refused (see
    `hub.verify`, `load`). ValueError: a model to be pretrained here makes no sense (see `tiny.build`)."""
    match params.model:
        case TinyModel():
            tiny.build(params.name, params.model, output, progress)
        case HubModel():
            hub.copy(params.model, params.files, output, progress)
            _try_out(params.name, output, progress)
        case _:
            assert_never(params.model)
    tensors = tensor_table(sorted(output.glob("*.safetensors")))
    parquet.write_tables({Tensors: tensors}, params.dims, output)


def _try_out(name: str, folder: Path, progress: Progress) -> None:
    """Write what is found of the model, before anybody learns from it. Raises ModelError: it cannot be used at all."""
    try:
        import_module(PROBE).write(folder, progress)
    except (ModelError, ValueError) as error:
        raise ModelError(f"models.{name}: {error}") from None
