"""The stage `base`: a model as an ordinary Hugging Face directory, pretrained here or made elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import assert_never

from sublim.common import parquet
from sublim.common.progress import Progress
from sublim.learn.tensors import tensor_table
from sublim.models import hub, tiny
from sublim.models.hub import ModelError
from sublim.models.load import skeleton
from sublim.models.template import TemplateError
from sublim.params.models import HubModel, TinyModel
from sublim.stages.base.rows import Slice, Tensors


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:  # noqa: ARG001
    """Write the model of `params` into `output`, with tensors.parquet; a model pretrained here also with corpus.parquet and
    steps.parquet, one made elsewhere with source.json. Raises ModelError: a model made elsewhere is refused (see `hub.verify`),
    or not whole (see `load.skeleton`). ValueError: a model to be pretrained here makes no sense (see `tiny.build`)."""
    match params.model:
        case TinyModel():
            tiny.build(params.name, params.model, output, progress)
        case HubModel():
            hub.copy(params.model, params.files, output, progress)
            _look(params.name, output)
        case _:
            assert_never(params.model)
    tensors = tensor_table(sorted(output.glob("*.safetensors")))
    parquet.write_tables({Tensors: tensors}, params.dims, output)


def _look(name: str, folder: Path) -> None:
    """Else whoever reads it first would find what it lacks, perhaps after hours of training."""
    try:
        skeleton(folder)
    except (ModelError, TemplateError) as error:
        raise ModelError(f"models.{name}: {error}") from None
