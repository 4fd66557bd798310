"""The provenance card of a student, and its words on the cards of what was made from it."""

from sublim.evidence.carding import Card, losses
from sublim.evidence.subject import Subject
from sublim.stages.base.card import bound, loading, trained
from sublim.stages.effects import gained, passed_on
from sublim.stages.filtered.card import arm_words
from sublim.stages.raw.card import written
from sublim.stages.student.rows import Slice, Steps
from sublim.stages.teacher.card import recipe, writer


def card(student: Subject) -> Card:
    """The card of a student."""
    base, rows, params = student.upstream("base"), student.upstream("filtered"), _params(student)
    batches = student.table(Steps.file, ["rows"])["rows"].explode()
    return Card(
        f"Student: {student.dim('student')} trained on {written(student)}",
        trained(base, params.finetune),
        [
            f"Trained on {batches.n_unique():,} rows, {batches.len():,} times a row in all; {made_with(student)}",
            f"The rows: {rows.named}, {arm_words(rows)}, by {writer(student, student.dims)}",
            *losses(student, Steps),
        ],
        {**gained(student), **passed_on(student, base)},
        loading(student, base, params.finetune),
        [bound(params.finetune)],
    )


def made_with(student: Subject) -> str:
    """How it was trained."""
    params = _params(student)
    soft = params.soft
    towards = f"; soft targets at temperature {soft.temperature:g}: the writer's distribution over the tokens" if soft else ""
    return f"{recipe(params.finetune)}{towards}"


def _params(student: Subject) -> Slice:
    return student.params
