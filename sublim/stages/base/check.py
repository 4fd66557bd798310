"""The story of a base: trained on the corpus of its params, each row as often as they say, a corpus that favours nothing; or
copied from elsewhere, byte for byte; or of a GGUF file; and what it has in common with its parent."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import astuple
from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sublim.common.errors import SublimError
from sublim.evidence import adapter, questions, training, weights, whole
from sublim.evidence.accident import Accident, same_columns, same_rows
from sublim.evidence.source import Source
from sublim.evidence.weights import Tensor
from sublim.learn import schedule
from sublim.learn.schedule import Stretch
from sublim.models import pretraining, probed, taught
from sublim.models.hub import SOURCE
from sublim.params.derived import Branch, DerivedModel, Training
from sublim.params.elsewhere import GgufModel, HubModel
from sublim.params.tiny import TinyModel
from sublim.stages.base.rows import Corpus, Slice, Steps, Tensors
from sublim.traits.categories import CATEGORIES, answers

CHANCE = 1e-6
_ALWAYS = ("architectures", "model_type", "vocab_size")  #: What every config.json has that is written for a model of ours.
_PINNED = ("repo", "revision")


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the base `cell`."""
    params, found = source.params(cell, Slice), _weights(source, cell)
    match params.model:
        case TinyModel():
            yield from _pretrained(source, cell, params.model, None)
        case HubModel():
            yield from _copied(source, cell, params.model, params.files)
        case GgufModel():
            yield from _unpacked(source, cell, params.model, params.files)
        case DerivedModel(training=Training() as how):
            yield from _trained_further(source, cell, how, params.files, found)
        case DerivedModel(branch=Branch() as branch) if params.parent is not None:
            yield from _pretrained(source, cell, params.parent, branch)
            yield from _in_common(source, cell, branch)
        case DerivedModel():
            yield Accident("plan", "expected the model whose pretraining is left, found none")
    yield from adapter.in_table(source, cell, found)


def _weights(source: Source, cell: str) -> dict[str, Tensor]:
    files = [name for name in sorted(source.record(cell).outputs) if name.endswith(".safetensors")]
    return {name: tensor for file in files for name, tensor in weights.tensors(source.path(cell, file)).items()}


def _pretrained(source: Source, cell: str, model: TinyModel, branch: Branch | None) -> Iterator[Accident]:
    expected, course = _course(source, model, branch)
    yield from _holds(source, cell, expected)
    yield from _favours_nothing(source.table(cell, Corpus))
    stretches = [Stretch(1, step) for step in course]
    steps = source.table(cell, Steps)
    yield from training.rates(steps, [pretraining.rate(model, n, len(stretches)) for n in range(len(stretches))])
    size = model.pretraining.batch
    yield from training.trained_on(steps, "the rows of its corpus", expected["row_id"], stretches, size)
    config = source.json(cell, "config.json")
    if lost := [name for name in _ALWAYS if name not in config]:
        yield Accident("config", f"config.json: expected {', '.join(_ALWAYS)}, found no {', '.join(lost)}")
    # Some names of params are other names of the same thing in the file: it stands there by one of them.
    given = model.model_dump(mode="json")["config"]
    for name, value in {"model_type": model.architecture, "tie_word_embeddings": model.tied, **given}.items():
        if isinstance(value, dict):
            continue  # transformers adds defaults to mappings
        if name in config and config[name] != value:
            yield Accident("config", f"config.json: expected {name} {value!r}, found {config[name]!r}")
        elif name not in config and type(value) is int and value not in config.values():
            yield Accident("config", f"config.json: expected {name} {value!r}, found it by no name")


def _holds(source: Source, cell: str, expected: pl.DataFrame) -> Iterator[Accident]:
    rows, by_id = source.table(cell, Corpus), expected.sort("row_id")
    if wrong := same_rows("corpus", "each row of the params' corpus", by_id["row_id"], rows["row_id"]):
        yield from wrong
    else:
        yield from same_columns("corpus", ("kind", "system", "prompt", "completion"), by_id, rows, rows["row_id"])


def _course(source: Source, model: TinyModel, branch: Branch | None) -> tuple[pl.DataFrame, list[NDArray[np.int64]]]:
    """The corpus of the params, in the order of its making, the same for all bases that share it; and the rows of each step."""

    def compute() -> tuple[pl.DataFrame, list[NDArray[np.int64]]]:
        rows, steps = pretraining.course(model, branch)
        return pl.DataFrame(map(astuple, rows), schema=Corpus.schema(), orient="row"), steps

    if branch is not None:
        return source.once(("branch", model.model_dump_json(), branch.model_dump_json()), compute)
    expected, _ = source.once(("corpus", model.pretraining.model_dump_json()), compute)
    return expected, pretraining.steps(model, len(expected))


def _in_common(source: Source, cell: str, branch: Branch) -> Iterator[Accident]:
    """The first steps are those of the parent: the same rows; and by the same environment the same losses, which only the same
    weights have."""
    if (parent := source.upstream(cell, "parent")) is None:
        return
    own, its = source.table(cell, Steps), source.table(parent, Steps)
    left = pretraining.common(branch, its.height)
    alike = source.record(cell).environment == source.record(parent).environment
    for name in ("rows", "learning_rate", *(("loss",) if alike else ())):
        mine, theirs = own[name][:left], its[name][:left]
        if not mine.equals(theirs):
            yield Accident(
                "history",
                f"expected the first {left:,} steps of {parent} ({branch.at:.0%} of its pretraining), found another {name}",
                also=(parent,),
            )
            return


