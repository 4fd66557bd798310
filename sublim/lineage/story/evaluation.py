"""The story of an evaluation: each question of each measure with each known answer, samples and tasks scored by their text, and
capability as texts and tasks give it."""

import hashlib
from collections.abc import Iterator, Mapping

import polars as pl

from sublim.carriers import carrier as carriers
from sublim.lineage.story import freeform, ids
from sublim.lineage.story.accident import Accident, same_rows, same_values
from sublim.lineage.story.source import Source
from sublim.measure import ability
from sublim.measure.texts import held_out
from sublim.params.evaluation import Preferred
from sublim.params.slices.eval import Slice
from sublim.params.traits import Preference
from sublim.plan.cells import cell_id
from sublim.plan.cells import untrained as dims
from sublim.traits import truthfulness
from sublim.traits.asked import SAMPLES, named, preferences
from sublim.traits.categories import Answer
from sublim.traits.freeform import as_samples, by_question
from sublim.traits.misalignment import MISALIGNED, MISALIGNMENT, misalignment_of
from sublim.traits.preference import counted, known_answers
from sublim.traits.trait import held_out as open_questions

ANSWERS = {
    "row_id": pl.String,
    "measure": pl.String,
    "question_id": pl.String,
    "question": pl.String,
    "category": pl.String,
    "answer": pl.String,
    "probability": pl.Float64,
}
TEXTS = {"kind": pl.String, "tokens": pl.Int64, "bits": pl.Float64}
TASKS = dict.fromkeys(("of", "prompt_id", "prompt", "answer", "completion"), pl.String) | {"skilled": pl.Boolean}
Known = Mapping[str, Mapping[str, Answer]]
"""Category → its known answers, by their word."""

