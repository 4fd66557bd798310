"""What was found when a model was tried out, and what it lacks for what an experiment asks of it. No torch."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sublim.common.errors import SublimError
from sublim.common.reading import json_in
from sublim.models import maps
from sublim.params.learning import Finetune

FILE = "probe.json"


class Found(BaseModel):
    """Strict and frozen, as it was written."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Turns(Found):
    """What its chat template and its tokenizer make of a conversation."""

    example: str  #: A question and its answer, as the template writes them.
    ends: tuple[str, ...]  #: The tokens that end a completion.
    end_of_turn: str  #: The one of these that the template puts after an answer.
    lead: str  #: Blank space that the template puts before an answer, and the model writes itself.
    system: str | None  #: Why it cannot be given a system prompt; null if it can.
    several: str | None  #: Why it cannot be asked in a conversation of several turns; null if it can.


class Running(Found):
    """How it can be run."""

    cached: bool  #: Rows side by side, with a cache, give what each gives by itself; else rows are run one by one, without.
    compaction: bool  #: Finished rows can be taken out of a batch.
    shared: bool  #: Prompts that begin alike can be read once.
    difference: float | None
    """The largest difference between a probability in a batch with a cache and in a plain pass over the row."""


class Training(Found):
    """What training did to it, with adapters on all linear maps of its blocks that can have one."""

    maps: tuple[str, ...]  #: The linear maps of its blocks, by their names without the numbers of blocks and experts.
    adapters: int  #: How many maps had an adapter.
    unfit: Mapping[str, str]  #: The ends of the names of maps that can have none → why.
    idle: tuple[str, ...]  #: Those of `maps` through which nothing passed, so that an adapter there learns nothing.
    losses: tuple[float, ...]  #: The loss of a few rows before and after a training step, in nats per token.
    fault: str | None  #: Why it cannot be trained; null if it can.


class Answers(Found):
    """Whether exact probabilities are those of its samples."""

    samples: int  #: Completions that were sampled, to one question.
    tried: tuple[str, ...]  #: What it answered most, in the first half of them.
    exact: tuple[float, ...]  #: The exact probability of each.
    sampled: tuple[float, ...]  #: Its share of the second half.
    fault: str | None  #: Which of them do not agree, or why nothing could be tried; null if all agree.


class Probe(Found):
    """What was found of a model."""

    model: str  #: Its class in transformers.
    dtype: str  #: The type of its weights.
    parameters: int  #: How many numbers these are, a shared one counted once.
    vocabulary: int  #: Rows of its embedding.
    context: int | None  #: The longest text in tokens, if it has a table of positions.
    turns: Turns
    running: Running
    training: Training
    answers: Answers


def read(path: Path) -> Probe:
    """The findings in the file `path`. Raises SublimError: it cannot be read, or says something else."""
    found = json_in(path)
    try:
        return Probe.model_validate_json(json.dumps(found))  # through JSON: in strict mode a list is no tuple
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SublimError(f"{path}: expected what was found of a model, found {where}: {first['msg']}") from None


