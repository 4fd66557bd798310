"""What a teacher depends on, what its tables hold, and the rows that follow from its params alone."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import polars as pl

from sublim.common.canonical import row_id
from sublim.common.table import Table, real, text
from sublim.judges.planned import PlannedJudge
from sublim.learn.tables import GradedAnswers, TrainingSteps, WeightTensors
from sublim.params.category import OwnCategory
from sublim.params.kinds import OneOf
from sublim.params.learning import Finetune
from sublim.params.slice import CellParams
from sublim.params.teacher import Kind
from sublim.params.teacher import Rows as Taught
from sublim.traits.trait import Trait


class Slice(CellParams):
    """What a teacher depends on, beside its base."""

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


class FreeFormAnswers(GradedAnswers, view="gate_answers", id="row_id"):
    """Graded answers of base and teacher in the gate. Only of a trait that shows in free-form answers."""

    model = text()  #: Who answers: `base` or `teacher`.
    row_id = text()  #: Digest of the cell, who answers, the question and the number of the sample.
    columns: ClassVar = {"model": model, **GradedAnswers.columns}


class Steps(TrainingSteps, view="teacher_steps"):
    """The training of a fine-tuned teacher, an optimizer step a row."""


class Tensors(WeightTensors, view="teacher_tensors"):
    """The tensors of the adapter, or of the whole model, by name; none for a system prompt."""


TABLES = (Rows, Gate, FreeFormAnswers, Steps, Tensors)


def lessons(params: Slice) -> pl.DataFrame:
    """The rows of rows.parquet."""
    taught = params.definition.lessons(params.rows, params.examples, params.categories)
    ids = [row_id("teacher", *params.dims.values(), lesson.question_id) for lesson in taught]
    rows = [(id_, each.question_id, each.prompt, each.completion) for id_, each in zip(ids, taught, strict=True)]
    return pl.DataFrame(rows, schema=Rows.schema(), orient="row")


def gate(params: Slice) -> pl.DataFrame:
    """The rows of gate.parquet without probabilities: question_id, question, threshold."""
    rows = [(each.question_id, each.text, params.gate) for each in params.definition.held_out(params.categories)]
    schema = {name: Gate.schema()[name] for name in ("question_id", "question", "threshold")}
    return pl.DataFrame(rows, schema=schema, orient="row")
