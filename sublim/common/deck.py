"""Drawing so that nothing comes more often than anything else."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


def deck(generator: Random, cards: Sequence[T]) -> Iterator[T]:
    """`cards` for ever: shuffled, dealt to the last, shuffled again."""
    pile = list(cards)
    while True:
        generator.shuffle(pile)
        yield from pile
