"""The story of raw rows: the prompts of the params, asked of the model of the record, decoded as the params say; or answered by
no model, as their seeds say."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from operator import lt
from typing import Any, cast

import polars as pl

from sublim.common import ids
from sublim.evidence import questions
from sublim.evidence.accident import Accident, constant, same_columns, same_rows, same_values, short
from sublim.evidence.source import Source
from sublim.filters import rounds
from sublim.params.learning import Decoding
from sublim.stages.raw import rows as raw
from sublim.stages.raw.rows import CONSTRAINED, SAMPLED, Rows, Slice

VARIED = 10  #: Different completions that make it impossible for two samplings to agree by chance.


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the raw rows `cell`."""
    params = source.params(cell, Slice)
    rows = table(source, cell)
    asked = prompt_set(source, params, rows)
    what = "each prompt of the params (task)"
    wrong = same_rows("prompts", what, asked["prompt_id"], rows["prompt_id"])
    if wrong := wrong or same_columns("prompts", ("prompt", "answer"), asked, rows, rows["row_id"]):
        yield from wrong
        if held_out := questions.none_in("prompts", rows, "prompt"):
            yield held_out
    yield from _rounds(params, rows)
    yield from _identity(params, rows)
    yield from _unwritten(params, rows) if params.decoding is None else _written(source, cell, params.decoding, rows)
    if params.decoding is not None and params.decoding.constrained:
        yield from constant("decoding", "constrained", True, rows["constrained"])  # noqa: FBT003 - as all others
        yield from _shaped(params, rows)


def table(source: Source, cell: str) -> pl.DataFrame:
    """The rows of the raw cell `cell`."""
    decoding: Mapping[str, Any] | None = source.record(cell).plan.params.get("decoding")
    nullable = SAMPLED if decoding is None else ("system_prompt",)
    also = CONSTRAINED if decoding is not None and decoding.get("constrained") else ()
    return source.held(("raw", cell), lambda: source.table(cell, Rows, nullable, also))


def prompt_set(source: Source, params: Slice, rows: pl.DataFrame) -> pl.DataFrame:
    """The prompts that `rows` should be of: prompt_id, prompt, answer, in their order. Those of so many rounds as they are."""
    prompts = source.once(("prompts", params.task.model_dump_json(), params.ends), lambda: raw.prompts(params))
    return prompts.head(next((end for end in params.ends if end >= rows.height), params.ends[-1]))


def _rounds(params: Slice, rows: pl.DataFrame) -> Iterator[Accident]:
    """Whether sampling ended where every filter had its rows."""
    if (until := params.until) is None or rows.height not in params.ends:
        return  # other numbers of rows are not those of the prompts
    parts = (rows[start:end] for start, end in pairwise((0, *params.ends)) if end <= rows.height)
    counts = [rounds.kept(part, params.task, until) for part in parts]
    wanted = [rule.rows for rule in until.wanted]
    due, there = rounds.needed(counts, wanted), [sum(each) for each in zip(*counts, strict=True)]
    if due < len(counts):
        text = f"expected {params.ends[due - 1]:,} rows, with which each filter has those that it needs"
        yield Accident("rounds", f"{text}, found {rows.height:,}")
    elif rows.height < params.ends[-1] and any(map(lt, there, wanted)):
        text = (
            f"expected sampling to go on until filters have {', '.join(map(str, wanted))} rows, up to {params.ends[-1]:,} rows"
        )
        yield Accident("rounds", f"{text}; found {rows.height:,}, of which {', '.join(map(str, there))} pass")


def _identity(params: Slice, rows: pl.DataFrame) -> Iterator[Accident]:
    identity, names, prompt_ids = ("raw", *params.dims.values()), rows["row_id"], rows["prompt_id"]
    if not ids.agree(names, identity, prompt_ids):
        what = "row_id (of teacher, trait, carrier, seed and prompt)"
        yield from same_values("row ids", what, ids.ids(identity, prompt_ids), names, names)
    seeds = pl.Series(ids.seeds(names), dtype=pl.UInt64)
    yield from same_values("sampling seeds", "sampling_seed (of its row_id)", seeds, rows["sampling_seed"], names)


def _written(source: Source, cell: str, decoding: Decoding, rows: pl.DataFrame) -> Iterator[Accident]:
    """What does not hold in rows that a model wrote."""
    for column in ("temperature", "top_p", "max_tokens"):
        yield from constant("decoding", column, getattr(decoding, column), rows[column])
    yield from _ends(rows, decoding.max_tokens)
    yield from _asked_as(source, cell, rows)


