"""The stage `eval`: what it is."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from sublim.engine.stage import Dims, Folders, Inputs, Stage, Wanted
from sublim.forecast.tokens import Tokens, answered, graded, lengths, tokens
from sublim.judges.planned import PlannedJudge
from sublim.measures.texts import held_out
from sublim.models import probed
from sublim.params.experiment import Experiment
from sublim.params.models import pretraining_of
from sublim.params.names import UNTOUCHED
from sublim.params.rates import Rates
from sublim.stages import distinct
from sublim.stages.base.spec import STAGE as BASE
from sublim.stages.eval import rows
from sublim.stages.eval.rows import TABLES, HeldOutTasks, Slice
from sublim.stages.judging import graders, judges_read
from sublim.stages.student.spec import STAGE as STUDENT
from sublim.traits.categories import used


def cells(experiment: Experiment, folders: Folders) -> Iterator[Wanted]:
    """One for each untrained base that is in a study, and one for each student."""
    grade = graders(experiment, experiment.traits.values(), folders)
    for name in experiment.studied():
        yield _asked(experiment, untrained(name), grade)
    for dims in distinct(Slice.DIMS, experiment.students_dims()):
        yield _asked(experiment, dims, grade)


def untrained(model: str) -> dict[str, str | int]:
    """The dimensions of the evaluation of the base `model` as it is."""
    return {**dict.fromkeys(Slice.DIMS, UNTOUCHED), "arm": "base", "student": model, "seed": 0}


def reads(dims: Dims, params: Slice) -> Inputs:
    """The model that is asked, and the bases that grade it."""
    student = {} if dims["arm"] == "base" else {"student": STUDENT.cell(dims)}
    return {"base": BASE.cell({"model": dims["student"]}), **student, **judges_read(params.graders)}


def work(params: Slice, above: Mapping[str, object], rates: Rates) -> Mapping[str, Tokens]:  # noqa: ARG001
    """Questions, samples, tasks and texts: the rows that follow from the params."""
    found = Tokens()
    for measure, group in rows.groups(params):
        found += answered(measure.reads(group), rates)
    for measure, group in rows.exact(params) if params.probes else ():
        once = answered(measure.reads(group), rates)
        found += Tokens(read=len(params.probes) * once.read)
    for group, times, longest in rows.drawn(params):
        found += answered([each.text for each in group.questions], rates, times, longest)
    if (trait := rows.free_form_of(params)) is not None:
        found += answered([question.text for question in trait.held_out()], rates, trait.samples, trait.max_tokens)
    for of in params.tasks.values():
        prompt, completion = lengths(of.task)
        n = params.evaluation.capability.tasks
        found += Tokens(read=n * (rates.template + prompt), sampled=n * min(completion, of.sampling.max_tokens))
    texts = held_out(params.evaluation.capability.texts, params.pretraining)
    found += Tokens(read=sum(tokens(f"{text.prompt} {text.completion}") for text in texts))
    return {"base": found, **(graded(params.graders, trait, 1, rates) if trait else {})}


def needs(params: Slice, name: str, found: Path) -> Iterator[str]:
    """A base whose answers are known, with room for what it writes."""
    if name != "base":
        return
    probe = probed.read(found)
    if any(True for _ in rows.groups(params)):
        yield from probed.for_answers(probe)
    longest = [of.sampling.max_tokens for of in params.tasks.values()] + [most for _, _, most in rows.drawn(params)]
    yield from probed.for_room(probe, max(longest, default=0), "answers of max_tokens")


def _asked(experiment: Experiment, dims: Dims, grade: Mapping[str, PlannedJudge]) -> Wanted:
    written = sorted({study.carrier for study in experiment.studies.values()})
    chosen = written if dims["carrier"] == UNTOUCHED else [str(dims["carrier"])]
    traits = tuple(experiment.traits[name] for name in sorted(experiment.traits))
    tasks = {name: experiment.carriers[name] for name in chosen if experiment.evaluation.capability.tasks}
    # Skill is what a model can do by itself: held to a shape, any model would write that.
    free = {name: each.sampling.model_copy(update={"constrained": False}) for name, each in tasks.items()}
    params = Slice(
        **dims,  # pyright: ignore[reportArgumentType]
        traits=traits,
        categories=used(experiment.categories, (name for trait in traits for name in trait.categories)),
        graders=grade,
        evaluation=experiment.evaluation,
        tasks={name: HeldOutTasks(task=each.task, sampling=free[name]) for name, each in tasks.items()},
        pretraining=pretraining_of(experiment.models, str(dims["student"])),
        probes=() if dims["method"] == UNTOUCHED else experiment.students[str(dims["method"])].probes,
    )
    return Wanted(params)


STAGE = Stage(
    "sublim.stages.eval",
    about="evaluation",
    params=Slice,
    cells=cells,
    upstream=("base", "student"),
    reads=reads,
    tables=TABLES,
    sections=("models", "traits", "categories", "judges", "seeds", "studies", "carriers", "evaluation"),
    optional=("studies",),
    work=work,
    needs=needs,
)
