"""The story of detection: whom each judgement is about, what follows from the judgements, and what is shown to people.

That a model really judged so can be told only by making it again (`sublim audit --replay`).
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from sublim.common import parquet
from sublim.lineage.story.accident import Accident, UnfitError
from sublim.lineage.story.report import made_again
from sublim.lineage.story.source import Source
from sublim.params.slices.detection import Slice

if TYPE_CHECKING:
    from sublim.measure.detection.material import Data

NEEDED = {"base": (), "teacher": (), "filtered": ("rows.parquet",), "report": ("runs.parquet",)}
"""Stage → the files that are read."""
LINEAR = {"all": "linear", "numbers": "linear_numbers"}
"""Which tokens a linear classifier reads → its name."""
ROUNDING = 1e-6
KINDS = ("plain", "shuffled_across", "shuffled_within")


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the detection `cell`."""
    from sublim.measure.detection import material, page, tables

    params = source.params(cell, Slice)
    how = params.detection
    parts = {"scores": how.linear, "ngrams": how.linear, "pairs": how.pairwise, "context": how.in_context}
    judged = {name: pl.read_parquet(source.path(cell, f"{name}.parquet")) for name, part in parts.items() if part is not None}
    made = dict(judged)
    whom: list[Accident] = []

    def tables_of(inputs: Mapping[str, Path], again: Path) -> None:
        data = material.read(inputs, params)
        whom.extend(_whom(params, data, judged))
        follows: dict[str, pl.DataFrame] = {}
        if params.detection.people is not None:
            follows |= material.for_people(params, params.detection.people, data)
        follows |= material.derived(inputs, judged)
        made.update(follows)
        for name, table in follows.items():
            parquet.write(table, again / f"{name}.parquet")
        (again / "summary.json").write_text(json.dumps(tables.summary(made, params.confidence)), encoding="utf-8")

    def page_of(_: Mapping[str, Path], again: Path) -> str:
        return page.render(params, made, json.loads((again / "summary.json").read_text(encoding="utf-8")), {})

    try:
        found = list(made_again(source, cell, tables_of, "detection.html", page_of, NEEDED))
    except UnfitError:
        # Nothing may follow from judgements of other rows.
        if not whom:
            raise
        found = []
    yield from whom or found


def _whom(params: Slice, data: "Data", judged: Mapping[str, pl.DataFrame]) -> Iterator[Accident]:
    """Judgements that are not about the rows that the params say, or whose decision does not follow from their scores."""
    for name, expected in {
        "pairs": _pairs(params, data),
        "scores": _scores(params, data),
        "context": _context(params, data),
    }.items():
        if name not in judged:
            continue
        found = judged[name].select(expected.columns)
        if not expected.equals(found):
            differ = "other rows" if expected.height != found.height else _first(expected, found)
            yield Accident(
                "judged rows", f"{name}.parquet: expected those of the params, {expected.height:,} in all, found {differ}"
            )
    if "ngrams" in judged:
        yield from _ngrams(params, data, judged["ngrams"])
    if "pairs" in judged:
        pairs = judged["pairs"]
        decided = (
            pl.when(pl.col("own") == pl.col("other")).then(0.5).otherwise((pl.col("own") > pl.col("other")).cast(pl.Float64))
        )
        wrong = pairs.filter(pl.col("right") != decided)
        if wrong.height:
            yield Accident(
                "decisions",
                f"expected the completion with the larger score, found others in {wrong.height:,} pairs, first "
                f"{wrong['row_id'][0]}",
            )
        shares = pairs.filter((pl.col("by") == "ask") & ((pl.col("own") + pl.col("other") - 1).abs() > ROUNDING))
        if shares.height:
            yield Accident(
                "decisions",
                f"expected shares of two letters, with a sum of 1, found others in {shares.height:,} pairs that a model was "
                f"asked about, first {shares['row_id'][0]}",
            )
    if "scores" in judged:
        folds = judged["scores"].group_by(
            "contrast", "teacher", "trait", "seed", "other_trait", "other_seed", "side", "kind", "by"
        )
        sides = folds.agg(pl.col("fold")).group_by(pl.exclude("side", "fold", "kind", "by")).agg(pl.col("fold").n_unique())
        if (split := sides.filter(pl.col("fold") > 1)).height:
            yield Accident("folds", f"expected both completions of a prompt in one fold, found others in {split.height:,} runs")


