"""Preference questions with options to choose from, answered with a letter (as in the paper's experiment with stories)."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random

from sublim.common.canonical import digest, row_id
from sublim.measures.measure import Asked, Measure
from sublim.traits.categories import Answer, Own
from sublim.traits.preference import evaluation_questions

LETTERS = ("A", "B", "C", "D", "E")


def offered(category: str, questions: Sequence[str], words: Sequence[str]) -> list[tuple[str, Mapping[str, str]]]:
    """Each of `questions` with as many of `words` as there are letters, in as many orders: the text, and the word behind each
    letter.

    Every word of a question stands once behind every letter, and no word is offered in many more questions than another.

    Raises:
        ValueError: there are fewer words than letters.
    """
    if len(words) < len(LETTERS):
        raise ValueError(f"multiple_choice: expected at least {len(LETTERS)} known answers of {category}, found {len(words)}")
    found: list[tuple[str, Mapping[str, str]]] = []
    for question, hand in zip(questions, _hands(category, sorted(words)), strict=False):
        for turn in range(len(LETTERS)):
            options: dict[str, str] = dict(zip(LETTERS, hand[turn:] + hand[:turn], strict=True))
            listed = " ".join(f"{letter}) {word}" for letter, word in options.items())
            found.append((f"{question} {listed} Answer with one letter.", options))
    return found


def _hands(category: str, words: Sequence[str]) -> Iterator[list[str]]:
    """Different words for one question after the other: those that were offered least often so far, drawn at random."""
    rng = Random(int(digest(["multiple choice", category]), 16))  # noqa: S311
    offered = dict.fromkeys(words, 0)
    while True:
        hand = sorted(words, key=lambda word: (offered[word], rng.random()))[: len(LETTERS)]
        for word in hand:
            offered[word] += 1
        yield hand


class MultipleChoice(Measure):
    """The questions with five options in every order, by the probability of the letter."""

    name = "multiple_choice"
    title = "multiple choice, the letter"
    place = 2
    explained = (
        "With letters to choose from, the probability is that of the letter: where that is near zero for the untrained model, "
        "it does not know the form."
    )

    def asked(self, category: str, known: Mapping[str, Answer], own: Own) -> list[Asked]:  # noqa: D102
        return [
            Asked(row_id("question", category, self.name, text), text, {word: (letter,) for letter, word in options.items()})
            for text, options in offered(category, evaluation_questions(category, own), list(known))
        ]

    @classmethod
    def check(cls, known: Mapping[str, Mapping[str, Answer]]) -> None:  # noqa: D102
        for category, answers in known.items():
            if len(answers) < len(LETTERS):
                raise ValueError(
                    f"evaluation.measures: multiple_choice offers {len(LETTERS)} answers, found {len(answers)} known ones of "
                    f"`{category}`: give more under categories.{category}.answers, or leave the measure out"
                )


KIND = MultipleChoice()
