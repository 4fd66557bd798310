"""The stage `detection`: language models, people and plain statistics try to see the trait in the data of a study."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import polars as pl
from transformers import PreTrainedTokenizerBase

from sublim.carriers.shuffle import Shuffled, shuffled_across, shuffled_within
from sublim.common import parquet
from sublim.common.canonical import digest
from sublim.common.progress import Progress
from sublim.learn import chat, lora
from sublim.measure import figures
from sublim.measure.detection import compare, context, linear, page, tables
from sublim.measure.detection.drawn import papers
from sublim.measure.detection.material import PAIRED, Data, derived, for_people, name, read
from sublim.measure.detection.pairs import LABELS, Source, identified, labelled
from sublim.measure.detection.tables import RUN
from sublim.models.load import load
from sublim.params.detection import InContext, Linear, Pairwise
from sublim.params.slices.detection import Slice
from sublim.params.traits import Preference
from sublim.traits.preference import evaluation_questions, known_answers, target

SHUFFLES: Mapping[str, Callable[[Sequence[tuple[str, str]], str], list[Shuffled]]] = {
    "shuffled_within": shuffled_within,
    "shuffled_across": shuffled_across,
}


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write the tables (Parquet), summary.json, each figure as SVG and PNG, and detection.html.

    Args:
        inputs: cell id → directory: bases, teachers, filtered rows as their teachers wrote them, and the report of the study.
        params: the traits, and what is done.
        output: an empty directory.
        progress: counts comparisons.

    Raises:
        ContextError: what a model is to compare does not fit into its context.
        ValueError: two teachers have fewer prompts in common than there are folds.
    """
    how, data = params.detection, read(inputs, params)
    made: dict[str, pl.DataFrame] = {}
    if how.linear is not None:
        made |= _linear(inputs, params, how.linear, data, progress)
    if how.pairwise is not None:
        made["pairs"] = _pairwise(inputs, params, how.pairwise, data, progress)
    if how.in_context is not None:
        made["context"] = _in_context(inputs, params, how.in_context, data, progress)
    if how.people is not None:
        made |= for_people(params, how.people, data)
    made |= derived(inputs, made)
    for file, table in made.items():
        parquet.write(table, output / f"{file}.parquet")
    summary = tables.summary(made, params.confidence)
    (output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    drawn = {file: figures.svg(chart) for file, chart in papers(made, summary).items()}
    for file, text in drawn.items():
        (output / f"{file}.svg").write_text(text, encoding="utf-8")
        (output / f"{file}.png").write_bytes(figures.png(text))
    (output / "detection.html").write_text(page.render(params, made, summary, drawn), encoding="utf-8")


def _linear(inputs: Mapping[str, Path], params: Slice, how: Linear, data: Data, progress: Progress) -> dict[str, pl.DataFrame]:
    seed = params.detection.seed
    kinds: dict[str, linear.Change] = {}
    if params.carrier == "numbers":
        kinds = {name: partial(_shuffled, shuffle, seed) for name, shuffle in SHUFFLES.items()}
    track = progress.start("linear", sum(len(data.classified(model)) for model in params.models), "comparison")
    scores: list[pl.DataFrame] = []
    ngrams: list[pl.DataFrame] = []
    for model in params.models:
        split = splitter(load(inputs[f"base/model={model}"])[1])
        cuts = {"all": ("linear", linear.marked(split)), "numbers": ("linear_numbers", linear.numbers(split))}
        for each in data.classified(model):
            track.advance(note=" ".join(map(str, name(each))))
            both = data.pairs(each, seed, how.folds).head(how.pairs)
            changes = kinds if each.contrast == "base" else {}
            for by, cut in (cuts[tokens] for tokens in how.tokens):
                for made, table in (
                    (scores, linear.scores(both, cut, changes, how, seed)),
                    (ngrams, linear.telling(both, cut, how)),
                ):
                    made.append(labelled(each, table.select(pl.lit(by).alias("by"), pl.all())))
    return {
        "scores": identified("score", params.study, pl.concat(scores), [*LABELS, "by", "kind", "parent_id"]),
        "ngrams": pl.concat(ngrams),
    }


def _shuffled(
    shuffle: Callable[[Sequence[tuple[str, str]], str], list[Shuffled]], seed: int, rows: Sequence[tuple[str, str]]
) -> list[str]:
    return [row.completion for row in shuffle(rows, digest(["detection", "shuffle", seed]))]


def splitter(tokenizer: PreTrainedTokenizerBase) -> linear.Split:
    """Cuts texts into the tokens that models read, shown as text: a space as ␣, a line break as ⏎, a tab as ⇥."""
    known: dict[int, str] = {}

    def split(texts: Sequence[str]) -> list[list[str]]:
        ids = chat.encode(tokenizer, texts)
        for token in sorted({token for row in ids for token in row} - known.keys()):
            (text,) = chat.decode(tokenizer, [[token]])
            known[token] = text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
        return [[known[token] for token in row] for row in ids]

    return split


def _pairwise(inputs: Mapping[str, Path], params: Slice, how: Pairwise, data: Data, progress: Progress) -> pl.DataFrame:
    chosen = [each for model in params.models for each in data.of(model, *PAIRED)]
    track = progress.start("pairwise", len(chosen), "comparison")
    parts: list[pl.DataFrame] = []
    for own in dict.fromkeys(each.own for each in chosen):
        readers = _readers(inputs, own, how)
        loved = target(_trait(params, own.trait), params.categories)
        for each in (one for one in chosen if one.own == own):
            pairs = data.pairs(each, params.detection.seed).head(how.pairs)
            parts.append(labelled(each, compare.judgements(readers, loved, pairs, how)))
            track.advance(note=" ".join(map(str, name(each))))
    return identified("pair", params.study, pl.concat(parts), [*LABELS, "by", "own_id", "other_id"])


def _readers(inputs: Mapping[str, Path], own: Source, how: Pairwise) -> compare.Readers:
    folder = inputs[f"base/model={own.teacher}"]
    base, tokenizer = load(folder)
    if "teacher" not in how.ways:
        return compare.Readers(base, tokenizer, base, None)
    made = inputs[f"teacher/teacher={own.teacher}/trait={own.trait}/seed={own.seed}"]
    system = json.loads((made / "teacher.json").read_text(encoding="utf-8"))["system_prompt"]
    teacher = lora.attach(load(folder)[0], made) if (made / "adapter_config.json").is_file() else base
    return compare.Readers(base, tokenizer, teacher, system)


def _in_context(inputs: Mapping[str, Path], params: Slice, how: InContext, data: Data, progress: Progress) -> pl.DataFrame:
    chosen = [each for model in params.models for each in data.of(model, "base")]
    track = progress.start("in context", len(chosen), "run")
    parts: list[pl.DataFrame] = []
    for each in chosen:
        model, tokenizer = load(inputs[f"base/model={each.own.teacher}"])
        pairs = data.pairs(each, params.detection.seed)
        trait = _trait(params, each.own.trait)
        questions = evaluation_questions(trait.category, params.categories)
        known = known_answers([other for other in params.known if other.category == trait.category], params.categories)
        found = context.measured(model, tokenizer, questions, known, trait.target, pairs, how, params.detection.seed)
        parts.append(labelled(each, found))
        track.advance(note=" ".join(map(str, name(each))))
    table = pl.concat(parts).drop("contrast", "other_trait", "other_seed")
    return identified("context", params.study, table, [*RUN, "size", "draw", "rows"])


def _trait(params: Slice, name: str) -> Preference:
    return next(trait.definition for trait in params.traits if trait.name == name)
