"""What detection works with, and what follows from single judgements: rows, comparisons, rows for people, results by run.

Nothing here needs a model, so that the audit can do it again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sublim.measure.detection import frequencies, quiz, tables
from sublim.measure.detection.pairs import (
    LABELS,
    UNTOUCHED,
    Comparison,
    Contrast,
    Source,
    comparisons,
    identified,
    labelled,
    paired,
)
from sublim.measure.detection.tables import RUN
from sublim.measure.tables import dimensions
from sublim.params.detection import People
from sublim.params.slices.detection import Slice

ROWS = ("row_id", "prompt_id", "prompt", "completion", "kept")
PAIRED: tuple[Contrast, ...] = ("base", "other")
"""The contrasts that language models and people are asked about: each has a completion of the trait's teacher."""


@dataclass(frozen=True)
class Data:
    """The completions of a study as their teachers wrote them, and who is compared with whom."""

    rows: Mapping[Source, pl.DataFrame]
    """Whose → their rows, with what the filter said of them."""
    compared: tuple[Comparison, ...]
    """What is compared, model by model."""

    def pairs(self, of: Comparison, seed: int, least: int = 1) -> pl.DataFrame:
        """The prompts of a comparison, and both completions of each.

        Raises:
            ValueError: there are fewer than `least`.
        """
        found = paired(self.rows[of.own], self.rows[of.other], seed)
        if found.height < least:
            raise ValueError(
                f"{' '.join(map(str, name(of)))}: expected at least {least} prompts to which both gave a completion that is "
                f"kept, found {found.height}: ask for more prompts, or leave this part of `detection` out (null)"
            )
        return found

    def classified(self, model: str) -> list[Comparison]:
        """The comparisons of a model with each pair of sources once: two traits compared both ways are the same rows, and
        the same linear classifier."""
        own = reversed([each for each in self.compared if each.own.teacher == model])
        return list({frozenset({each.own, each.other}): each for each in own}.values())[::-1]

    def of(self, model: str, *contrasts: Contrast) -> list[Comparison]:
        """The comparisons of a model."""
        return [each for each in self.compared if each.own.teacher == model and each.contrast in contrasts]


def read(inputs: Mapping[str, Path], params: Slice) -> Data:
    """The rows of all teachers, and who is compared with whom."""
    rows: dict[Source, pl.DataFrame] = {}
    for cell, path in inputs.items():
        if cell.startswith("filtered/"):
            dims = dimensions(cell)
            source = Source(str(dims["teacher"]), str(dims["trait"]), int(dims["seed"]))
            rows[source] = pl.read_parquet(path / "rows.parquet", columns=list(ROWS))
    compared: list[Comparison] = []
    for model in params.models:
        own = [source for source in rows if source.teacher == model]
        traits = [trait.name for trait in params.traits if any(source.trait == trait.name for source in own)]
        seeds = sorted({source.seed for source in own if source.trait != UNTOUCHED})
        control = sorted({source.seed for source in own if source.trait == UNTOUCHED})
        compared += comparisons(model, traits, seeds, control)
    return Data(rows, tuple(compared))


def for_people(params: Slice, how: People, data: Data) -> dict[str, pl.DataFrame]:
    """numbers.parquet (frequencies), shown.parquet (rows side by side) and quiz.parquet."""
    seed = params.detection.seed
    counts: list[pl.DataFrame] = []
    for source, rows in sorted(data.rows.items(), key=lambda item: (item[0].teacher, item[0].trait, item[0].seed)):
        table = frequencies.numbers(rows.filter("kept")["completion"], how.numbers)
        values = zip(RUN, (source.teacher, source.trait, source.seed), strict=True)
        counts.append(table.select(*(pl.lit(value).alias(column) for column, value in values), pl.all()))
    shown: list[pl.DataFrame] = []
    asked: list[pl.DataFrame] = []
    for each in (one for one in data.compared if one.contrast in PAIRED):
        both = data.pairs(each, seed)
        asked.append(labelled(each, quiz.questions(both, how.questions, seed, *name(each))))
        if each.contrast == "base":
            shown.append(labelled(each, both.slice(how.questions, how.rows)))
    by = [*LABELS, "own_id", "other_id"]
    return {
        "numbers": pl.concat(counts).with_columns(pl.col("seed").cast(pl.Int64)),
        **{what: identified(what, params.study, pl.concat(parts), by) for what, parts in (("shown", shown), ("quiz", asked))},
    }


def derived(inputs: Mapping[str, Path], made: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """runs.parquet (how well each classifier did, by run) and transmission.parquet, from the tables of single judgements."""
    runs = [*_seen(made), *_judged(made)]
    if not runs:
        return {}
    table = pl.DataFrame(runs, schema=RUNS)
    gains = [path for cell, path in inputs.items() if cell.startswith("report/")]
    if "scores" not in made or not gains:
        return {"runs": table}
    return {"runs": table, "transmission": tables.transmission(table, pl.read_parquet(gains[0] / "runs.parquet"))}


RUNS = {
    **{name: pl.Int64 if name.endswith("seed") else pl.String for name in LABELS},
    "by": pl.String,
    "kind": pl.String,
    "pairs": pl.Int64,
    "accuracy": pl.Float64,
    "auc": pl.Float64,
    "single": pl.Float64,
}
"""Columns of runs.parquet. accuracy: share of the pairs in which the right completion was chosen. auc, and single (the share of
single completions put on the right side): of linear classifiers alone."""


def _seen(made: Mapping[str, pl.DataFrame]) -> Iterator[dict[str, Any]]:
    if "scores" not in made:
        return
    for labels, part in made["scores"].group_by(*LABELS, "by", "kind", maintain_order=True):
        found = tables.seen(part)
        *names, by, kind = labels
        yield {
            **dict(zip(LABELS, names, strict=True)),
            "by": by,
            "kind": kind,
            "pairs": found.pairs,
            "accuracy": found.pairwise,
            "auc": found.auc,
            "single": found.accuracy,
        }


def _judged(made: Mapping[str, pl.DataFrame]) -> Iterator[dict[str, Any]]:
    if "pairs" not in made:
        return
    for labels, part in made["pairs"].group_by(*LABELS, "by", maintain_order=True):
        *names, by = labels
        yield {
            **dict(zip(LABELS, names, strict=True)),
            "by": by,
            "kind": "plain",
            "pairs": part.height,
            "accuracy": part["right"].mean(),
            "auc": None,
            "single": None,
        }


def name(of: Comparison) -> tuple[str | int, ...]:
    """What was compared, in the order of `LABELS`."""
    return (of.contrast, of.own.teacher, of.own.trait, of.own.seed, of.other.trait, of.other.seed)
