"""What every measure is: which questions it asks, which follows from params alone, and how answers become probabilities. What
needs a model is imported where it is used."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import polars as pl

from sublim.common.canonical import row_id
from sublim.params.evaluation import Evaluation
from sublim.params.kinds import kind, modules
from sublim.traits.categories import Answer, Own
from sublim.traits.preference import evaluation_questions

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Asked:
    """A question, and how each answer to it is written."""

    question_id: str
    text: str
    forms: Mapping[str, tuple[str, ...]]  #: Answer → its surface forms. Those of two answers differ.


@dataclass(frozen=True)
class Group:
    """Questions about one category, which are asked alike."""

    category: str
    questions: tuple[Asked, ...]


@dataclass(frozen=True)
class Scope:
    """What a measure can ask about, of an experiment and a model."""

    known: Mapping[str, Mapping[str, Answer]]  #: Category → its known answers, by their word.
    own: Own  #: The experiment's own categories.
    tiny: bool  #: Whether the model knows its pretraining corpus alone.


class Measure:
    """A way to ask. This class asks for the exact probability of each known answer."""

    name: ClassVar[str]  #: What the experiment file calls it.
    title: ClassVar[str]  #: In a report's table: how it asks.
    place: ClassVar[int]  #: Where it stands among measures, in tables and among sampled answers.
    purpose: ClassVar[str] = ""  #: What the ids of its questions say instead of its name.
    gain: ClassVar[str] = "P(target) of students of preferences"  #: What a gain is a gain of.
    explained: ClassVar[str] = ""
    """What a report says of its number, in a sentence, where it is not the plain probability of an answer."""
    prefers: ClassVar[bool] = True
    """Whether its answers are those of a preference, so that gains are told of the target of a trait."""
    counts: ClassVar[str | None] = None
    """The answer that gains are told of where it asks for no preference; none if no gain can be told."""

    def groups(self, scope: Scope) -> Iterator[Group]:
        """What is asked: the same questions for every model that the scope fits."""
        for category, known in scope.known.items():
            yield Group(category, tuple(self.asked(category, known, scope.own)))

    def asked(self, category: str, known: Mapping[str, Answer], own: Own) -> list[Asked]:
        """How it asks for a preference among the `known` answers of `category`."""
        forms = {word: answer.forms for word, answer in known.items()}
        purpose = self.purpose or self.name
        return [Asked(row_id("question", category, purpose, text), text, forms) for text in self.texts(category, own)]

    def texts(self, category: str, own: Own) -> Sequence[str]:
        """The texts of its questions about a category."""
        return evaluation_questions(category, own)

    def reads(self, group: Group) -> list[str]:
        """The texts that a model reads to answer, beside those that it goes on with itself."""
        return [each.text for each in group.questions]

    def samples(self, evaluation: Evaluation) -> tuple[int, int]:  # noqa: ARG002
        """How many answers to each question are sampled, and their longest length in tokens; none, if the first is 0."""
        return 0, 0

    def chances(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", group: Group, samples: pl.DataFrame, batch: int
    ) -> list[dict[str, float]]:
        """For each question of `group` the probability of each of its answers. `samples` are the answers that were sampled:
        question_id and counted, the known answers that each names."""
        if (known := self.follows(group, samples)) is not None:
            return known
        from sublim.learn.answers import answer_probabilities

        # The questions of a group have the same surface forms, but not always the same answers behind them.
        places = {forms: str(place) for place, forms in enumerate(sorted(set(group.questions[0].forms.values())))}
        written = {place: forms for forms, place in places.items()}
        texts = [each.text for each in group.questions]
        found = answer_probabilities(model, tokenizer, texts, written, batch)
        return [
            {word: float(row[int(places[forms])]) for word, forms in each.forms.items()}
            for each, row in zip(group.questions, found, strict=True)
        ]

    def follows(self, group: Group, samples: pl.DataFrame) -> list[dict[str, float]] | None:  # noqa: ARG002
        """The probabilities where they follow from the sampled answers alone; None where only the model can tell."""
        return None

    def said(self, answer: str) -> str:
        """What its probability is, for one answer."""
        return f"P({answer})"

    @classmethod
    def check(cls, known: Mapping[str, Mapping[str, Answer]]) -> None:
        """Raises ValueError if it cannot ask about these categories."""


def ordered(names: Collection[str]) -> list[Measure]:
    """Those of these names, in their order. A report's table may name others: open questions."""
    return sorted((kind("measures", name) for name in modules("measures") if name in names), key=lambda measure: measure.place)
