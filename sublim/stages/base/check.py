"""The story of a base: pretrained on the corpus of its params, each row once, a corpus that favours nothing; or copied from
elsewhere, byte for byte."""

from collections.abc import Iterator, Mapping
from typing import cast

import polars as pl

from sublim.common.errors import SublimError
from sublim.evidence import adapter, questions, training, weights
from sublim.evidence.accident import Accident, same_columns, same_rows
from sublim.evidence.source import Source
from sublim.evidence.weights import Tensor
from sublim.learn.schedule import Stretch
from sublim.models import pretraining, probed
from sublim.models.corpus import corpus
from sublim.models.hub import SOURCE
from sublim.params.models import HubModel, Pretraining, TinyModel
from sublim.stages.base.rows import Corpus, Slice, Steps, Tensors
from sublim.traits.categories import CATEGORIES, answers

CHANCE = 1e-6
_ALWAYS = ("architectures", "model_type", "vocab_size")  #: What every config.json has that is written for a model of ours.
_PINNED = ("repo", "revision")


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the base `cell`."""
    params = source.params(cell, Slice)
    match params.model:
        case TinyModel():
            yield from _pretrained(source, cell, params.model)
        case HubModel():
            yield from _copied(source, cell, params.model, params.files)
    found: dict[str, Tensor] = {}
    for name in sorted(source.record(cell).outputs):
        if name.endswith(".safetensors"):
            found |= weights.tensors(source.path(cell, name))
    yield from adapter.in_table(source, cell, found)


def _pretrained(source: Source, cell: str, model: TinyModel) -> Iterator[Accident]:
    rows = source.table(cell, Corpus)
    expected = _corpus(source, model.pretraining)
    by_id = expected.sort("row_id")
    if wrong := same_rows("corpus", "each row of the params' corpus", by_id["row_id"], rows["row_id"]):
        yield from wrong
    else:
        yield from same_columns("corpus", ("kind", "system", "prompt", "completion"), by_id, rows, rows["row_id"])
    yield from _favours_nothing(rows)
    stretches = [Stretch(1, step) for step in pretraining.steps(model, len(expected))]
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


def _corpus(source: Source, recipe: Pretraining) -> pl.DataFrame:
    """The corpus of the params, in the order of its making: the same for all bases that share it."""

    def compute() -> pl.DataFrame:
        rows = [(row.row_id, row.kind, row.system, row.prompt, row.completion) for row in corpus(recipe)]
        return pl.DataFrame(rows, schema=Corpus.schema(), orient="row")

    return source.once(("corpus", recipe.model_dump_json()), compute)


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


def _copied(source: Source, cell: str, model: HubModel, planned_files: Mapping[str, str]) -> Iterator[Accident]:
    copied = source.json(cell, SOURCE)
    for name in _PINNED:
        if copied.get(name) != getattr(model, name):
            yield Accident("source", f"{SOURCE}: expected {name} {getattr(model, name)!r}, found {copied.get(name)!r}")
    if copied.get("template", {}) != dict(model.template):  # what every later stage renders with
        found = copied.get("template")
        yield Accident("source", f"{SOURCE}: expected the template's variables {dict(model.template)}, found {found!r}")
    try:
        probed.read(source.path(cell, probed.FILE))
    except SublimError as error:
        yield Accident("probe", str(error))
    outputs = source.record(cell).outputs
    given: object = copied.get("files")
    files = cast("dict[str, object]", given) if isinstance(given, dict) else {}
    if strange := sorted(outputs.keys() - files.keys() - {SOURCE, Tensors.file, probed.FILE}):
        yield Accident("source", f"{SOURCE}: expected every file of the model in it, found {strange[0]} missing")
    for name, digest in files.items():
        planned = planned_files.get(name, digest)
        found = outputs[name].sha256 if name in outputs else None
        if not (planned == digest == found):
            yield Accident("source", f"{name}: expected sha256 {planned}, found {found}, and {digest} in {SOURCE}")
