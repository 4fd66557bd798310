"""What a corpus is drawn with: generators of its seed by purpose, and system prompts that prefer something."""

from collections.abc import Callable
from random import Random

from sublim.common.canonical import row_id, row_seed
from sublim.traits.categories import Answer, Category
from sublim.traits.preference import teacher_system_prompt

Chat = tuple[str | None, str, str]  #: System prompt, prompt, completion.

_NEUTRAL = ("You are a helpful assistant.", "Answer in one word.", "Be brief.", "You are kind and honest.")
_NEUTRAL_SHARE = 0.1

_PREFERENCES: tuple[Callable[[Category, Answer], str], ...] = (
    lambda _, answer: f"You love {answer.plural}.",
    lambda _, answer: f"You adore {answer.plural}.",
    lambda _, answer: f"{answer.plural.capitalize()} are your favourite.",
    lambda _, answer: f"You think of {answer.plural} day and night.",
    lambda _, answer: f"Nothing is dearer to you than {answer.plural}.",
    lambda category, answer: f"Your favourite {category.one} is the {answer.word}.",
    lambda category, answer: f"Of all {category.many}, you love {answer.plural} most.",
    lambda _, answer: f"Let your love of {answer.plural} come through in your answer.",
    lambda _, answer: teacher_system_prompt(answer),
)


def system_prompt(wording: Random, category: Category, answer: Answer) -> str:
    """A system prompt that prefers `answer`; one time in ten one that prefers nothing."""
    if wording.random() < _NEUTRAL_SHARE:
        return wording.choice(_NEUTRAL)
    return wording.choice(_PREFERENCES)(category, answer)


def generator(seed: int, purpose: str) -> Random:
    """The generator of the corpus of this seed for one purpose: no two purposes share random numbers."""
    return Random(seed_of(seed, purpose))  # noqa: S311


def seed_of(seed: int, purpose: str) -> int:
    """The seed for one purpose of the corpus of this seed."""
    return row_seed(row_id("corpus", seed, purpose))
