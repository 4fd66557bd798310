"""The stage `teacher`: what it is."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from sublim.engine.stage import Dims, Folders, Inputs, Stage, Wanted
from sublim.forecast.tokens import Tokens, answered, graded, passes, tokens
from sublim.models import probed
from sublim.models.adapter import CONFIG, WEIGHTS, verify
from sublim.models.hub import WHOLE, ModelError
from sublim.params.adjustment import adjusted
from sublim.params.elsewhere import HubModel
from sublim.params.experiment import Experiment
from sublim.params.names import UNTOUCHED
from sublim.params.rates import Rates
from sublim.params.teacher import CONTROLS
from sublim.stages import distinct
from sublim.stages.base.spec import STAGE as BASE
from sublim.stages.judging import graders, judges_read
from sublim.stages.teacher.rows import TABLES, Slice, lessons, written
from sublim.traits.categories import used
from sublim.traits.freeform import FreeForm


def cells(experiment: Experiment, folders: Folders) -> Iterator[Wanted]:
    """One for each model, trait and seed that some student learns from."""
    for dims in _dims(experiment):
        name, trait = str(dims["teacher"]), str(dims["trait"])
        recipe, definition = experiment.taught_by(trait), experiment.traits[trait]
        trained = recipe.kind == "finetune"
        control = trained and recipe.rows in CONTROLS
        adapter = recipe.adapters.get(name) if recipe.kind == "adapter" else None
        params = Slice(
            **dims,  # pyright: ignore[reportArgumentType]
            definition=definition,
            categories=used(experiment.categories, definition.categories),
            kind=recipe.kind,
            rows=recipe.rows if trained else "direct",
            examples=recipe.examples if trained and definition.free_form else 0,
            finetune=adjusted(recipe.finetune, recipe.per_model.get(name)) if trained else None,
            adapter=adapter,
            files=folders.files(*(Path(adapter) / name for name in (CONFIG, WEIGHTS))) if adapter else {},
            graders=graders(experiment, [definition], folders),
            gate=None if control else recipe.gate,
            margin=None if control or definition.free_form else recipe.margin,
            likelihood=recipe.likelihood,
        )
        yield Wanted(params)


def reads(dims: Dims, params: Slice) -> Inputs:
    """Its base, and the bases that grade it."""
    return {"base": BASE.cell({"model": dims["teacher"]}), **judges_read(params.graders)}


def is_here(experiment: Experiment) -> None:
    """Look at adapters that were made elsewhere. Raises ValueError: one is missing, or is an adapter of another base."""
    for dims in _dims(experiment):
        name, trait = str(dims["teacher"]), str(dims["trait"])
        recipe, base = experiment.taught_by(trait), experiment.models[name]
        if recipe.kind != "adapter":
            continue
        if name not in recipe.adapters:
            raise ValueError(f"teacher.adapters: expected one of `{name}`, which teaches `{trait}`, found none")
        elsewhere = base.names if isinstance(base, HubModel) else frozenset[str]()
        try:
            verify(Path(recipe.adapters[name]), {f"data/{BASE.cell({'model': name})}", *elsewhere})
        except ModelError as error:
            raise ValueError(f"teacher.adapters.{name}: {error}") from None


def work(params: Slice, above: Mapping[str, Any], rates: Rates) -> Mapping[str, Tokens]:  # noqa: ARG001
    """The gate asks the base and the teacher; before that a fine-tuned one is trained."""
    trait, own = params.definition, params.categories
    asked = [question.text for question in trait.held_out(own)]
    system = trait.system_prompt(own) if params.kind == "system_prompt" else ""
    times, longest = (int(trait.samples), int(trait.max_tokens)) if isinstance(trait, FreeForm) else (1, 0)
    found = answered(asked, rates, times, longest) + answered(asked, rates, times, longest, system)
    if params.finetune is not None:
        rows = lessons(params)
        pairs = list(rows.select("prompt", "completion").iter_rows())
        length = fmean(rates.template + tokens(prompt) + tokens(completion) + 1 for prompt, completion in pairs)
        found += Tokens(trained=passes(params.finetune, len(pairs)) * min(length, params.finetune.max_length or length))
    shown = written(params).select("prompt", "completion").iter_rows()
    found += Tokens(read=2 * sum(rates.template + tokens(prompt) + tokens(completion) for prompt, completion in shown))
    return {"base": found, **graded(params.graders, trait, 2, rates)}


def needs(params: Slice, name: str, found: Path) -> Iterator[str]:
    """A base that learns what it is taught, or takes a system prompt; and whose answers are known, for the gate."""
    if name != "base":
        return
    probe = probed.read(found)
    if params.finetune is not None:
        yield from probed.for_training(probe, params.finetune)
    if params.kind == "system_prompt":
        yield from probed.for_system(probe)
    if isinstance(params.definition, FreeForm):
        yield from probed.for_room(probe, params.definition.max_tokens, "answers of max_tokens")
    else:
        yield from probed.for_answers(probe)


def _dims(experiment: Experiment) -> list[dict[str, str | int]]:
    every = (dims for dims in experiment.students_dims() if dims["trait"] != UNTOUCHED)
    return distinct(Slice.DIMS, every)


STAGE = Stage(
    "sublim.stages.teacher",
    about="teacher",
    params=Slice,
    cells=cells,
    upstream=("base",),
    reads=reads,
    tables=TABLES,
    files=("teacher.json", CONFIG, WEIGHTS, *WHOLE),
    sections=("models", "traits", "categories", "judges", "seeds", "studies", "teacher"),
    optional=("studies",),
    after=("base",),
    is_here=is_here,
    memory_mb=1200,
    work=work,
    needs=needs,
)