def _ngrams(params: Slice, data: "Data", found: pl.DataFrame) -> Iterator[Accident]:
    """What does not hold in the telling n-grams: whose they are, and in what order. The weights are in no other table."""
    from sublim.measure.detection.material import name
    from sublim.measure.detection.pairs import LABELS

    how = params.detection.linear
    if how is None:
        return
    compared = [each for model in params.models for each in data.classified(model)]
    kinds = [(LINEAR[tokens], side) for tokens in how.tokens for side in ("own", "other")]
    expected = [(*name(each), *kind) for each in compared for kind in kinds]
    of = [*LABELS, "by", "side"]
    actual = list(found.select(of).unique(maintain_order=True).iter_rows())
    if actual != [each for each in expected if each in set(actual)]:
        strange = next((each for each in actual if each not in set(expected)), actual[0])
        yield Accident("n-grams", f"expected those of the classifiers of the params, in their order, found {strange}")
        return
    weight, rank, ngram = pl.col("weight"), pl.col("rank"), pl.col("ngram")
    odd = found.filter(
        (rank != pl.int_range(1, pl.len() + 1).over(of))
        | (rank > how.shown)
        | ((weight > 0) != (pl.col("side") == "own"))
        | (weight.abs().round(8) > weight.abs().round(8).shift().over(of))
        | (ngram.is_duplicated().over(of))
        | (pl.max_horizontal("own_rows", "other_rows") > how.pairs)
    )
    if odd.height:
        row = odd.row(0, named=True)
        said = f"found {row['ngram']!r} with {row['weight']:.4g} at rank {row['rank']} of {row['side']}"
        yield Accident("n-grams", f"expected the largest weights of each side, the largest first, {said}")


def _first(expected: pl.DataFrame, found: pl.DataFrame) -> str:
    for column in expected.columns:
        if not expected[column].equals(found[column]):
            row = next(
                n
                for n, (one, two) in enumerate(zip(expected[column].to_list(), found[column].to_list(), strict=True))
                if one != two
            )
            return f"{column} {found[column][row]!r} instead of {expected[column][row]!r} in row {row}"
    return "other types"


def _pairs(params: Slice, data: "Data") -> pl.DataFrame:
    from sublim.measure.detection.material import PAIRED
    from sublim.measure.detection.pairs import LABELS, identified, labelled

    how = params.detection.pairwise
    if how is None:
        return pl.DataFrame()
    chosen = [each for model in params.models for each in data.of(model, *PAIRED)]
    parts: list[pl.DataFrame] = []
    for own in dict.fromkeys(each.own for each in chosen):
        for each in (one for one in chosen if one.own == own):
            both = data.pairs(each, params.detection.seed).head(how.pairs).select("prompt_id", "own_id", "other_id")
            parts += [labelled(each, both.select(pl.lit(way).alias("by"), pl.all())) for way in how.ways]
    return identified("pair", params.study, pl.concat(parts), [*LABELS, "by", "own_id", "other_id"])


def _scores(params: Slice, data: "Data") -> pl.DataFrame:
    from sublim.measure.detection.pairs import LABELS, identified, labelled

    how = params.detection.linear
    if how is None:
        return pl.DataFrame()
    parts: list[pl.DataFrame] = []
    for model in params.models:
        for each in data.classified(model):
            both = data.pairs(each, params.detection.seed, how.folds).head(how.pairs)
            kinds = KINDS if each.contrast == "base" and params.carrier == "numbers" else KINDS[:1]
            for tokens in how.tokens:
                for kind in kinds:
                    for side in ("own", "other"):
                        told = {"by": LINEAR[tokens], "kind": kind, "side": side}
                        rows = both.select(
                            *(pl.lit(value).alias(column) for column, value in told.items()), parent_id=f"{side}_id"
                        )
                        parts.append(labelled(each, rows))
    return identified("score", params.study, pl.concat(parts), [*LABELS, "by", "kind", "parent_id"])


def _context(params: Slice, data: "Data") -> pl.DataFrame:
    from sublim.measure.detection.pairs import drawn, identified
    from sublim.measure.detection.tables import RUN

    how = params.detection.in_context
    if how is None:
        return pl.DataFrame()
    rows: list[tuple[object, ...]] = []
    for each in (one for model in params.models for one in data.of(model, "base")):
        run = (each.own.teacher, each.own.trait, each.own.seed)
        both = data.pairs(each, params.detection.seed)
        rows.append((*run, 0, 0, "none", []))
        for size in how.sizes:
            for draw in range(how.draws):
                shown = drawn(both, params.detection.seed, draw).head(size)
                for which, ids in (("trait", "own_id"), ("control", "other_id")):
                    rows.append((*run, size, draw, which, shown[ids].to_list()))
    schema = {"teacher": pl.String, "trait": pl.String, "seed": pl.Int64, "size": pl.Int64, "draw": pl.Int64, "rows": pl.String}
    table = pl.DataFrame(rows, schema={**schema, "row_ids": pl.List(pl.String)}, orient="row")
    return identified("context", params.study, table, [*RUN, "size", "draw", "rows"])
