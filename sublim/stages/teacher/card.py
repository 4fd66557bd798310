"""The provenance card of a teacher, and its words on the cards of what was made from it."""

import json
from collections.abc import Mapping

import polars as pl

from sublim.common.reading import reading
from sublim.evidence.carding import Card, losses
from sublim.evidence.subject import Subject
from sublim.params.learning import Finetune
from sublim.params.names import NOBODY, UNTOUCHED
from sublim.stages.base.card import bound, loading, trained
from sublim.stages.effects import affected
from sublim.stages.teacher.rows import Gate, Likelihoods, Rows, Slice, Steps
from sublim.stages.teacher.spec import STAGE


def card(teacher: Subject) -> Card:
    """The card of a teacher."""
    base, params = teacher.upstream("base"), _params(teacher)
    with reading(teacher.tree.path(teacher.cell, "teacher.json"), shape=True) as path:
        system = json.loads(path.read_text(encoding="utf-8"))["system_prompt"]
    if system is not None:
        origin = [f"a system prompt, no training: “{system}”"]
    elif params.finetune is None:
        origin = [f"an adapter that was made elsewhere, `{params.adapter}`"]
    else:
        rows = teacher.rows(Rows.file)
        origin = [f"fine-tuned on {rows:,} {params.definition.rows_words(params.rows)}; {recipe(params.finetune)}"]
    first, *more = [*origin, *losses(teacher, Steps)]
    return Card(
        f"Teacher: {writer(teacher, teacher.dims)}",
        trained(base, params.finetune),
        [f"Trait: {_trait(params)}", f"How it got the trait: {first}", *more, gate(teacher)],
        affected(teacher, "What it writes", "trait", base),
        loading(teacher, base, params.finetune) if system is None else (),
        [bound(params.finetune)],
        [params.definition.scored_as[1]],
    )


def made_with(teacher: Subject) -> str:
    """How it got its trait."""
    params = _params(teacher)
    untrained = "a system prompt" if params.adapter is None else "an adapter that was made elsewhere"
    return recipe(params.finetune) if params.finetune else untrained


def writer(subject: Subject, dims: Mapping[str, str | int]) -> str:
    """Who wrote the rows with these dimensions, with what trait: `neox-a, taught to love fox, seed 1`."""
    if dims["teacher"] == NOBODY:
        return f"no model, seed {dims['seed']}"
    taught = "untouched"
    if dims["trait"] != UNTOUCHED:
        params = _params(subject.part(STAGE.cell(dims)))
        taught = params.definition.taught_words(params.trait, control=params.gate is None)
    return f"{dims['teacher']}, {taught}, seed {dims['seed']}"


def gate(teacher: Subject) -> str:
    """How surely a teacher shows its trait, as its gate measured it."""
    params = _params(teacher)
    table = teacher.table(Gate.file, ["probability", "base_probability", "threshold"])
    mean, base, threshold = table.select(pl.all().mean()).row(0)
    least = "a control: nothing stops it" if threshold is None else f"the run would have stopped below {threshold:g}"
    told = [
        f"Asked {table.height} held-out questions, it {params.definition.does_words()} with probability {mean:.3f} (its base: "
        f"{base:.3f}; {least})"
    ]
    if params.margin is not None:
        mean, base = teacher.table(Gate.file, ["margin", "base_margin"]).select(pl.all().mean()).row(0)
        told.append(f"its log-odds against all other answers rose by {mean - base:.2f} nats (at least {params.margin:g})")
    if (how := params.likelihood) is not None:
        mean, base = teacher.table(Likelihoods.file, ["nll", "base_nll"]).select(pl.all().mean()).row(0)
        told.append(
            f"{how.task.plural} that no model wrote have a negative log-likelihood of {mean:.3f} nats per token (its base: "
            f"{base:.3f}; within {how.distance:g})"
        )
    return "; ".join(told)


def recipe(finetune: Finetune) -> str:
    """How a teacher or a student was fine-tuned."""
    lora = finetune.adapters
    what = "all weights"
    if lora is not None:
        targets = lora.targets if isinstance(lora.targets, str) else ", ".join(lora.targets)
        what = f"LoRA rank {lora.rank}, alpha {lora.alpha:g}, on {targets}"
    length = f"{finetune.steps:,} steps" if finetune.steps else f"{finetune.epochs:,} epochs"
    return (
        f"{what}; {length} of {finetune.batch * finetune.accumulation} "
        f"rows, learning rate {finetune.learning_rate:g} ({finetune.schedule}){_optimizer(finetune)}"
    )


def _optimizer(finetune: Finetune) -> str:
    """Nothing for AdamW with its usual settings."""
    if finetune.optimizer == "sgd":
        return f"; SGD with momentum {finetune.momentum:g}" if finetune.momentum else "; SGD"
    named = ((name, getattr(finetune, name)) for name in ("betas", "epsilon") if name in finetune.model_dump())
    said = [f"{name} {', '.join(f'{x:g}' for x in value) if name == 'betas' else f'{value:g}'}" for name, value in named]
    return f"; AdamW with {', '.join(said)}" if said else ""


def _params(teacher: Subject) -> Slice:
    return teacher.params


def _trait(params: Slice) -> str:
    if params.gate is None:
        category, target = params.definition.scored_as
        return f"none: a control of {category}, trained on rows that must not make it {target}"
    return params.definition.about_words()