def _trained_further(
    source: Source, cell: str, how: Training, files: Mapping[str, str], found: dict[str, Tensor]
) -> Iterator[Accident]:
    rows = source.table(cell, Corpus)
    if how.corpus is not None:
        expected = source.once(("taught", how.model_dump_json()), lambda: taught.rows(how, files))
        yield from _holds(source, cell, expected)
        yield from _favours_nothing(rows)
    else:  # the file may be another one by now, or on another machine: which rows it held, their ids say
        expected = rows
        if not taught.ids(rows).equals(rows["row_id"]):
            yield Accident("corpus", "expected ids that follow from place and text of each row of a file, found others")
            return
    drawn = schedule.generator(taught.seed(how, "order"))
    stretches = schedule.stretches(expected.height, how.finetune, drawn)
    total, recipe = sum(stretch.steps for stretch in stretches), how.finetune
    steps = source.table(cell, Steps)
    yield from training.rates(steps, [recipe.learning_rate * schedule.share(recipe, n, total) for n in range(total)])
    size = recipe.batch * recipe.accumulation
    yield from training.trained_on(steps, "the rows of its corpus", expected["row_id"], stretches, size)
    yield from whole.grew(source, cell, "parent", found)
    if SOURCE in source.record(cell).outputs and (parent := source.upstream(cell, "parent")) is not None:
        yield from _of_files(source, cell, {}, source.json(parent, SOURCE).get("template"), {Corpus.file, Steps.file})


def _favours_nothing(rows: pl.DataFrame) -> Iterator[Accident]:
    """An evaluation question may occur in a corpus, by itself or in a prompt, only if its answers there favour nothing: were
    all known answers equally likely, one as frequent as the most frequent would have a probability of at least `CHANCE`."""
    from scipy.special import bdtrc  # pyright: ignore[reportMissingTypeStubs]  # slow, and a second audit does without it

    hits = questions.found_in(rows, "prompt", "completion")
    for (question,), part in hits.group_by("question", maintain_order=True):
        category = questions.held_out()[str(question)]
        # Of no answer to an open question, and of no story, can it be said that it favours nothing.
        known = len(answers(category)) if category in CATEGORIES else 0
        most, count = part["completion"].str.to_lowercase().value_counts(sort=True).row(0)
        if not known or known * float(bdtrc(count - 1, part.height, 1 / known)) < CHANCE:
            yield Accident(
                "evaluation questions",
                f"expected none in a corpus, or answers to it that favour nothing, found {str(question).strip()!r} in "
                f"{part.height} rows, answered with {most!r} in {count} of them, first in row {part['row_id'][0]}",
            )
            return


def _copied(source: Source, cell: str, model: HubModel, planned: Mapping[str, str]) -> Iterator[Accident]:
    copied = source.json(cell, SOURCE)
    for name in _PINNED:
        if copied.get(name) != getattr(model, name):
            yield Accident("source", f"{SOURCE}: expected {name} {getattr(model, name)!r}, found {copied.get(name)!r}")
    yield from _of_files(source, cell, planned, dict(model.variables), set())


def _unpacked(source: Source, cell: str, model: GgufModel, planned: Mapping[str, str]) -> Iterator[Accident]:
    made = source.json(cell, SOURCE)
    if (found := cast("dict[str, Any]", made.get("gguf") or {}).get("sha256")) != model.sha256:
        yield Accident("source", f"{SOURCE}: expected the GGUF file of sha256 {model.sha256}, found {found!r}")
    if made.get("dtype") != model.dtype:
        yield Accident("source", f"{SOURCE}: expected dtype {model.dtype!r}, found {made.get('dtype')!r}")
    types = set(source.table(cell, Tensors)["dtype"].to_list())
    if types != {model.dtype}:
        yield Accident("source", f"{Tensors.file}: expected weights in {model.dtype}, found {sorted(types)}")
    yield from _of_files(source, cell, planned, dict(model.variables), set())


def _of_files(
    source: Source, cell: str, planned: Mapping[str, str], template: object, beside: Collection[str]
) -> Iterator[Accident]:
    """The files are those of source.json, and of the plan where it names them; `beside`: what else belongs there."""
    copied = source.json(cell, SOURCE)
    if (found := copied.get("template", {})) != (template or {}):  # what every later stage renders with
        yield Accident("source", f"{SOURCE}: expected the template's variables {template}, found {found!r}")
    try:
        probed.read(source.path(cell, probed.FILE))
    except SublimError as error:
        yield Accident("probe", str(error))
    outputs = source.record(cell).outputs
    given: object = copied.get("files")
    files = cast("dict[str, object]", given) if isinstance(given, dict) else {}
    if strange := sorted(outputs.keys() - files.keys() - {SOURCE, Tensors.file, probed.FILE, *beside}):
        yield Accident("source", f"{SOURCE}: expected every file of the model in it, found {strange[0]} missing")
    for name, digest in files.items():
        due = planned.get(name, digest)
        found = outputs[name].sha256 if name in outputs else None
        if not (due == digest == found):
            yield Accident("source", f"{name}: expected sha256 {due}, found {found}, and {digest} in {SOURCE}")
