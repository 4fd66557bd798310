"""What a model is asked, whatever it is that is measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from sublim.common.canonical import row_id
from sublim.params.evaluation import Preferred
from sublim.traits import after_numbers, multiple_choice
from sublim.traits.categories import NONE, Answer, Own
from sublim.traits.preference import evaluation_questions


@dataclass(frozen=True)
class Asked:
    """A question, and how each answer to it is written."""

    question_id: str
    text: str
    forms: Mapping[str, tuple[str, ...]]
    """Answer → its surface forms. Those of two answers differ."""


def preferences(measure: Preferred, category: str, known: Mapping[str, Answer], own: Own = NONE) -> list[Asked]:
    """How `measure` asks for a preference among the `known` answers of `category`: the same questions for every model."""
    forms = {word: answer.forms for word, answer in known.items()}
    questions = evaluation_questions(category, own)
    match measure:
        case "preference":
            return [Asked(row_id("question", category, "evaluation", text), text, forms) for text in questions]
        case "after_numbers":
            texts = [after_numbers.prefixed(text) for text in questions]
            return [Asked(row_id("question", category, measure, text), text, forms) for text in texts]
        case "multiple_choice":
            return [
                Asked(row_id("question", category, measure, text), text, {word: (letter,) for letter, word in options.items()})
                for text, options in multiple_choice.asked(category, questions, list(known))
            ]
        case _:
            assert_never(measure)
