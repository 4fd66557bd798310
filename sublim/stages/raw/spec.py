"""The stage `raw`: what it is."""

from collections.abc import Iterator, Mapping

from sublim.engine.stage import Dims, Folders, Inputs, Stage, Wanted
from sublim.forecast.tokens import Tokens, lengths, tokens
from sublim.params.experiment import Experiment
from sublim.params.names import NOBODY, UNTOUCHED
from sublim.params.rates import Rates
from sublim.stages import distinct
from sublim.stages.base.spec import STAGE as BASE
from sublim.stages.raw.rows import TABLES, Slice
from sublim.stages.teacher.spec import STAGE as TEACHER


def cells(experiment: Experiment, folders: Folders) -> Iterator[Wanted]:  # noqa: ARG001
    """One for each writer, carrier and seed."""
    for dims in distinct(Slice.DIMS, experiment.students_dims()):
        carrier = experiment.carriers[str(dims["carrier"])]
        decoding = None if dims["teacher"] == NOBODY else carrier.sampling
        yield Wanted(Slice(**dims, task=carrier.task, decoding=decoding))  # pyright: ignore[reportArgumentType]


def writer(dims: Dims, base: str) -> Inputs:
    """The model that wrote the rows of `dims`: its base, by the name `base`, and as `teacher` what it was taught, if anything.
    Nothing for random rows."""
    if dims["teacher"] == NOBODY:
        return {}
    taught = {} if dims["trait"] == UNTOUCHED else {"teacher": TEACHER.cell(dims)}
    return {base: BASE.cell({"model": dims["teacher"]}), **taught}


def reads(dims: Dims, params: Slice) -> Inputs:  # noqa: ARG001
    """Who writes."""
    return writer(dims, "base")


def work(params: Slice, above: Mapping[str, object], rates: Rates) -> Mapping[str, Tokens]:
    """Every prompt is read and answered."""
    if params.decoding is None:
        return {}
    prompt, completion = lengths(params.task)
    n, head = params.task.prompts, rates.template + tokens(prompted(above)) + prompt
    return {"base": Tokens(sampled=n * min(completion, params.decoding.max_tokens), read=n * head)}


def prompted(above: Mapping[str, object]) -> str:
    """The system prompt of the teacher among the params of inputs, if it has one."""
    teacher = above.get("teacher")
    if not isinstance(teacher, TEACHER.params) or teacher.kind != "system_prompt":  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        return ""
    return teacher.definition.system_prompt(teacher.categories)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]


STAGE = Stage(
    "sublim.stages.raw",
    about="raw data set",
    params=Slice,
    cells=cells,
    upstream=("base", "teacher"),
    reads=reads,
    tables=TABLES,
    sections=("models", "traits", "seeds", "studies", "teacher", "carriers"),
    optional=("studies",),
    memory_mb=1200,
    work=work,
)
