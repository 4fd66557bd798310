"""The stage `student`: what it is."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sublim.engine.stage import Dims, Folders, Inputs, Stage, Wanted
from sublim.forecast.tokens import Tokens, lengths, passes, tokens
from sublim.models import probed
from sublim.models.adapter import CONFIG, PROBES, WEIGHTS
from sublim.models.hub import WHOLE
from sublim.params.adjustment import adjusted
from sublim.params.experiment import Experiment
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
        yield Wanted(Slice(**dims, finetune=recipe, soft=soft, paired=method.paired, probes=method.probes))  # pyright: ignore[reportArgumentType]


def reads(dims: Dims, params: Slice) -> Inputs:
    """Its base and its rows; for soft targets also who wrote these."""
    inputs = {"base": BASE.cell({"model": dims["student"]}), "filtered": FILTERED.cell(dims)}
    return inputs | (writer(dims, "writer") if params.soft else {})


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


def needs(params: Slice, name: str, found: Path) -> Iterator[str]:
    """A base that learns."""
    if name == "base":
        yield from probed.for_training(probed.read(found), params.finetune)


STAGE = Stage(
    "sublim.stages.student",
    about="student",
    params=Slice,
    cells=cells,
    upstream=("base", "teacher", "filtered"),
    reads=reads,
    tables=TABLES,
    files=(CONFIG, WEIGHTS, *WHOLE, PROBES),
    sections=("models", "traits", "seeds", "studies", "carriers", "students"),
    optional=("studies",),
    after=("teacher",),
    trains=True,
    memory_mb=1200,
    work=work,
    needs=needs,
)
