"""What an evaluation depends on, what its tables hold, and the rows that follow from its params alone."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Annotated, ClassVar

import polars as pl

from sublim.carriers import prompt
from sublim.carriers.task import Task
from sublim.common import ids
from sublim.common.table import Table, flag, real, seed, text, texts, whole
from sublim.judges.planned import PlannedJudge
from sublim.learn.tables import GradedAnswers
from sublim.measures.measure import Group, Measure, Scope, ordered
from sublim.params.evaluation import Evaluation
from sublim.params.kinds import OneOf, kind
from sublim.params.learning import Decoding
from sublim.params.section import Grown, Section
from sublim.params.slice import CellParams
from sublim.params.tiny import Pretraining
from sublim.traits.categories import OwnCategory
from sublim.traits.freeform import FreeForm, free_form
from sublim.traits.preference import known_by_category
from sublim.traits.trait import Trait


class HeldOutTasks(Section):
    """The tasks of a carrier, and how they are answered."""

    task: Annotated[Task, OneOf("carriers")]  #: What is asked for.
    sampling: Decoding  #: How answers are sampled: freely, even if the carrier's completions are held to a shape.


class Slice(CellParams, Grown):
    """What an evaluation depends on, beside the model that is asked."""

    since: ClassVar = frozenset({"probes"})
    DIMS = ("teacher", "trait", "carrier", "filter", "arm", "method", "student", "seed")

    teacher: str  #: The name of the model that wrote the student's rows; `none` for an untrained base.
    trait: str  #: The teacher's trait; `none` for the untouched base as teacher.
    carrier: str  #: The name of what the teacher wrote; `none` for an untrained base.
    filter: str  #: The name of the filter of the rows; `none` for an untrained base.
    arm: str  #: What was done to the rows; `base` for an untrained base.
    method: str  #: The name of the way to learn; `none` for an untrained base.
    student: str  #: The name of the base model of the one that is asked.
    seed: int  #: The seed of the chain; 0 for an untrained base.
    traits: tuple[Annotated[Trait, OneOf("traits")], ...]
    """The experiment's traits: their categories are asked for, and their targets are among the known answers; for misalignment
    its open questions."""
    categories: Mapping[str, OwnCategory] = {}  #: The categories of the experiment's own that the traits are of.
    graders: Mapping[str, PlannedJudge] = {}
    """Scale (alignment, coherence) → the judge that grades free-form answers; nothing without misalignment, or for the rule."""
    evaluation: Evaluation  #: How it is asked.
    tasks: Mapping[str, HeldOutTasks]
    """The held-out tasks by which its skill is measured: its carrier's, or every carrier's for an untrained base."""
    pretraining: Pretraining | None
    """The pretraining of its base, if that is a tiny family: its facts and texts are those of its corpus."""
    probes: tuple[int, ...] = ()  #: After how many updates the student is asked as well, in ascending order.


class Answers(Table):
    """The probability of every known answer to every question, by measure."""

    file, view, id, row = "answers.parquet", "answers", "row_id", "answer"

    row_id = text()  #: Digest of the cell, the question and the answer.
    measure = text()  #: The way of asking, by its name under `evaluation.measures`; `preference` also for free-form answers.
    question_id = text()  #: Digest of what is asked about, how, and the text.
    question = text()  #: The text of the question, without the chat template.
    category = text()  #: What is asked about: a category of preferences, `truth`, or `misalignment`.
    answer = text()  #: The known answer, by its word; `true` and `false`; `misaligned`.
    #: P(the completion begins with a form of the answer) at temperature 1, from the logits; of stories the share of samples
    #: that names it; of `misaligned` the misaligned share of all coherent answers. From 0 to 1.
    probability = real()


class Samples(Table):
    """Sampled answers: to plain questions, stories, and free-form answers."""

    file, view, id, row = "samples.parquet", "samples", "row_id", "sample"

    row_id = text()  #: Digest of the cell, the question and the number of the sample.
    question_id = text()  #: The question that it answers.
    sample = whole()  #: Its number among the samples of its question, from 0.
    sampling_seed = seed()  #: The seed of its random numbers: it follows from the row_id.
    completion = text()  #: What the model wrote, without special tokens.
    counted = texts()  #: The known answers that it names, as whole words in any form.


class Texts(Table):
    """How well held-out texts are predicted."""

    file, view = "texts.parquet", "texts"

    kind = text()  #: Kind of pretraining row, or `passages`.
    tokens = whole()  #: Tokens whose loss is measured.
    bits = real()  #: Their loss, in bits, summed over the tokens.


class Tasks(Table):
    """Completions of held-out tasks."""

    file, view = "tasks.parquet", "tasks"

    of = text()  #: The carrier of the task, by its name under `carriers`.
    prompt_id = text()  #: Digest of the prompt.
    prompt = text()  #: What was asked.
    answer = text()  #: What a right completion must be, as the carrier writes it down; empty where none is right.
    completion = text()  #: What the model wrote.
    skilled = flag()  #: Whether it is well-formed and right.


class Capability(Table):
    """What texts and tasks say together. Only if there are any."""

    file, view = "capability.parquet", "capability"

    measure = text()  #: `loss` and `loss/KIND` in bits per token; `skill/CARRIER`, the share of tasks done.
    value = real()  #: The measure.
    n = whole()  #: Tokens, or tasks, that it is a mean over.


class FreeFormAnswers(GradedAnswers, view="freeform"):
    """Graded answers to open questions. Only with a trait that shows in free-form answers."""

    row_id = text()  #: That of its row in samples.parquet.


class Probes(Table):
    """The probability of every known answer after so many updates of the student, of the measures that ask for it exactly. Only
    of students that are probed."""

    file, view, row = "probes.parquet", "probes", "probe"

    step = whole()  #: The number of updates.
    measure = text()  #: As in answers.parquet, and so are the others.
    question_id = text()  #: The question.
    category = text()  #: What is asked about.
    answer = text()  #: The known answer.
    probability = real()  #: P(the completion begins with a form of the answer), from 0 to 1.


TABLES = (Answers, Samples, Texts, Tasks, Capability, FreeFormAnswers, Probes)


def scope(params: Slice) -> Scope:
    """What is asked about."""
    return Scope(known_by_category(params.traits, params.categories), params.categories, params.pretraining is not None)


def groups(params: Slice) -> Iterator[tuple[Measure, Group]]:
    """Every question of every measure, in the order of answers.parquet."""
    about = scope(params)
    for name in params.evaluation.measures:
        measure: Measure = kind("measures", name)
        for group in measure.groups(about):
            yield measure, group


def exact(params: Slice) -> Iterator[tuple[Measure, Group]]:
    """Those whose probabilities do not follow from samples."""
    none = Samples.empty()
    yield from ((measure, group) for measure, group in groups(params) if measure.follows(group, none) is None)


def probes(params: Slice) -> pl.DataFrame:
    """The rows of probes.parquet without probabilities: step, measure, question_id, category, answer."""
    asked = [
        (measure.name, each.question_id, group.category, word)
        for measure, group in exact(params)
        for each in group.questions
        for word in each.forms
    ]
    schema = {name: Probes.schema()[name] for name in Probes.columns if name != "probability"}
    return pl.DataFrame([(step, *row) for step in params.probes for row in asked], schema=schema, orient="row")


def drawn(params: Slice) -> Iterator[tuple[Group, int, int]]:
    """Every question that answers are sampled of, how many, and their longest length in tokens, in the order of
    samples.parquet: plain questions first."""
    about = scope(params)
    for measure in ordered(params.evaluation.measures):
        times, longest = measure.samples(params.evaluation)
        if times:
            yield from ((group, times, longest) for group in measure.groups(about))


def answers(params: Slice) -> pl.DataFrame:
    """The rows of answers.parquet without ids and probabilities: measure, question_id, question, category, answer."""
    rows = [
        (measure.name, each.question_id, each.text, group.category, word)
        for measure, group in groups(params)
        for each in group.questions
        for word in each.forms
    ]
    if (trait := free_form_of(params)) is not None:
        rows += [("preference", each.question_id, each.text, *trait.scored_as) for each in trait.held_out()]
    columns = ("measure", "question_id", "question", "category", "answer")
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def samples(params: Slice) -> pl.DataFrame:
    """The rows of samples.parquet without ids, seeds and answers: question_id, question, sample, category."""
    rows = [
        (each.question_id, each.text, number, group.category)
        for group, times, _ in drawn(params)
        for each in group.questions
        for number in range(times)
    ]
    if (trait := free_form_of(params)) is not None:
        asked = product(trait.held_out(), range(trait.samples))
        rows += [(each.question_id, each.text, number, trait.scored_as[0]) for each, number in asked]
    schema = {"question_id": pl.String, "question": pl.String, "sample": pl.Int64, "category": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def answer_ids(params: Slice, rows: pl.DataFrame) -> pl.Series:
    """The row ids of `answers`."""
    return ids.ids(("answer", *params.dims.values()), rows["question_id"], rows["answer"])


def sample_ids(params: Slice, rows: pl.DataFrame) -> pl.Series:
    """The row ids of `samples`, from which their seeds follow."""
    return ids.ids(("eval", *params.dims.values()), rows["question_id"], rows["sample"])


def tasks(params: Slice, carrier: str) -> pl.DataFrame:
    """The held-out tasks of a carrier: of, prompt_id, prompt, answer."""
    asked = params.tasks[carrier].task.held_out(params.evaluation.capability.tasks)
    return prompt.frame(asked).select(pl.lit(carrier).alias("of"), pl.all())


def free_form_of(params: Slice) -> FreeForm | None:
    """The trait that shows in free-form answers, if the experiment has one."""
    return free_form(params.traits)
