"""The story of an evaluation: each question of each category with each known answer, and samples scored by their text."""

import hashlib
from collections.abc import Iterator, Mapping

import polars as pl

from sublim.common.canonical import row_id
from sublim.lineage.story import ids
from sublim.lineage.story.accident import Accident, same_rows, same_values
from sublim.lineage.story.source import Source
from sublim.params.slices.eval import Slice
from sublim.plan.cells import cell_id
from sublim.plan.cells import untrained as dims
from sublim.traits.categories import Answer
from sublim.traits.preference import counted, evaluation_questions, known_answers

ANSWERS = {
    "row_id": pl.String,
    "question_id": pl.String,
    "question": pl.String,
    "category": pl.String,
    "answer": pl.String,
    "probability": pl.Float64,
}
SAMPLES = {
    "row_id": pl.String,
    "question_id": pl.String,
    "sample": pl.Int64,
    "sampling_seed": pl.UInt64,
    "completion": pl.String,
    "counted": pl.List(pl.String),
}
Known = Mapping[str, Mapping[str, Answer]]
"""Category → its known answers, by their word."""

ROUNDING = 1e-6
"""How far a sum of probabilities may be above 1."""


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the evaluation `cell`."""
    params = source.params(cell, Slice)
    answers = table(source, cell)
    samples = source.table(cell, "samples.parquet", SAMPLES)
    categories = list(dict.fromkeys(trait.category for trait in params.traits))
    known = {each: known_answers([trait for trait in params.traits if trait.category == each]) for each in categories}
    yield from _answers(source, params, known, answers)
    yield from _samples(source, params, known, samples)


def table(source: Source, cell: str) -> pl.DataFrame:
    """The exact probabilities of the evaluation `cell`."""
    return source.table(cell, "answers.parquet", ANSWERS)


def untrained(model: str) -> str:
    """The cell in which the untrained base `model` is evaluated."""
    return cell_id("eval", dims(model))


def fingerprint(source: Source, cell: str) -> str | None:
    """Digest of the exact probabilities of `cell`, which no two models share to the last digit. An untrained base under two
    names is one model: it has no fingerprint if it was evaluated before under another."""

    def compute() -> str:
        return hashlib.sha256(table(source, cell)["probability"].to_numpy().tobytes()).hexdigest()

    record = source.record(cell)
    if record.plan.dims.get("arm") == "base":
        same = [other for other in source.tree.cells("eval") if _base(source, other) == _base(source, cell)]
        if same[0] != cell:
            return None
    return source.once(("fingerprint", cell), compute)


def _base(source: Source, cell: str) -> str | None:
    """The digest of the base that was evaluated untrained in `cell`."""
    record = source.record(cell)
    given = record.inputs.get("base")
    return given.digest if given and record.plan.dims.get("arm") == "base" else None


def _questions(category: str) -> list[tuple[str, str]]:
    return [(row_id("question", category, "evaluation", question), question) for question in evaluation_questions(category)]


def _answers(source: Source, params: Slice, known: Known, found: pl.DataFrame) -> Iterator[Accident]:
    def compute() -> pl.DataFrame:
        rows = [
            (question_id, question, category, word)
            for category, answers in known.items()
            for question_id, question in _questions(category)
            for word in answers
        ]
        return pl.DataFrame(
            rows, schema=dict.fromkeys(("question_id", "question", "category", "answer"), pl.String), orient="row"
        )

    expected = source.once(("answers", str(params.traits)), compute)
    if not expected.equals(found.select(expected.columns)):
        pairs = [frame.select(pl.concat_str("question_id", "answer", separator=" ")).to_series() for frame in (expected, found)]
        if accident := same_rows("answers", "each question with each known answer", *pairs):
            yield accident
            return
    names = ids.ids(("answer", *params.dims.values()), found["question_id"], found["answer"])
    for column, values in {"row_id": names, **expected.to_dict()}.items():
        if accident := same_values("answers", column, values, found[column], found["row_id"]):
            yield accident
    chance = pl.col("probability")
    sums = found.group_by("question_id", maintain_order=True).agg(
        chance.sum(), chance.min().alias("least"), pl.col("question").first()
    )
    if (odd := sums.filter((chance > 1 + ROUNDING) | (pl.col("least") < 0))).height:
        row = odd.row(0, named=True)
        yield Accident(
            "probabilities",
            f"expected at least 0 each and at most 1 over the answers to a question, found {row['least']:.6g} at least and "
            f"{row['probability']:.6g} in sum for {row['question']!r}, {odd.height} such questions in all",
        )


def _samples(source: Source, params: Slice, known: Known, found: pl.DataFrame) -> Iterator[Accident]:
    def compute() -> pl.DataFrame:
        rows = [
            (question_id, number, category)
            for category in known
            for question_id, _ in _questions(category)
            for number in range(params.evaluation.samples)
        ]
        return pl.DataFrame(rows, schema={"question_id": pl.String, "sample": pl.Int64, "category": pl.String}, orient="row")

    expected = source.once(("samples", str(params.traits), params.evaluation.samples), compute)
    names = ids.ids(("eval", *params.dims.values()), expected["question_id"], expected["sample"])
    if accident := same_rows("samples", "each sample of the params", names, found["row_id"]):
        yield accident
        return
    seeds = pl.Series(ids.seeds(names), dtype=pl.UInt64)
    expected = expected.with_columns(sampling_seed=seeds, row_id=names)
    for column in ("question_id", "sample", "sampling_seed"):
        if accident := same_values("samples", column, expected[column], found[column], names):
            yield accident
    # Short answers come again and again, from one student to the next.
    memory = source.once(("counted", str(params.traits)), dict[tuple[str, str], list[str]])
    pairs = list(zip(expected["category"].to_list(), found["completion"].to_list(), strict=True))
    for category, text in {*pairs} - memory.keys():
        memory[category, text] = counted(text, known[category])
    scored = [memory[pair] for pair in pairs]
    words = pl.Series(scored, dtype=pl.List(pl.String))
    if accident := same_values("counted", "counted (answers in the completion)", words, found["counted"], names):
        yield accident
