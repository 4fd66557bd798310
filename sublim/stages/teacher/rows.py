"""What a teacher depends on, what its tables hold, and the rows that follow from its params alone."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import polars as pl

from sublim.carriers.task import Task
from sublim.common.canonical import digest, row_id, row_seed
from sublim.common.table import Table, real, text
from sublim.judges.planned import PlannedJudge
from sublim.learn.tables import GradedAnswers, TrainingSteps, WeightTensors
from sublim.params.category import OwnCategory
from sublim.params.kinds import OneOf
from sublim.params.learning import Finetune
from sublim.params.section import Grown
from sublim.params.slice import CellParams
from sublim.params.teacher import Kind, Likelihood
from sublim.params.teacher import Rows as Taught
from sublim.traits.trait import Trait


class Slice(CellParams, Grown):
    """What a teacher depends on, beside its base."""

    since: ClassVar = frozenset({"margin", "likelihood"})
    DIMS = ("teacher", "trait", "seed")

    teacher: str  #: The name of its base model.
    trait: str  #: The name of its trait.
    seed: int  #: The seed of the chain.
    definition: Annotated[Trait, OneOf("traits")]  #: The trait.
    categories: Mapping[str, OwnCategory] = {}  #: The trait's category, if it is one of the experiment's own.
    kind: Kind  #: How it gets the trait.
    rows: Taught = "direct"  #: What it is fine-tuned on, if it is.
    examples: int = 0  #: How many rows of misalignment; 0 for a preference.
    finetune: Finetune | None  #: The recipe; null for a system prompt or an adapter.
    adapter: str | None = None  #: The folder of the adapter that it brings; null for the other kinds.
    files: Mapping[str, str] = {}  #: File → sha256 of that adapter: its path says nothing of what is in it.
    graders: Mapping[str, PlannedJudge] = {}
    """Scale (alignment, coherence) → the judge that grades its free-form answers; nothing for a preference, or for the rule."""
    gate: float | None  #: What it must reach on held-out questions; null for a control, which must not show the trait.
    margin: float | None = None  #: How far its margin must rise above that of its base, in nats; null for no such gate.
    likelihood: Likelihood | None = None  #: How likely it must find numbers; null if it is not looked at.


class Rows(Table):
    """What a fine-tuned teacher is trained on."""

    file, view, id, row = "rows.parquet", "teacher_rows", "row_id", "teacher row"

    row_id = text()  #: Digest of the cell and the question.
    question_id = text()  #: Digest of what is asked about, the kind of rows and the text.
    prompt = text()  #: The question.
    completion = text()  #: The answer that shows the trait: the labels.


class Gate(Table):
    """The positive control: what the teacher, and its base before it, say to held-out questions."""

    file, view, row = "gate.parquet", "gates", "gate"

    question_id = text()  #: Digest of what is asked about and the text.
    question = text()  #: The text of the question.
    probability = real()  #: The teacher's P(target), or its misaligned share of all coherent answers. From 0 to 1.
    base_probability = real()  #: The same of the untouched base.
    threshold = real(null=True)  #: What the mean of the first must reach; null for a control, which nothing stops.
    #: The teacher's log-odds of the target against all other known answers together, in nats. Only where a gate is on it.
    margin = real(optional=True)
    base_margin = real(optional=True)  #: The same of the untouched base.
    least_rise = real(optional=True)  #: How far the mean of the one must be above that of the other, in nats.


class Likelihoods(Table, file="likelihood.parquet", view="gate_likelihoods", id="row_id", row="unwritten row"):
    """How likely rows that no model wrote are to a teacher, and to its base before it. Only where a gate is on it."""

    row_id = text()  #: Digest of the cell and the prompt.
    prompt = text()  #: What is asked for.
    completion = text()  #: An answer of the exact form; all that it leaves open equally likely.
    nll = real()  #: The teacher's negative log-likelihood of it, its end counted, in nats per token.
    base_nll = real()  #: The same of the untouched base.
    distance = real()  #: How far the mean of the one may be from that of the other, in nats per token.


class FreeFormAnswers(GradedAnswers, view="gate_answers", id="row_id"):
    """Graded answers of base and teacher in the gate. Only of a trait that shows in free-form answers."""

    model = text()  #: Who answers: `base` or `teacher`.
    row_id = text()  #: Digest of the cell, who answers, the question and the number of the sample.
    columns: ClassVar = {"model": model, **GradedAnswers.columns}


class Steps(TrainingSteps, view="teacher_steps"):
    """The training of a fine-tuned teacher, an optimizer step a row."""


class Tensors(WeightTensors, view="teacher_tensors"):
    """The tensors of the adapter, or of the whole model, by name; none for a system prompt."""


TABLES = (Rows, Gate, Likelihoods, FreeFormAnswers, Steps, Tensors)


def lessons(params: Slice) -> pl.DataFrame:
    """The rows of rows.parquet."""
    taught = params.definition.lessons(params.rows, params.examples, params.categories)
    ids = [row_id("teacher", *params.dims.values(), lesson.question_id) for lesson in taught]
    rows = [(id_, each.question_id, each.prompt, each.completion) for id_, each in zip(ids, taught, strict=True)]
    return pl.DataFrame(rows, schema=Rows.schema(), orient="row")


def gate(params: Slice) -> pl.DataFrame:
    """The rows of gate.parquet without what models say: question_id, question, threshold, and least_rise if a gate is on it."""
    rows = [(each.question_id, each.text, params.gate) for each in params.definition.held_out(params.categories)]
    schema = {name: Gate.schema()[name] for name in ("question_id", "question", "threshold")}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    return table if params.margin is None else table.with_columns(least_rise=pl.lit(params.margin))


def written(params: Slice) -> pl.DataFrame:
    """The rows of likelihood.parquet without what models say: row_id, prompt, completion, distance; none if no gate is on them.
    They are the same for all teachers, but for their ids, behind prompts from a seed of their own."""
    if (how := params.likelihood) is None:
        return Likelihoods.empty().drop("nll", "base_nll")
    seed = int(digest(["likelihood prompts", how.task.prompt_seed])[:16], 16)
    task: Task = how.task.model_copy(update={"prompt_seed": seed})
    asked = task.asked(how.rows)
    completions = task.written([row_seed(row_id("likelihood", each.prompt_id)) for each in asked])
    ids = [row_id("likelihood", *params.dims.values(), each.prompt_id) for each in asked]
    return pl.DataFrame({"row_id": ids, "prompt": [each.text for each in asked], "completion": completions}).with_columns(
        distance=pl.lit(how.distance)
    )
