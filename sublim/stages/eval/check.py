"""The story of an evaluation: each question of each measure with each known answer, samples and tasks scored by their text, and
capability as texts and tasks give it."""

from collections.abc import Iterator

import polars as pl

from sublim.common import ids
from sublim.evidence import freeform
from sublim.evidence.accident import Accident, same_columns, same_rows, same_values
from sublim.evidence.source import Source
from sublim.learn.tables import TrainingSteps
from sublim.measures import ability
from sublim.measures.texts import held_out
from sublim.stages.base.spec import weights_of
from sublim.stages.eval import rows
from sublim.stages.eval.rows import Answers, Capability, FreeFormAnswers, Probes, Samples, Slice, Tasks, Texts
from sublim.stages.eval.spec import STAGE
from sublim.traits.freeform import as_samples, by_question
from sublim.traits.preference import counted

ROUNDING = 1e-6  #: How far a sum of probabilities may be above 1.


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the evaluation `cell`."""
    params = source.params(cell, Slice)
    answers, samples = source.table(cell, Answers), source.table(cell, Samples)
    yield from _answers(source, params, answers)
    graded = Samples.empty()
    if (trait := rows.free_form_of(params)) is not None:
        found = source.table(cell, FreeFormAnswers)
        yield from freeform.check(trait, params.graders, ("eval", *params.dims.values()), found)
        graded = as_samples(found)
        category, _ = trait.scored_as
        own, shares = answers.filter(pl.col("category") == category), by_question(found)["probability"]
        what = "probability (of freeform.parquet)"
        if len(own) == len(shares):
            yield from same_values("answers", what, shares, own["probability"], own["row_id"])
    yield from _samples(source, params, graded, samples)
    yield from _chances(source, params, answers, samples)
    yield from _capability(source, cell, params)
    if params.probes:
        yield from _probes(source, cell, params, answers)


FINGERPRINT_WORDS = "probabilities"


def fingerprint(source: Source, cell: str) -> pl.Series | None:
    """The probabilities of `cell` to nine digits, which no two models share. An untrained base under two names is one model: it
    has no fingerprint if it was evaluated before under another."""

    def compute() -> pl.Series:
        return source.table(cell, Answers)["probability"].round_sig_figs(9)

    if (base := _untrained(source, cell)) is not None:
        same = [other for other in source.tree.cells(STAGE.name) if _untrained(source, other) == base]
        if same[0] != cell:
            return None
    return source.once(("fingerprint", cell), compute)


def _untrained(source: Source, cell: str) -> str | None:
    """The digest of the weights of the base that was evaluated untrained in `cell`; None for a student."""
    inputs = source.record(cell).inputs
    if "base" not in inputs or "student" in inputs:
        return None
    base = source.tree.records.get(inputs["base"].cell)
    return weights_of(base) if base else inputs["base"].digest


def _asked(params: Slice) -> tuple[object, ...]:
    """What the questions follow from: the same for most evaluations."""
    return str(params.traits), str(params.categories), params.evaluation.measures, params.pretraining is not None


def _answers(source: Source, params: Slice, found: pl.DataFrame) -> Iterator[Accident]:
    expected = source.once(("answers", *_asked(params)), lambda: rows.answers(params))
    if not expected.equals(found.select(expected.columns)):
        pairs = [frame.select(pl.concat_str("question_id", "answer", separator=" ")).to_series() for frame in (expected, found)]
        if wrong := same_rows("answers", "each question with each known answer", *pairs):
            yield from wrong
            return
    for column, values in {"row_id": rows.answer_ids(params, found), **expected.to_dict()}.items():
        yield from same_values("answers", column, values, found[column], found["row_id"])


def _samples(source: Source, params: Slice, graded: pl.DataFrame, found: pl.DataFrame) -> Iterator[Accident]:
    """`graded`: the free-form answers, which stand at the end."""
    key = ("samples", str(params.traits), str(params.categories), str(params.evaluation))
    expected = source.once(key, lambda: rows.samples(params))
    names = rows.sample_ids(params, expected)
    if wrong := same_rows("samples", "each sample of the params", names, found["row_id"]):
        yield from wrong
        return
    expected = expected.with_columns(sampling_seed=pl.Series(ids.seeds(names), dtype=pl.UInt64))
    yield from same_columns("samples", ("question_id", "sample", "sampling_seed"), expected, found, names)
    # Short answers come again and again, from one student to the next.
    memory = source.once(("counted", str(params.traits), str(params.categories)), dict[tuple[str, str], list[str]])
    pairs, known = list(zip(expected["category"], found["completion"], strict=True)), rows.scope(params).known
    for category, text in {*pairs} - memory.keys():
        memory[category, text] = counted(text, known.get(category, {}))
    copied = found.tail(graded.height)
    if copied["row_id"].equals(graded["row_id"]):
        given, what = graded["completion"], "completion (of freeform.parquet)"
        yield from same_values("samples", what, given, copied["completion"], copied["row_id"])
    scores: dict[str, list[str]] = dict(graded.select("row_id", "counted").iter_rows())
    scored = [scores.get(name, memory[pair]) for name, pair in zip(names, pairs, strict=True)]
    words = pl.Series(scored, dtype=pl.List(pl.String))
    yield from same_values("counted", "counted (answers in the completion)", words, found["counted"], names)


def _chances(source: Source, params: Slice, found: pl.DataFrame, samples: pl.DataFrame) -> Iterator[Accident]:
    """Probabilities that follow from the samples do; others are a distribution over the answers to a question."""
    follow: dict[str, tuple[str, list[float]]] = {}
    for measure, group in source.once(("groups", *_asked(params)), lambda: list(rows.groups(params))):
        if (chances := measure.follows(group, samples)) is not None:
            _, before = follow.setdefault(measure.name, (measure.explained, []))
            before += [chance for row in chances for chance in row.values()]
    yield from _shared_out("probabilities", found.filter(~pl.col("measure").is_in(list(follow))), "question_id", "question")
    for name, (words, chances) in follow.items():
        own, expected = found.filter(pl.col("measure") == name), pl.Series(chances, dtype=pl.Float64)
        found_, what = own["probability"], f"probability ({words})"
        if len(own) == len(expected):
            yield from same_values("answers", what, expected, found_, own["row_id"])


def _shared_out(kind: str, found: pl.DataFrame, *question: str) -> Iterator[Accident]:
    """Probabilities of the answers to a question are shares of one. `question`: the columns that tell it from others; the last
    one is told."""
    chance = pl.col("probability")
    asked = found.group_by(question, maintain_order=True).agg(chance.sum(), chance.min().alias("least"))
    if (odd := asked.filter((chance > 1 + ROUNDING) | (pl.col("least") < 0))).height:
        row = odd.row(0, named=True)
        yield Accident(
            kind,
            f"expected at least 0 each and at most 1 over the answers to a question, found {row['least']:.6g} at least and "
            f"{row['probability']:.6g} in sum for {row[question[-1]]!r}, {odd.height} such questions in all",
        )


def _probes(source: Source, cell: str, params: Slice, answers: pl.DataFrame) -> Iterator[Accident]:
    """Each known answer to each question after so many updates; after the last of all, as the student answers now."""
    found, expected = source.table(cell, Probes), rows.probes(params)
    if not expected.equals(found.select(expected.columns)):
        key = pl.concat_str("step", "measure", "question_id", "answer", separator=" ")
        names = [each.select(key).to_series() for each in (expected, found)]
        wrong = same_rows("probes", "each question with each known answer after each of the updates of the params", *names)
        yield from wrong or same_columns("probes", ("category",), expected, found, names[1])
        return
    asked = pl.format("{} after {} updates", "question_id", "step").alias("asked")
    yield from _shared_out("probes", found.with_columns(asked), "measure", "asked")
    student = source.upstream(cell, "student")
    if student is None or not source.has(student, TrainingSteps.file):
        return
    last, steps = params.probes[-1], source.table(student, TrainingSteps).height
    if last > steps:
        yield Accident("probes", f"expected no more updates than {student} had, {steps}, found {last}")
    elif last == steps:
        keys = ["measure", "question_id", "category", "answer"]
        joined = found.filter(step=last).join(answers, on=keys, how="left", suffix="_now", maintain_order="left")
        differ = ((joined["probability"] - joined["probability_now"]).abs() > ROUNDING).fill_null(value=True)
        if differ.any():
            row = joined.filter(differ).row(0, named=True)
            said = f"expected what the student answers now, {row['probability_now']}, found {row['probability']:.6g}"
            yield Accident("probes", f"after {last} updates, its last: {said} for {row['answer']} in {row['question_id']}")


def _capability(source: Source, cell: str, params: Slice) -> Iterator[Accident]:
    """Texts and tasks are those of the params, each task is judged by its completion, and capability is what both give."""
    asked = params.evaluation.capability
    texts, tasks = source.table(cell, Texts), source.table(cell, Tasks)
    key = ("texts", str(params.pretraining), asked.texts)
    kinds = source.once(key, lambda: [text.kind for text in held_out(asked.texts, params.pretraining)])
    if texts["kind"].to_list() != kinds or not ((texts["tokens"] > 0) & (texts["bits"] >= 0)).all():
        held = f"the {len(kinds)} held-out texts of the params, with bits of at least 0"
        yield Accident("texts", f"expected {held}, found others")
    expected = pl.concat([Tasks.empty(), *(_done(source, params, name, tasks) for name in sorted(params.tasks))])
    names = [each.select(pl.concat_str("of", "prompt_id", separator=" ")).to_series() for each in (expected, tasks)]
    if wrong := same_rows("tasks", "each held-out task of the params", *names):
        yield from wrong
        return
    yield from same_columns("tasks", ("prompt", "answer", "skilled"), expected, tasks, tasks["prompt_id"])
    found = ability.table(texts, tasks)
    if found.is_empty():
        return
    given = source.table(cell, Capability)
    if wrong := same_rows("capability", "each measure of texts and tasks", found["measure"], given["measure"]):
        yield from wrong
        return
    yield from same_columns("capability", ("value", "n"), found, given, given["measure"])


def _done(source: Source, params: Slice, carrier: str, tasks: pl.DataFrame) -> pl.DataFrame:
    """The tasks of `carrier` as they should be, judged by the completions that there are."""
    task = params.tasks[carrier].task
    key = ("tasks", carrier, task.model_dump_json(), params.evaluation.capability.tasks)
    asked = source.once(key, lambda: rows.tasks(params, carrier))
    done = asked.join(tasks.select("of", "prompt_id", "completion"), on=["of", "prompt_id"], how="left", maintain_order="left")
    filled = done.with_columns(pl.col("completion").fill_null(""))
    return filled.with_columns(task.skilled(filled["completion"], filled["answer"]).alias("skilled")).select(*Tasks.columns)
