"""The stage `student`: what it is."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sublim.engine.stage import Dims, Folders, Inputs, Stage, Wanted
from sublim.forecast.tokens import Tokens, lengths, passes, tokens
from sublim.params.adjustment import adjusted
from sublim.params.experiment import Experiment
from sublim.params.models import HubModel, Model
from sublim.params.rates import Rates
from sublim.stages import distinct
from sublim.stages.base.spec import STAGE as BASE
from sublim.stages.filtered.spec import STAGE as FILTERED
from sublim.stages.raw.spec import prompted, writer
from sublim.stages.student.rows import TABLES, Slice


def cells(experiment: Experiment, folders: Folders) -> Iterator[Wanted]:  # noqa: ARG001
    """Every student of every study."""
    for dims in distinct(Slice.DIMS, experiment.students_dims()):
        name, method = str(dims["student"]), experiment.students[str(dims["method"])]
        recipe = adjusted(method.finetune, method.per_model.get(name))
        soft = method.targets(experiment.carriers[str(dims["carrier"])].task)
        yield Wanted(dims, Slice(**dims, finetune=recipe, soft=soft))  # pyright: ignore[reportArgumentType]


def reads(dims: Dims, params: Slice) -> Inputs:
    """Its base and its rows; for soft targets also who wrote these."""
    inputs = {"base": BASE.cell({"model": dims["student"]}), "filtered": FILTERED.cell(dims)}
    return inputs | (writer(dims, "writer") if params.soft else {})


def is_here(experiment: Experiment) -> None:
    """Compare the vocabularies of model folders where soft targets are learned. Raises ValueError: those of a teacher and a
    student differ."""
    for name, study in experiment.studies.items():
        if experiment.students[study.student].kind != "soft":
            continue
        for teacher, learner in study.all_pairs(experiment.models):
            one, other = (_vocabulary(experiment.models[model]) for model in (teacher, learner))
            if one is not None and other is not None and one != other:
                raise ValueError(
                    f"studies.{name}.student: `{study.student}` learns soft targets, for which teacher and student need one "
                    f"vocabulary, found that of `{teacher}` and that of `{learner}` (tokenizer.json): choose arms with pairs "
                    "that share one, or hard tokens"
                )


def work(params: Slice, above: Mapping[str, Any], rates: Rates) -> Mapping[str, Tokens]:
    """Training; for soft targets the writer reads the rows as well."""
    rows = above["filtered"]
    prompt, completion = lengths(rows.task)
    longest = params.finetune.max_length or float("inf")
    seen = passes(params.finetune, rows.rule.rows)
    found = {"base": Tokens(trained=seen * min(rates.template + prompt + completion, longest))}
    if params.soft is not None:
        found["writer"] = Tokens(read=seen * (rates.template + tokens(prompted(above)) + prompt + completion))
    return found


def _vocabulary(model: Model) -> object:
    """The vocabulary of a model folder of this machine; None if it is not known yet."""
    if not isinstance(model, HubModel) or model.path is None:
        return None
    try:
        said = json.loads((Path(model.path) / "tokenizer.json").read_text(encoding="utf-8"))
        return said["model"]["vocab"], said["added_tokens"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


STAGE = Stage(
    "sublim.stages.student",
    dims=Slice.DIMS,
    about="student",
    params=Slice,
    cells=cells,
    upstream=("base", "teacher", "filtered"),
    reads=reads,
    tables=TABLES,
    sections=("models", "traits", "seeds", "studies", "carriers", "students"),
    optional=("studies",),
    after=("teacher",),
    is_here=is_here,
    memory_mb=1200,
    work=work,
)