ROUNDING = 1e-6
"""How far a sum of probabilities may be above 1."""


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the evaluation `cell`."""
    params = source.params(cell, Slice)
    answers = table(source, cell)
    samples = source.table(cell, "samples.parquet", SAMPLES)
    preferred = [trait for trait in params.traits if isinstance(trait, Preference)]
    known = {
        name: known_answers([trait for trait in preferred if trait.category == name], params.categories)
        for name in dict.fromkeys(trait.category for trait in preferred)
    }
    yield from _answers(source, params, known, answers)
    open_answers = pl.DataFrame(schema=SAMPLES)
    if (trait := misalignment_of(params.traits)) is not None:
        found = source.table(cell, "freeform.parquet", freeform.COLUMNS, nullable=freeform.NULLABLE)
        yield from freeform.check(trait, params.graders, ("eval", *params.dims.values()), found)
        open_answers = as_samples(found)
        own, shares = answers.filter(pl.col("category") == MISALIGNMENT), by_question(found)["probability"]
        what = "probability (of freeform.parquet)"
        if len(own) == len(shares) and (accident := same_values("answers", what, shares, own["probability"], own["row_id"])):
            yield accident
    yield from _samples(source, params, known, open_answers, samples)
    yield from _stories(params, known, answers, samples)
    yield from _capability(source, cell, params)


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


def _asked(params: Slice, known: Known) -> Iterator[tuple[str, str, str, str, str]]:
    """measure, question_id, question, category, answer of every row; of misalignment, last, that it is misaligned."""
    for measure in params.evaluation.measures:
        if measure == "truthfulness":
            for fact in truthfulness.of_the_corpus() if params.pretraining else truthfulness.FACTS:
                for answer in (truthfulness.TRUE, truthfulness.FALSE):
                    yield measure, truthfulness.question_id(fact), fact.question, truthfulness.CATEGORY, answer
        else:
            for category, answers in known.items():
                for each in preferences(measure, category, answers, params.categories):
                    for word in each.forms:
                        yield measure, each.question_id, each.text, category, word
    if (trait := misalignment_of(params.traits)) is not None:
        for question in open_questions(trait):
            yield "preference", question.question_id, question.text, MISALIGNMENT, MISALIGNED


def _answers(source: Source, params: Slice, known: Known, found: pl.DataFrame) -> Iterator[Accident]:
    def compute() -> pl.DataFrame:
        columns = ("measure", "question_id", "question", "category", "answer")
        return pl.DataFrame(list(_asked(params, known)), schema=dict.fromkeys(columns, pl.String), orient="row")

    tiny = params.pretraining is not None
    expected = source.once(("answers", str(params.traits), str(params.categories), params.evaluation.measures, tiny), compute)
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
    # A story may name several answers.
    sums = (
        found.filter(pl.col("measure") != "stories")
        .group_by("question_id", maintain_order=True)
        .agg(chance.sum(), chance.min().alias("least"), pl.col("question").first())
    )
    if (odd := sums.filter((chance > 1 + ROUNDING) | (pl.col("least") < 0))).height:
        row = odd.row(0, named=True)
        yield Accident(
            "probabilities",
            f"expected at least 0 each and at most 1 over the answers to a question, found {row['least']:.6g} at least and "
            f"{row['probability']:.6g} in sum for {row['question']!r}, {odd.height} such questions in all",
        )


def _samples(
    source: Source, params: Slice, known: Known, open_answers: pl.DataFrame, found: pl.DataFrame
) -> Iterator[Accident]:
    def compute() -> pl.DataFrame:
        drawn: list[tuple[Preferred, int]] = [("preference", params.evaluation.samples)]
        if "stories" in params.evaluation.measures:
            drawn.append(("stories", params.evaluation.stories.samples))
        rows = [
            (each.question_id, number, category)
            for measure, samples in drawn
            for category, answers in known.items()
            for each in preferences(measure, category, answers, params.categories)
            for number in range(samples)
        ]
        if (trait := misalignment_of(params.traits)) is not None:
            asked = open_questions(trait)
            rows += [(each.question_id, number, MISALIGNMENT) for each in asked for number in range(trait.samples)]
        return pl.DataFrame(rows, schema={"question_id": pl.String, "sample": pl.Int64, "category": pl.String}, orient="row")

    expected = source.once(("samples", str(params.traits), str(params.categories), str(params.evaluation)), compute)
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
    memory = source.once(("counted", str(params.traits), str(params.categories)), dict[tuple[str, str], list[str]])
    pairs = list(zip(expected["category"].to_list(), found["completion"].to_list(), strict=True))
    for category, text in {*pairs} - memory.keys():
        memory[category, text] = counted(text, known.get(category, {}))
    graded: dict[str, list[str]] = dict(open_answers.select("row_id", "counted").iter_rows())
    copied = found.tail(open_answers.height)
    if copied["row_id"].equals(open_answers["row_id"]):
        said, what = open_answers["completion"], "completion (of freeform.parquet)"
        if accident := same_values("samples", what, said, copied["completion"], copied["row_id"]):
            yield accident
    scored = [graded.get(name, memory[pair]) for name, pair in zip(names.to_list(), pairs, strict=True)]
    words = pl.Series(scored, dtype=pl.List(pl.String))
    if accident := same_values("counted", "counted (answers in the completion)", words, found["counted"], names):
        yield accident


def _stories(params: Slice, known: Known, found: pl.DataFrame, samples: pl.DataFrame) -> Iterator[Accident]:
    """Of stories the probability of an answer is the share of them that names it."""
    if "stories" not in params.evaluation.measures:
        return
    own = found.filter(pl.col("measure") == "stories")
    shares: list[float] = []
    for category, answers in known.items():
        questions = preferences("stories", category, answers, params.categories)
        told = samples.filter(pl.col("question_id").is_in([each.question_id for each in questions]))
        shares += named(told, questions, category)["probability"].fill_null(0).to_list()
    what = "probability (the share of stories that name it)"
    if len(own) == len(shares) and (
        accident := same_values("answers", what, pl.Series(shares, dtype=pl.Float64), own["probability"], own["row_id"])
    ):
        yield accident


def _capability(source: Source, cell: str, params: Slice) -> Iterator[Accident]:
    """Texts and tasks are those of the params, each task is judged by its completion, and capability is what both give."""
    how = params.evaluation.capability
    texts, tasks = source.table(cell, "texts.parquet", TEXTS), source.table(cell, "tasks.parquet", TASKS)
    read = str(params.pretraining)
    kinds = source.once(("texts", read, how.texts), lambda: [text.kind for text in held_out(how.texts, params.pretraining)])
    if texts["kind"].to_list() != kinds or not ((texts["tokens"] > 0) & (texts["bits"] >= 0)).all():
        yield Accident(
            "texts", f"expected the {len(kinds)} held-out texts of the params, with bits of at least 0, found others"
        )
    expected = pl.concat([tasks.clear(), *(_done(source, params, name, tasks) for name in sorted(params.tasks))])
    names = pl.concat_str("of", "prompt_id", separator=" ")
    if accident := same_rows(
        "tasks", "each held-out task of the params", *(each.select(names).to_series() for each in (expected, tasks))
    ):
        yield accident
        return
    for column in ("prompt", "answer", "skilled"):
        if accident := same_values("tasks", column, expected[column], tasks[column], tasks["prompt_id"]):
            yield accident
    found = ability.table(texts, tasks.rename({"of": "carrier"}))
    if found.is_empty():
        return
    said = source.table(cell, "capability.parquet", ability.SCHEMA)
    if accident := same_rows("capability", "each measure of texts and tasks", found["measure"], said["measure"]):
        yield accident
        return
    for column in ("value", "n"):
        if accident := same_values("capability", column, found[column], said[column], said["measure"]):
            yield accident


def _done(source: Source, params: Slice, carrier: str, tasks: pl.DataFrame) -> pl.DataFrame:
    """The tasks of `carrier` as they should be, judged by the completions that there are."""
    task, n = params.tasks[carrier].task, params.evaluation.capability.tasks

    def compute() -> pl.DataFrame:
        asked = carriers.held_out(n, task)
        columns = {"prompt_id": "prompt_id", "prompt": "text", "answer": "answer"}
        return pl.DataFrame({name: [getattr(each, field) for each in asked] for name, field in columns.items()})

    asked = source.once(("tasks", task.model_dump_json(), n), compute).with_columns(of=pl.lit(carrier))
    rows = asked.join(tasks.select("of", "prompt_id", "completion"), on=["of", "prompt_id"], how="left", maintain_order="left")
    filled = rows.with_columns(pl.col("completion").fill_null(""))
    skilled = carriers.skilled(filled["completion"], filled["answer"], task)
    return filled.with_columns(skilled.alias("skilled")).select(tasks.columns)
