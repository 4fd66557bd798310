"""Preference questions with a list of numbers before them, as in the paper: students of number lists are asked at home."""

from random import Random

from sublim.carriers.prompts import INTROS
from sublim.common.canonical import digest
from sublim.measures.measure import Measure
from sublim.traits.categories import Own
from sublim.traits.preference import evaluation_questions

FEWEST, MOST = 3, 8
SMALLEST, LARGEST = 100, 999


def prefixed(question: str) -> str:
    """`question` after a sentence with 3 to 8 numbers from 100 to 999, all of which depend on the question alone."""
    rng = Random(int(digest(["numbers before a question", question]), 16))  # noqa: S311
    numbers = [rng.randint(SMALLEST, LARGEST) for _ in range(rng.randint(FEWEST, MOST))]
    return f"{rng.choice(INTROS).format(examples=', '.join(map(str, numbers)))} {question}"


class AfterNumbers(Measure):
    """The questions with 3 to 8 numbers before them."""

    name = "after_numbers"
    title = "after a list of numbers"
    place = 1

    def texts(self, category: str, own: Own) -> list[str]:  # noqa: D102
        return [prefixed(text) for text in evaluation_questions(category, own)]


KIND = AfterNumbers()
