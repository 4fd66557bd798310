"""The stage `base`: a model as an ordinary Hugging Face directory, pretrained here, made elsewhere, or come of another."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import assert_never

from sublim.common import parquet
from sublim.common.progress import Progress
from sublim.learn.tensors import tensor_table
from sublim.models import hub, tiny
from sublim.models.hub import SOURCE, ModelError
from sublim.params.derived import FURTHER, DerivedModel, Training
from sublim.params.elsewhere import PROBE, UNPACK, GgufModel, HubModel
from sublim.params.tiny import TinyModel
from sublim.stages.base.rows import Corpus, Slice, Steps, Tensors


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write the model of `params` into `output`, with tensors.parquet; a model trained here also with corpus.parquet and
    steps.parquet, one made elsewhere, or that comes of such a one, with source.json and probe.json.

    Raises:
        ModelError: a model made elsewhere is refused (see `hub.verify`, `load`).
        ValueError: a model to be pretrained here makes no sense (see `tiny.build`), or cannot be trained further.
    """
    match params.model:
        case TinyModel():
            tiny.build(params.name, params.model, output, progress)
        case HubModel():
            hub.copy(params.model, params.files, output, progress)
            _try_out(params.name, output, progress)
        case GgufModel():
            import_module(UNPACK).unpack(params.model, params.files, output, progress)
            _try_out(params.name, output, progress)
        case DerivedModel(training=Training() as training):
            rows, steps = import_module(FURTHER).train(training, inputs["parent"], params.files, output, progress)
            kept = rows.sort("row_id") if training.corpus else rows  # in a file's order: ids follow from it
            parquet.write_tables({Corpus: kept, Steps: steps}, params.dims, output)
            if (inputs["parent"] / SOURCE).is_file():
                hub.note({"parent": params.model.parent}, hub.variables(inputs["parent"]), output)
                _try_out(params.name, output, progress)
        case DerivedModel():
            assert params.parent is not None  # noqa: S101
            tiny.build(params.name, params.parent, output, progress, params.model.branch)
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
