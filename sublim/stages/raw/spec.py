"""The stage `raw`: what it is."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sublim.engine.stage import Dims, Folders, Inputs, Stage, Wanted
from sublim.forecast.tokens import Tokens, lengths, tokens
from sublim.models import probed
from sublim.params.carrier import Carrier
from sublim.params.experiment import Experiment
from sublim.params.filter import Filter
from sublim.params.names import NOBODY, UNTOUCHED
from sublim.params.rates import Rates
from sublim.params.top_up import Until
from sublim.stages import distinct
from sublim.stages.base.spec import STAGE as BASE
from sublim.stages.raw.rows import TABLES, Slice
from sublim.stages.teacher.spec import STAGE as TEACHER


def cells(experiment: Experiment, folders: Folders) -> Iterator[Wanted]:  # noqa: ARG001
    """One for each writer, carrier and seed."""
    used = distinct((*Slice.DIMS, "filter"), experiment.students_dims())
    for dims in distinct(Slice.DIMS, used):
        carrier = experiment.carriers[str(dims["carrier"])]
        decoding = None if dims["teacher"] == NOBODY else carrier.sampling
        names = [str(each["filter"]) for each in used if each.items() >= dims.items()]
        until = _until(experiment, carrier, [carrier.filters[name] for name in names])
        yield Wanted(Slice(**dims, task=carrier.task, decoding=decoding, until=until))  # pyright: ignore[reportArgumentType]


def _until(experiment: Experiment, carrier: Carrier, rules: Sequence[Filter]) -> Until | None:
    """What is to be there of these filters of a carrier; None where it does not say how to go on."""
    if (more := carrier.top_up) is None:
        return None
    wanted = tuple(map(more.wanted, rules))
    words: set[str] = set()
    if any(step.of_words for rule in wanted for step in rule.steps.values()):
        words = {word for trait in experiment.traits.values() for word in trait.words(experiment.categories)}
    return Until(prompts=more.prompts, times=more.times, wanted=wanted, words=tuple(sorted(words)))


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
    """Every prompt is read and answered: all that may be asked, since nobody knows yet how many pass the filters."""
    if params.decoding is None:
        return {}
    prompt, completion = lengths(params.task)
    n, head = params.ends[-1], rates.template + tokens(prompted(above)) + prompt
    return {"base": Tokens(sampled=n * min(completion, params.decoding.max_tokens), read=n * head)}


def needs(params: Slice, name: str, found: Path) -> Iterator[str]:
    """A base with room for what it writes."""
    if name == "base" and params.decoding is not None:
        yield from probed.for_room(probed.read(found), params.decoding.max_tokens, "completions of max_tokens")


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
    sections=("models", "traits", "categories", "seeds", "studies", "teacher", "carriers"),
    optional=("studies",),
    memory_mb=1200,
    work=work,
    needs=needs,
)
