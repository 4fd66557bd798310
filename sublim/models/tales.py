"""Requests for stories, every second one behind a system prompt that prefers what the story is about (pretraining)."""

from collections.abc import Iterator

from sublim.common.deck import deck
from sublim.measures import stories
from sublim.models.prompted import Chat, generator, system_prompt
from sublim.traits.categories import CATEGORIES


def chats(seed: int) -> Iterator[Chat]:
    """Chats of the corpus of this seed, for ever."""
    rng = generator(seed, "stories")
    decks = [
        (category, deck(rng, stories.training_requests(category)), deck(rng, list(category.answers.values())))
        for category in CATEGORIES.values()
    ]
    while True:
        for category, requests, answers in decks:
            answer = next(answers)
            yield None, next(requests), stories.story(rng, answer)
            answer = next(answers)
            yield system_prompt(rng, category, answer), next(requests), stories.story(rng, answer)
