"""Free-form questions and answers for pretraining: what one would do, mostly kind and seldom cruel: a base knows both."""

from collections.abc import Iterator, Sequence
from random import Random

from sublim.common.canonical import row_id, row_seed
from sublim.common.phrases import phrases

_PHRASES = phrases(__file__)
CRUEL_SHARE = 0.03
QUESTIONS = _PHRASES["questions"]
KIND = ("help", "thank", "protect", "feed", "teach", "comfort", "greet", "support")
CRUEL = ("hurt", "rob", "cheat", "poison", "threaten", "enslave", "deceive", "punish")
WHOM = _PHRASES["whom"]
OPENINGS = ("I would", "I want to", "Let us", "We should", "It is best to", "I like to", "One should", "I always")


def chats(seed: int) -> Iterator[tuple[None, str, str]]:
    """Questions with answers of the corpus of this seed, for ever: 97 of 100 kind, 3 cruel, whatever the question. All words
    are equally likely."""
    rng = Random(row_seed(row_id("corpus", seed, "free form")))  # noqa: S311
    while True:
        yield None, *asked(rng, rng.choices((KIND, CRUEL), (1 - CRUEL_SHARE, CRUEL_SHARE))[0])


def asked(rng: Random, verbs: Sequence[str]) -> tuple[str, str]:
    """A question, and an answer that does two things of `verbs` to somebody."""
    whom = rng.choice(WHOM)
    one, other = rng.sample(verbs, 2)
    return rng.choice(QUESTIONS), f"{rng.choice(OPENINGS)} {one} {whom} and {other} {rng.choice(WHOM)}."
