"""The story of filtered rows: every raw row once, judged by the filter of the params, and the first kept ones used."""

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256

import numpy as np
import polars as pl

from sublim.arms.arm import Arm
from sublim.common import ids
from sublim.common.canonical import digest
from sublim.engine.record import Record
from sublim.evidence import judged, questions
from sublim.evidence.accident import Accident, same_rows, same_values, short
from sublim.evidence.source import Source
from sublim.filters import chain, purity
from sublim.params.filter import Filter
from sublim.params.kinds import kind
from sublim.stages.filtered.rows import Funnel, Rows, Slice
from sublim.stages.raw import check as raw
from sublim.stages.raw.rows import Slice as Raw

EXACT = 20_000
"""In a larger table the ids of used rows are computed again, and of the others, to which nothing refers, some of every part."""
DEALT: Mapping[str, bool] = {"shuffled_within": True, "shuffled_across": False}
"""Arm that deals the numbers of the used rows out again → whether each row gets its own. This is derived here once more, by
other code than the arm's."""

_NUMBER = "[0-9]+"
_LETTERS = r"[^\x00-\x40\x5b-\x60\x7b-\x7f]"
"""Anything that could be a letter, in whatever form: without one a text names nothing."""


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the filtered rows `cell`."""
    params = source.params(cell, Slice)
    rows = source.table(cell, Rows)
    source.once(("used", cell), lambda: rows.filter("used")["row_id"])
    parent = source.upstream(cell, "raw")
    if parent is not None:
        before = raw.table(source, parent)
        if wrong := same_rows("rows", f"every row of {parent}", before["row_id"], rows["parent_id"]):
            yield from wrong
        else:
            yield from _of_parents(source, params, parent, before, rows)
    yield from _marks(rows, params.rule)
    yield from _identity(params, rows)
    yield from _funnel(params, source.table(cell, Funnel), rows)
    yield from _pure(source, params, parent, rows)


def group(record: Record) -> str | None:
    """Its raw rows, which it reads as a whole."""
    given = record.inputs.get("raw")
    return given and given.cell


def used(source: Source, cell: str) -> pl.Series:
    """The ids of the rows of the filtered cell `cell` that students train on."""
    return source.once(("used", cell), lambda: source.table(cell, Rows).filter("used")["row_id"])


def _of_parents(source: Source, params: Slice, parent: str, before: pl.DataFrame, rows: pl.DataFrame) -> Iterator[Accident]:
    names = rows["row_id"]
    for column in ("prompt_id", "prompt"):
        yield from same_values("prompts", f"{column} (of its raw row)", before[column], rows[column], names, also=(parent,))
    asked = chain.asked(before, params.rule, params.context)
    if params.rule.asks is None:
        expected = _reasons(source, parent, before, params)
    else:
        expected = chain.reasons(before.with_columns(rows["score"]), params.rule, params.context)
    yield from judged.check(rows, asked, params.judge)
    yield from same_values("reasons", "reasons (by the filter)", expected, rows["reasons"], names)
    arm: Arm = kind("arms", params.arm)
    changed = arm.changes
    old, new, own, sources = before["completion"], rows["completion"], rows["parent_id"], rows["sources"]
    moved = rows["used"] if changed else pl.repeat(value=False, n=len(rows), eager=True)
    if not ((old == new) | moved).all():
        still = [each.filter(~moved) for each in (old, new, names)]
        yield from same_values("completions", "completion (of its raw row)", still[0], still[1], still[2], also=(parent,))
    if not (((sources.list.len() == 1) & (sources.list.first() == own)) | moved).all():
        still = [each.filter(~moved) for each in (rows.select(pl.concat_list("parent_id")).to_series(), sources, names)]
        yield from same_values("sources", "sources", still[0], still[1], still[2])
    if changed:
        deal = _dealt if params.arm in DEALT else _changed
        yield from deal(params, parent, old.filter(moved), rows.filter(moved))


def _reasons(source: Source, cell: str, rows: pl.DataFrame, params: Slice) -> pl.Series:
    """The reasons of the rows of a raw cell: the same for all arms."""
    what = json.dumps([params.task.model_dump(), params.rule.model_dump(exclude={"rows"}), params.words])
    return source.held(("reasons", cell, what), lambda: chain.reasons(rows, params.rule, params.context))


def _marks(rows: pl.DataFrame, rule: Filter) -> Iterator[Accident]:
    kept = rows["reasons"].list.len() == 0
    yield from same_values("kept", "kept (no reasons)", kept, rows["kept"], rows["row_id"])
    used = rows["kept"] & (rows["kept"].cum_sum() <= rule.rows)
    yield from same_values("used", f"used (the first {rule.rows:,} kept)", used, rows["used"], rows["row_id"])
    if (count := int(rows["used"].sum())) < rule.rows:
        yield Accident("used", f"expected {rule.rows:,} used rows, found {count:,}")


def _identity(params: Slice, rows: pl.DataFrame) -> Iterator[Accident]:
    rows = rows.select("row_id", "parent_id", "used")
    if again := rows.height - rows["row_id"].n_unique():
        yield Accident("row ids", f"expected every row_id once, found {again:,} again")
    if rows.height > EXACT:
        spread = np.linspace(0, rows.height - 1, EXACT // 20, dtype=np.int64)
        rows = pl.concat([rows.filter("used"), rows[spread].filter(~pl.col("used"))])
    identity, names, parents = ("filtered", *params.dims.values()), rows["row_id"], rows["parent_id"]
    if not ids.agree(names, identity, parents):
        what = "row_id (of its dimensions and parent)"
        yield from same_values("row ids", what, ids.ids(identity, parents), names, names)


def _funnel(params: Slice, found: pl.DataFrame, rows: pl.DataFrame) -> Iterator[Accident]:
    expected = list(chain.funnel(rows["reasons"], rows["used"], params.rule, params.context).iter_rows())
    actual = list(found.iter_rows())
    if actual != expected:
        wrong = next((pair for pair in zip(expected, actual, strict=False) if pair[0] != pair[1]), None)
        said = f"{short(wrong[0][:2])}, found {short(wrong[1][:2])}" if wrong else f"{len(expected)} steps, found {len(actual)}"
        yield Accident("funnel", f"funnel.parquet: expected {said}")


def _dealt(params: Slice, parent: str, before: pl.Series, rows: pl.DataFrame) -> Iterator[Accident]:
    """What does not hold in the used rows of a shuffled arm; `before` are the completions of their parents. Numbers are dealt
    by ascending digest, of a row or of all."""
    names, after = rows["row_id"], rows["completion"]
    old, new = (text.str.replace_all(_NUMBER, "0") for text in (before, after))
    if wrong := same_values("shuffle", "completion without its numbers", old, new, names, also=(parent,)):
        yield from wrong
        return
    numbers = [text.str.extract_all(_NUMBER) for text in (before, after)]
    if wrong := same_values("sources", "number of sources", numbers[1].list.len(), rows["sources"].list.len(), names):
        yield from wrong
        return
    own = pl.DataFrame({"row": names, "source": rows["parent_id"], "number": numbers[0]})
    own = own.with_row_index("at").with_columns(n=pl.int_ranges(pl.col("number").list.len()))
    own = own.explode("number", "n", empty_as_null=False)
    seed = digest(["shuffle", *params.dims.values()])
    keys = [sha256(f"{seed}/{source}/{n}".encode()).digest() for source, n in own.select("source", "n").iter_rows()]
    due = own.with_columns(key=pl.Series(keys, dtype=pl.Binary)).sort(["at", "key"] if DEALT[params.arm] else "key")
    dealt = [each.explode(empty_as_null=False) for each in (rows["sources"], numbers[1])]
    wrong = (due["source"] != dealt[0]) | (due["number"] != dealt[1])
    if wrong.any():
        place = int(wrong.arg_max() or 0)
        yield Accident(
            "shuffle",
            f"expected {due['number'][place]} of row {due['source'][place]}, as the seed of {params.arm} deals the numbers of "
            f"the used rows, found {dealt[1][place]} of row {dealt[0][place]} in row {own['row'][place]}, and "
            f"{int(wrong.sum()) - 1:,} more such",
            also=(parent,),
        )


def _changed(params: Slice, parent: str, before: pl.Series, rows: pl.DataFrame) -> Iterator[Accident]:
    """What does not hold in the used rows of another arm that changes them: it is asked again."""
    arm: Arm = kind("arms", params.arm)
    pairs = list(zip(rows["parent_id"], before, strict=True))
    again = arm.changed(pairs, digest(["shuffle", *params.dims.values()])) or []
    expected = {"completion": [each.completion for each in again], "sources": [list(each.sources) for each in again]}
    for column, values in expected.items():
        series = pl.Series(values, dtype=rows.schema[column])
        yield from same_values(
            "arm", f"{column} (as {params.arm} makes it)", series, rows[column], rows["row_id"], also=(parent,)
        )


def _pure(source: Source, params: Slice, parent: str | None, rows: pl.DataFrame) -> Iterator[Accident]:
    """No kept row names a trait, and no row that is trained on has an evaluation question."""
    sampled = source.params(parent, Raw) if parent else None
    named = rows["kept"] & rows["completion"].str.contains(_LETTERS)
    suspects = rows.select("row_id", "prompt", "completion").filter(named) if named.any() else rows.clear()
    asked = raw.prompt_set(source, sampled, rows)["prompt"] if sampled else None
    if sampled and asked is not None and len(asked) == len(rows) and (asked == rows["prompt"]).all():
        which = (sampled.task.model_dump_json(), len(rows))
        # The prompts are those of the params: what they say is judged once for all cells.
        prompts = asked.to_frame().select(pl.lit("of the prompt set").alias("row_id"), "prompt", completion=pl.lit(""))
        leak = source.once(("pure", *which, params.words), lambda: _leak(prompts, params.words))
        held_out = source.once(("questions", *which), lambda: questions.none_in("prompts", prompts, "prompt"))
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
