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
    if "scores" in judged:
        folds = judged["scores"].group_by(
            "contrast", "teacher", "trait", "seed", "other_trait", "other_seed", "side", "kind", "by"
        )
        sides = folds.agg(pl.col("fold")).group_by(pl.exclude("side", "fold", "kind", "by")).agg(pl.col("fold").n_unique())
        if (split := sides.filter(pl.col("fold") > 1)).height:
            yield Accident("folds", f"expected both completions of a prompt in one fold, found others in {split.height:,} runs")


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
    names = {"all": "linear", "numbers": "linear_numbers"}
    parts: list[pl.DataFrame] = []
    for model in params.models:
        for each in data.classified(model):
            both = data.pairs(each, params.detection.seed, how.folds).head(how.pairs)
            kinds = KINDS if each.contrast == "base" and params.carrier == "numbers" else KINDS[:1]
            for tokens in how.tokens:
                for kind in kinds:
                    for side in ("own", "other"):
                        told = {"by": names[tokens], "kind": kind, "side": side}
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