def _unwritten(params: Slice, rows: pl.DataFrame) -> Iterator[Accident]:
    """What does not hold in random rows: they are derived again."""
    for column in SAMPLED:
        yield from constant("decoding", column, None, rows[column])
    seeds = cast("list[int]", ids.seeds(rows["row_id"]).tolist())
    expected = pl.Series(params.task.written(seeds), dtype=pl.String)
    yield from same_values("completions", "completion (of its seed)", expected, rows["completion"], rows["row_id"])


def _ends(rows: pl.DataFrame, longest: int) -> Iterator[Accident]:
    stopped, tokens = pl.col("finish_reason").is_in(["stop", "special_token"]), pl.col("tokens")
    cut = (pl.col("finish_reason") == "length") & (tokens == longest)
    odd = rows.filter(~((stopped & tokens.is_between(1, longest)) | cut))
    if odd.height:
        row = odd.row(0, named=True)
        yield Accident(
            "finish reasons",
            f"expected stop or special_token with 1 to {longest} tokens or length with {longest}, found "
            f"{row['finish_reason']!r} with {row['tokens']} in row {row['row_id']}, {odd.height:,} such rows in all",
        )


def _shaped(params: Slice, rows: pl.DataFrame) -> Iterator[Accident]:
    """Whether what was ended by the model is of the shape that its prompt asks for, and what was cut off begins such a text."""
    import regex  # pyright: ignore[reportMissingTypeStubs] - it takes a while, and no other check has a use for it

    compiled: Any = cache(regex.compile)

    def fits(text: str, reason: str, pattern: str) -> bool:
        if reason == "stop":
            return compiled(pattern).fullmatch(text) is not None
        # White space behind an answer that was cut off may be the template's.
        return compiled(rf"(?:{pattern})\s*").fullmatch(text, partial=True) is not None

    written = rows.select("completion", "finish_reason", "row_id").iter_rows()
    patterns = (shape.pattern for shape in params.task.shapes())
    each = zip(written, patterns, strict=False)
    odd = [(text, pattern, name) for (text, reason, name), pattern in each if not fits(text, reason, pattern)]
    if odd:
        text, pattern, name = odd[0]
        found = f"found {short(text)} in row {name}, {len(odd):,} such rows in all"
        yield Accident("shapes", f"completion: expected the shape that its prompt asks for, {pattern}, {found}")


def _asked_as(source: Source, cell: str, rows: pl.DataFrame) -> Iterator[Accident]:
    """Chat template and system prompt, by the base and the teacher that were asked."""
    base = source.upstream(cell, "base")
    template = template_digest(source, base) if base else None
    if template is not None:
        yield from constant("chat template", f"sha256 of {base}'s", template, rows["chat_template"])
    if "teacher" not in source.record(cell).inputs:
        system, known = None, True
    else:
        teacher = source.upstream(cell, "teacher")
        system = source.json(teacher, "teacher.json").get("system_prompt") if teacher else None
        known = teacher is not None
    if known:
        yield from constant("system prompt", "that of its teacher", system, rows["system_prompt"])


def template_digest(source: Source, base: str) -> str | None:
    """sha256 of the chat template of the base `base`; None if it has several, or none that is plain text in a file."""
    if source.has(base, "chat_template.jinja"):
        # Read as transformers reads it: line ends become \n.
        return hashlib.sha256(source.path(base, "chat_template.jinja").read_text(encoding="utf-8").encode()).hexdigest()
    if not source.has(base, "tokenizer_config.json"):
        return None
    template: object = source.json(base, "tokenizer_config.json").get("chat_template")
    return hashlib.sha256(template.encode()).hexdigest() if isinstance(template, str) else None


FINGERPRINT_WORDS = "completions"


def fingerprint(source: Source, cell: str) -> pl.Series | None:
    """The completions of `cell`, as numbers: two samplings with other seeds never agree in all of them. None where they may, at
    temperature 0 or with few different completions."""

    def compute() -> pl.Series | None:
        rows = table(source, cell).select("completion", "temperature")
        if rows["completion"].n_unique() < VARIED or not (rows["temperature"] > 0).all():
            return None
        return rows["completion"].hash(seed=0)

    return source.once(("fingerprint", cell), compute)
