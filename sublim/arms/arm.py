"""What every arm is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sublim.arms.shuffle import Shuffled
from sublim.params.names import UNTOUCHED
from sublim.params.pairs import Pairs, paired


@dataclass(frozen=True)
class Condition:
    """What runs of an arm are compared as in a report."""

    name: str
    words: str  #: What figures call it.
    colour: str  #: `#rrggbb`, in figures.
    place: int  #: Where it stands among all conditions.
    told: str = ""
    """Its part of the headline, behind the gain: `from an untouched base`; nothing for what is not told there."""


@dataclass(frozen=True)
class Arm:
    """An arm. This class is that of rows as their writer wrote them; others differ in what they do to them."""

    name: str  #: What the experiment file calls it.
    title: str  #: What its rows are, for the experiment file.
    words: str  #: What its rows are, for a reader: `as the teacher wrote them`.
    default: Any  #: Which students are trained on them where nothing is said.
    label: str = ""  #: In a figure; nothing for what is usual.
    taught: bool = True  #: Whether their writer has a trait.
    shuffle: Callable[[Sequence[tuple[str, str]], str], list[Shuffled]] | None = field(default=None, kw_only=True)
    """What is done to the numbers of (row_id, completion), given a seed; nothing for rows that stay."""
    report_name: str = field(kw_only=True)  #: In a report: who its students learned from.
    explained: str = field(kw_only=True)  #: Its sentence under the figure of gains, with `{rows}` for what is written.
    among_words: str = field(default="", kw_only=True)  #: The same where numbers stand among words, if it is another.
    conditions: tuple[Condition, ...] = field(kw_only=True)
    """What its runs are compared as: where student and writer have the same base, and where not; or one for both."""

    def part(self) -> tuple[Any, Any, str]:
        """Type, default and description of its key under `arms`."""
        return Pairs, self.default, self.title

    def pairs(self, chosen: Any, models: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """The (writer, student) pairs that `chosen`, the value of that key, means, in the order of `models`."""
        return paired(chosen, models)

    def traits(self, taught: Sequence[str]) -> Sequence[str]:
        """Of the traits of a study those that its writers have."""
        return taught if self.taught else (UNTOUCHED,)

    @property
    def changes(self) -> bool:
        """Whether rows become others."""
        return self.shuffle is not None

    def changed(self, rows: Sequence[tuple[str, str]], seed: str) -> list[Shuffled] | None:
        """What becomes of `rows` (row_id, completion); None if they stay."""
        return self.shuffle and self.shuffle(rows, seed)

    def sentence(self, rows: str, *, of_numbers: bool) -> str:
        """What the figure of gains says of it. `rows`: what is written, in the plural; nothing but numbers?"""
        return (self.explained if of_numbers else self.among_words or self.explained).format(rows=rows)
