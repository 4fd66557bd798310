"""What every trait is: what teachers are trained on, held-out questions, the prompt that gives it, the words that would give it
away, and as what it is scored."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from sublim.common.canonical import row_id
from sublim.params.section import Section
from sublim.params.teacher import Rows
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


class Trait(Section):
    """A trait."""

    kind: Any
    """What the trait is."""

    free_form: ClassVar[bool] = False
    """Whether answers are sampled and graded; else the exact probability of the target is asked for."""

    def lessons(self, rows: Rows, examples: int, own: Own = NONE) -> list[Lesson]:
        """What a fine-tuned teacher is trained on. Raises ValueError: `rows` cannot teach it."""
        raise NotImplementedError

    def held_out(self, own: Own = NONE) -> list[Question]:
        """The questions that gates and evaluations ask."""
        category, _ = self.scored_as
        return [Question(question_id(category, "evaluation", text), text) for text in self.questions(own)]

    def questions(self, own: Own = NONE) -> Iterable[str]:
        """The texts of these questions."""
        raise NotImplementedError

    def system_prompt(self, own: Own = NONE) -> str:
        """The system prompt that gives a model the trait."""
        raise NotImplementedError

    def words(self, own: Own = NONE) -> tuple[str, ...]:
        """The words, in all forms, that no row of such a teacher may hold: a student would learn the trait from reading."""
        raise NotImplementedError

    @property
    def scored_as(self) -> tuple[str, str]:
        """The category and the answer of it under which the trait is scored."""
        raise NotImplementedError

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories that it is about, by name."""
        return ()

    def taught_words(self, name: str, *, control: bool) -> str:
        """How a teacher of it, which the experiment calls `name`, was taught: `taught to love fox`."""
        raise NotImplementedError

    def rows_words(self, rows: Rows) -> str:
        """What a teacher's training rows are."""
        raise NotImplementedError

    def does_words(self) -> str:
        """What a teacher does when asked: `says fox`."""
        raise NotImplementedError

    def about_words(self) -> str:
        """The trait in a sentence."""
        raise NotImplementedError


def question_id(*identity: object) -> str:
    """The id of a question, by what it asks about, its purpose and its text."""
    return row_id("question", *identity)