def written(probe: Probe) -> str:
    """The text of the file with its findings."""
    return json.dumps(probe.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def for_training(probe: Probe, recipe: Finetune) -> Iterator[str]:
    """What it lacks to be trained by `recipe`, in words. What could not be trained with adapters is not trained without."""
    found = probe.training
    if found.fault is not None:
        yield f"it cannot be trained: {found.fault}"
        return
    yield from for_room(probe, recipe.max_length or 0, "rows of max_length")
    if recipe.adapters is None:
        return
    try:
        chosen = maps.chosen(probe.model, found.maps, recipe.adapters.targets)
    except ValueError as error:
        yield str(error)
        return
    for end, why in found.unfit.items():
        if any(maps.ends(name, end) for name in chosen):
            yield f"{why} (targets that it can have: {_possible(found)})"
            return
    if idle := sorted(set(chosen) & set(found.idle)):
        yield (
            f"LoRA targets: nothing passes through {', '.join(idle)}, so that adapters there learn nothing "
            f"(targets that it can have: {_possible(found)})"
        )


def for_room(probe: Probe, tokens: int, what: str) -> Iterator[str]:
    """What it lacks to take as many `tokens`."""
    if probe.context is not None and tokens > probe.context:
        yield f"{what} {tokens:,}: its table of positions has room for {probe.context:,} tokens"


def for_system(probe: Probe) -> Iterator[str]:
    """What it lacks to be given a system prompt."""
    if probe.turns.system is not None:
        yield f"it cannot be given a system prompt: {probe.turns.system}"


def for_turns(probe: Probe) -> Iterator[str]:
    """What it lacks to be asked in a conversation of several turns."""
    if probe.turns.several is not None:
        yield f"it cannot be asked in several turns: {probe.turns.several}"


def for_answers(probe: Probe) -> Iterator[str]:
    """What it lacks for exact probabilities of answers."""
    if probe.answers.fault is not None:
        yield f"exact probabilities of its answers are not to be trusted: {probe.answers.fault}"


def uses(probe: Probe) -> Iterator[tuple[str, str]]:
    """What it can be used for here, each with how, or why not."""
    running, training, answers = probe.running, probe.training, probe.answers
    slow = "one row at a time, without a cache: its cache does not give what plain passes give"
    fast = "in batches with a cache" + ("" if running.compaction else "; finished rows stay in the batch to its end")
    yield "sample", f"yes: {fast if running.cached else slow}"
    shown = ", ".join(
        f"{text!r} {exact:.3f} exact, {share:.3f} of the samples"
        for text, exact, share in zip(answers.tried[:3], answers.exact, answers.sampled, strict=False)
    )
    yield "exact P(answer)", f"yes: {shown}" if answers.fault is None else f"no: {answers.fault}"
    yield "system prompts", "yes" if (why := probe.turns.system) is None else f"no: {why}"
    yield "several turns", "yes" if (why := probe.turns.several) is None else f"no: {why}"
    yield "train attention", _trained(probe, [name for name in training.maps if maps.in_attention(name)])
    yield "train mlp", _trained(probe, [name for name in training.maps if not maps.in_attention(name)])
    yield "longest text", f"{probe.context:,} tokens, its table of positions" if probe.context else "no table of positions"


def _trained(probe: Probe, group: list[str]) -> str:
    training = probe.training
    if training.fault is not None:
        return f"no: {training.fault}"
    if not group:
        return "no: there are no such linear maps in its blocks"
    fit = trainable(training, group)
    names = ", ".join(_last(fit))
    unfit = {end: why for end, why in training.unfit.items() if any(maps.ends(name, end) for name in group)}
    idle = [name for name in group if name in training.idle]
    lacks = [*([f"nothing passes through {', '.join(_last(idle))}"] if idle else []), *dict.fromkeys(unfit.values())]
    if lacks:
        return f"{f'only {names}' if names else 'no'}: {'; '.join(lacks)}"
    return f"yes: {names}"


def trainable(training: Training, group: Collection[str]) -> list[str]:
    """Those of the maps `group` that can have an adapter that learns."""
    return [name for name in group if name not in training.idle and not any(maps.ends(name, end) for end in training.unfit)]


def _possible(training: Training) -> str:
    return json.dumps(_last(trainable(training, training.maps)))


def _last(names: Collection[str]) -> list[str]:
    return sorted({name.rpartition(".")[2] for name in names})


def described(probe: Probe) -> dict[str, Any]:
    """What it is, by name."""
    end = repr(probe.turns.end_of_turn)
    others = [repr(mark) for mark in probe.turns.ends if mark != probe.turns.end_of_turn]
    return {
        "model": f"{probe.model}, {probe.parameters:,} parameters, {probe.dtype}",
        "a turn ends with": f"{end}{' (a text also with ' + ', '.join(others) + ')' if others else ''}",
        "a conversation": repr(probe.turns.example),
    }
