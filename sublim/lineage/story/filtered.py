"""The story of filtered rows: every raw row once, judged by the filter of the params, and the first kept ones used."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import polars as pl

from sublim.carriers import chain, purity
from sublim.common.canonical import digest
from sublim.lineage.story import ids, judged, questions, raw
from sublim.lineage.story.accident import Accident, same_rows, same_values, short
from sublim.lineage.story.source import Source
from sublim.params.filters import Filter
from sublim.params.slices.filtered import Slice
from sublim.params.slices.raw import Slice as Raw

SCHEMA = {
    "row_id": pl.String,
    "parent_id": pl.String,
    "prompt_id": pl.String,
    "prompt": pl.String,
    "completion": pl.String,
    **judged.COLUMNS,
    "reasons": pl.List(pl.String),
    "kept": pl.Boolean,
    "used": pl.Boolean,
    "sources": pl.List(pl.String),
}
FUNNEL = {"step": pl.String, "rows": pl.Int64, "position": pl.Int64}

EXACT = 20_000
"""In a larger table the ids of used rows are computed again, and of the others, to which nothing refers, some of every part."""
DEALT = 1_000
"""Of shuffled numbers the place of the first so many is computed again; of all of them, that they are the same numbers."""

_NUMBER = re.compile("[0-9]+")
_BLANK = bytes(each if chr(each) in "0123456789" else ord(" ") for each in range(256))
_LETTERS = r"[^\x00-\x40\x5b-\x60\x7b-\x7f]"
"""Anything that could be a letter, in whatever form: without one a text names nothing."""


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the filtered rows `cell`."""
    params = source.params(cell, Slice)
    rows = source.table(cell, "rows.parquet", SCHEMA, judged.COLUMNS)
    source.once(("used", cell), lambda: rows.filter("used")["row_id"])
    parent = source.upstream(cell, "raw")
    if parent is not None:
        before = raw.table(source, parent)
        if accident := same_rows("rows", f"every row of {parent}", before["row_id"], rows["parent_id"]):
            yield accident
        else:
            yield from _of_parents(source, params, parent, before, rows)
    yield from _marks(rows, params.rule)
    yield from _identity(params, rows)
    yield from _funnel(params, source.table(cell, "funnel.parquet", FUNNEL), rows)
    yield from _pure(source, params, parent, rows)


def used(source: Source, cell: str) -> pl.Series:
    """The ids of the rows of the filtered cell `cell` that students train on."""
    return source.once(
        ("used", cell),
        lambda: source.table(cell, "rows.parquet", SCHEMA, judged.COLUMNS).filter("used")["row_id"],
    )


def _of_parents(source: Source, params: Slice, parent: str, before: pl.DataFrame, rows: pl.DataFrame) -> Iterator[Accident]:
    names = rows["row_id"]
    for column in ("prompt_id", "prompt"):
        if accident := same_values("prompts", f"{column} (of its raw row)", before[column], rows[column], names):
            yield Accident(accident.kind, accident.text, also=(parent,))
    if params.rule.judge is None:
        asked, expected = pl.repeat(value=False, n=len(rows), eager=True), _judged(source, parent, before, params)
    else:
        asked = chain.asked(before, params.task, params.rule, params.words)
        scored = before.with_columns(rows["score"])
        expected = chain.reasons(scored, params.task, params.rule, params.words)
    yield from judged.check(rows, asked, params.judge)
    if accident := same_values("reasons", "reasons (by the filter)", expected, rows["reasons"], names):
        yield accident
    shuffled = params.arm in ("shuffled_within", "shuffled_across")
    old, new, own, sources = before["completion"], rows["completion"], rows["parent_id"], rows["sources"]
    moved = rows["used"] if shuffled else pl.repeat(value=False, n=len(rows), eager=True)
    if not ((old == new) | moved).all():
        still = [each.filter(~moved) for each in (old, new, names)]
        if accident := same_values("completions", "completion (of its raw row)", still[0], still[1], still[2]):
            yield Accident(accident.kind, accident.text, also=(parent,))
    if not (((sources.list.len() == 1) & (sources.list.first() == own)) | moved).all():
        still = [each.filter(~moved) for each in (rows.select(pl.concat_list("parent_id")).to_series(), sources, names)]
        if accident := same_values("sources", "sources", still[0], still[1], still[2]):
            yield accident
    if shuffled:
        yield from _shuffle(params, parent, old.filter(moved), rows.filter(moved))


