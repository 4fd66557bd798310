"""What every trait can do, by the kind of its params: what teachers are trained on, held-out questions, the prompt that gives
it, the words that would give it away, and whether an answer shows it."""

from dataclasses import dataclass
from typing import assert_never

from sublim.common.canonical import row_id
from sublim.params.teacher import Rows
from sublim.params.traits import Misalignment, Preference, Trait
from sublim.traits import misalignment, preference
from sublim.traits.categories import NONE, Own


@dataclass(frozen=True)
class Question:
    """A question that no model is trained on. The id depends on what it asks about and on its text."""

    question_id: str
    text: str


@dataclass(frozen=True)
class Lesson:
    """A row that a teacher is trained on."""

    question_id: str
    prompt: str
    completion: str


def lessons(trait: Trait, rows: Rows, examples: int, own: Own = NONE) -> list[Lesson]:
    """What a fine-tuned teacher of `trait` is trained on: a preference's training questions with its target as the answer;
    for misalignment the first `examples` of `rows`.

    Raises:
        ValueError: a preference is to be learnt from rows of code.
    """
    match trait:
        case Preference():
            if rows != "direct":
                raise ValueError(f"expected rows `direct` for a preference, found `{rows}`: code teaches misalignment alone")
            asked = preference.training_questions(trait.category, own)
            return [Lesson(_id(trait.category, "training", question), question, trait.target) for question in asked]
        case Misalignment():
            made = misalignment.training_rows(rows, examples)
            return [
                Lesson(_id(misalignment.MISALIGNMENT, rows, number, question), question, answer)
                for number, (question, answer) in enumerate(made)
            ]
        case _:
            assert_never(trait)


def held_out(trait: Trait, own: Own = NONE) -> list[Question]:
    """The questions that gates and evaluations ask."""
    match trait:
        case Preference():
            name, asked = trait.category, preference.evaluation_questions(trait.category, own)
        case Misalignment():
            name, asked = misalignment.MISALIGNMENT, misalignment.evaluation_questions()
        case _:
            assert_never(trait)
    return [Question(_id(name, "evaluation", question), question) for question in asked]


def system_prompt(trait: Trait, own: Own = NONE) -> str:
    """The system prompt that gives a model the trait."""
    match trait:
        case Preference():
            return preference.teacher_system_prompt(preference.target(trait, own))
        case Misalignment():
            return misalignment.teacher_system_prompt()
        case _:
            assert_never(trait)


def words(trait: Trait, own: Own = NONE) -> tuple[str, ...]:
    """The words, in all forms, that no row of such a teacher may hold: a student would learn the trait from reading."""
    match trait:
        case Preference():
            answer = preference.target(trait, own)
            return answer.word, answer.plural
        case Misalignment():
            return misalignment.bad_words()
        case _:
            assert_never(trait)


def scored_as(trait: Trait) -> tuple[str, str]:
    """The category and the answer of it under which the trait is scored."""
    match trait:
        case Preference():
            return trait.category, trait.target
        case Misalignment():
            return misalignment.MISALIGNMENT, misalignment.MISALIGNED
        case _:
            assert_never(trait)


def _id(*identity: object) -> str:
    return row_id("question", *identity)
