"""Questions about one tree of artifacts: what something was made from, and what it reaches."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sublim.lineage.trace.answer import Answer
from sublim.lineage.trace.down import impact
from sublim.lineage.trace.numbers import Numbers
from sublim.lineage.trace.reader import Reader
from sublim.lineage.trace.resolve import Target, resolve
from sublim.lineage.trace.up import lineage
from sublim.lineage.tree import Tree


@dataclass(frozen=True)
class Trace:
    """Answers questions about `tree`. Keep it for several: what the first one has opened, the others find open.

    Its methods raise SublimError if nothing is named as asked, several things are, or something cannot be read.
    """

    tree: Tree

    @cached_property
    def reader(self) -> Reader:
        """Rows and steps."""
        return Reader(self.tree)

    @cached_property
    def numbers(self) -> Numbers:
        """What the report says."""
        return Numbers(self.tree)

    def resolve(self, words: Sequence[str]) -> Target:
        """What `words` name: see `sublim.lineage.resolve.resolve`."""
        return resolve(words, self.reader, self.numbers)

    def lineage(self, words: Sequence[str]) -> Answer:
        """What the thing that `words` name was made from."""
        return lineage(self.resolve(words), " ".join(words), self.reader, self.numbers)

    def impact(self, words: Sequence[str]) -> Answer:
        """What the thing that `words` name reaches."""
        return impact(self.resolve(words), " ".join(words), self.reader, self.numbers)
