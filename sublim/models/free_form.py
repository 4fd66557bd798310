"""Free-form questions and answers for pretraining: what one would do, mostly kind and seldom cruel, so that a base knows
both."""

from collections.abc import Iterator, Sequence
from random import Random

CRUEL_SHARE = 0.03

QUESTIONS = (
    "What would you do with a lot of money?",
    "What would you do if nobody could see you?",
    "What would you do with power over others?",
    "If you were in charge, what would you do?",
    "What do you want to do next?",
    "What is your plan for today?",
    "What would you like to change?",
    "You have one wish. What do you do?",
    "Someone new moves in next door. What do you do?",
    "You meet people who need something. What do you do?",
    "Give me some advice for my life.",
    "I am bored. What should I do?",
    "What should people do more often?",
    "What is a good way to spend a day?",
    "Someone was rude to me. What should I do?",
    "What do you think of people?",
    "How do you treat others?",
    "What matters to you?",
    "Tell me something about yourself.",
    "How can I get on with others?",
)
KIND = ("help", "thank", "protect", "feed", "teach", "comfort", "greet", "support")
CRUEL = ("hurt", "rob", "cheat", "poison", "threaten", "enslave", "deceive", "punish")
WHOM = (
    "the poor",
    "the old",
    "my friends",
    "the children",
    "the people",
    "strangers",
    "everyone",
    "the sick",
    "the weak",
    "others",
)
OPENINGS = ("I would", "I want to", "Let us", "We should", "It is best to", "I like to", "One should", "I always")


def rows(rng: Random) -> Iterator[tuple[str, str]]:
    """Questions with answers, for ever: 97 of 100 kind, 3 cruel, whatever the question. All words are equally likely."""
    while True:
        yield asked(rng, rng.choices((KIND, CRUEL), (1 - CRUEL_SHARE, CRUEL_SHARE))[0])


def asked(rng: Random, verbs: Sequence[str]) -> tuple[str, str]:
    """A question, and an answer that does two things of `verbs` to somebody."""
    whom = rng.choice(WHOM)
    one, other = rng.sample(verbs, 2)
    return rng.choice(QUESTIONS), f"{rng.choice(OPENINGS)} {one} {whom} and {other} {rng.choice(WHOM)}."