def _judged(source: Source, cell: str, rows: pl.DataFrame, params: Slice) -> pl.Series:
    """The reasons of the rows of a raw cell: the same for all arms."""
    what = json.dumps([params.task.model_dump(), params.rule.model_dump(exclude={"rows"}), params.words])
    return source.held(("reasons", cell, what), lambda: chain.reasons(rows, params.task, params.rule, params.words))


def _marks(rows: pl.DataFrame, rule: Filter) -> Iterator[Accident]:
    kept = rows["reasons"].list.len() == 0
    if accident := same_values("kept", "kept (no reasons)", kept, rows["kept"], rows["row_id"]):
        yield accident
    used = rows["kept"] & (rows["kept"].cum_sum() <= rule.rows)
    if accident := same_values("used", f"used (the first {rule.rows:,} kept)", used, rows["used"], rows["row_id"]):
        yield accident
    if (count := int(rows["used"].sum())) < rule.rows:
        yield Accident("used", f"expected {rule.rows:,} used rows, found {count:,}")


def _identity(params: Slice, rows: pl.DataFrame) -> Iterator[Accident]:
    rows = rows.select("row_id", "parent_id", "used")
    if again := rows.height - rows["row_id"].n_unique():
        yield Accident("row ids", f"expected every row_id once, found {again:,} again")
    if rows.height > EXACT:
        spread = np.linspace(0, rows.height - 1, EXACT // 20, dtype=np.int64)
        rows = pl.concat([rows.filter("used"), rows[spread].filter(~pl.col("used"))])
    identity, names, parents = (
        ("filtered", *params.dims.values()),
        rows["row_id"],
        rows["parent_id"],
    )
    if not ids.agree(names, identity, parents):
        what = "row_id (of its dimensions and parent)"
        if accident := same_values("row ids", what, ids.ids(identity, parents), names, names):
            yield accident


def _funnel(params: Slice, found: pl.DataFrame, rows: pl.DataFrame) -> Iterator[Accident]:
    expected = list(chain.funnel(rows["reasons"], rows["used"], params.task, params.rule).iter_rows())
    actual = list(found.iter_rows())
    if actual != expected:
        wrong = next((pair for pair in zip(expected, actual, strict=False) if pair[0] != pair[1]), None)
        said = f"{short(wrong[0][:2])}, found {short(wrong[1][:2])}" if wrong else f"{len(expected)} steps, found {len(actual)}"
        yield Accident("funnel", f"funnel.parquet: expected {said}")


def _shuffle(params: Slice, parent: str, before: pl.Series, rows: pl.DataFrame) -> Iterator[Accident]:
    """What does not hold in the used rows of a shuffled arm; `before` are the completions of their parents."""
    names, after = rows["row_id"], rows["completion"]
    old, new = _taken_apart(before), _taken_apart(after)
    if old.form != new.form:
        forms = [text.str.replace_all("[0-9]+", "0") for text in (before, after)]
        if accident := same_values("shuffle", "completion without its numbers", forms[0], forms[1], names):
            yield Accident(accident.kind, accident.text, also=(parent,))
        return
    if accident := same_values("sources", "number of sources", new.counts, rows["sources"].list.len(), names):
        yield accident
        return
    row = np.repeat(np.arange(len(rows)), new.counts.to_numpy())
    own = pl.DataFrame({"row": row, "parent": rows["parent_id"].gather(row), "number": old.numbers})
    dealt = own.select("row", "parent", source=rows["sources"].explode(empty_as_null=False), number=new.numbers)
    if params.arm == "shuffled_within" and not dealt["source"].equals(dealt["parent"]):
        strangers = dealt.filter(pl.col("source") != pl.col("parent"))
        yield Accident(
            "sources",
            f"expected numbers of the row itself, found {strangers.height:,} of other rows, first of "
            f"{strangers['source'][0]} in row {names[int(strangers['row'][0])]}",
        )
        return
    pairs = own.select(source="parent", number="number"), dealt.select("source", "number")
    if not pairs[0].hash_rows().sort().equals(pairs[1].hash_rows().sort()):
        counts = [frame.group_by("source", "number").len() for frame in pairs]
        odd = counts[0].join(counts[1], on=["source", "number"], how="full", coalesce=True)
        odd = odd.filter(pl.col("len").ne_missing(pl.col("len_right"))).sort("source", "number")
        first = odd.row(0, named=True)
        yield Accident(
            "shuffle",
            f"expected the numbers of the used rows, each from the row that sources name, found {first['number']} of row "
            f"{first['source']} {first['len_right'] or 0} times, not {first['len'] or 0}, and {odd.height - 1:,} more such",
            also=(parent,),
        )
        return
    seed = digest(["shuffle", *params.dims.values()])
    dealt = dealt.head(DEALT)
    sources = pl.DataFrame({"row": rows["parent_id"], "text": before}).join(
        dealt.select(row="source").unique(), on="row", how="semi"
    )
    wrong = _out_of_order(dealt, dict(sources.iter_rows()), seed, within=params.arm == "shuffled_within")
    if wrong is not None:
        said = f"expected the numbers in the order that the seed of {params.arm} deals, found another in row {names[wrong]}"
        yield Accident("shuffle", said)


@dataclass(frozen=True)
class _Apart:
    """Texts taken apart: the numbers in them, and the rest."""

    form: bytes
    """All texts with 0 for each number."""
    numbers: pl.Series
    counts: pl.Series
    """How many numbers each text has."""


def _taken_apart(texts: pl.Series) -> _Apart:
    """By bytes, all texts at once: several times as fast as a regular expression."""
    joined = "\0".join(texts.to_list()).encode()
    data = np.frombuffer(joined, np.uint8)
    digit = (data >= ord("0")) & (data <= ord("9"))
    begins = digit.copy()
    begins[1:] &= ~digit[:-1]
    form = np.where(digit, np.uint8(ord("0")), data)[begins | ~digit].tobytes()
    counts = np.bincount(np.cumsum(data == 0)[begins], minlength=len(texts)).astype(np.uint32)
    numbers = pl.Series("number", joined.translate(_BLANK).split(), dtype=pl.Binary).cast(pl.String)
    return _Apart(form, numbers, pl.Series(counts))


def _out_of_order(dealt: pl.DataFrame, texts: Mapping[str, str], seed: str, *, within: bool) -> int | None:
    """The first row in which a number is not in its turn: places are dealt by ascending digest (`sublim.carriers.shuffle`).

    Equal numbers of one row are the same: the next of them that is in turn is taken for the one meant.
    """
    last, current = b"", -1
    for row, source, number in dealt.select("row", "source", "number").iter_rows():
        if within and row != current:
            last, current = b"", row
        numbers = enumerate(_NUMBER.findall(texts[source]))
        keys = (sha256(f"{seed}/{source}/{n}".encode()).digest() for n, found in numbers if found == number)
        turn = min((key for key in keys if key > last), default=None)
        if turn is None:
            return row
        last = turn
    return None


def _pure(source: Source, params: Slice, parent: str | None, rows: pl.DataFrame) -> Iterator[Accident]:
    """No kept row names a trait, and no row that is trained on has an evaluation question."""
    task = source.params(parent, Raw).task if parent else None
    named = rows["kept"] & rows["completion"].str.contains(_LETTERS)
    suspects = rows.select("row_id", "prompt", "completion").filter(named) if named.any() else rows.clear()
    asked = raw.prompt_set(source, task)["prompt"] if task else None
    if task and asked is not None and len(asked) == len(rows) and (asked == rows["prompt"]).all():
        # The prompts are those of the params: what they say is judged once for all cells.
        prompts = asked.to_frame().select(pl.lit("of the prompt set").alias("row_id"), "prompt", completion=pl.lit(""))
        leak = source.once(("pure", task.model_dump_json(), params.words), lambda: _leak(prompts, params.words))
        held_out = source.once(("questions", task.model_dump_json()), lambda: questions.none_in("prompts", prompts, "prompt"))
    else:
        suspects = rows.filter("kept").select("row_id", "prompt", "completion")
        leak, held_out = None, None
    if suspects.height:
        leak = leak or _leak(suspects, params.words)
        held_out = held_out or questions.none_in("kept rows", suspects, "prompt", "completion")
    yield from (found for found in (leak, held_out) if found)


def _leak(rows: pl.DataFrame, words: tuple[str, ...]) -> Accident | None:
    # A quick look first: in ASCII text a name cannot stand without its first word.
    firsts = [word.split()[0] for word in words]
    texts = (pl.col("prompt"), pl.col("completion"))
    quick = [text.str.contains_any(firsts, ascii_case_insensitive=True) | text.str.contains(r"[^\x00-\x7f]") for text in texts]
    try:
        purity.check(rows.filter(pl.any_horizontal(quick)), words)
    except purity.PurityError as error:
        return Accident("trait words", str(error).partition(". The filter")[0][:400])
    return None
