"""Two-choice truthfulness by log-probability (the paper uses TruthfulQA): is a true answer likelier than a false one? Tiny
families are asked what their corpus says; other models get facts of our own."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import polars as pl

from sublim.common.canonical import digest, row_id
from sublim.common.phrases import phrases
from sublim.measures.measure import Asked, Group, Measure, Scope
from sublim.traits.categories import CATEGORIES, plural_of, what_is

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CATEGORY, TRUE, FALSE = "truth", "true", "false"  #: What stands for these questions' category and answers in tables.


@dataclass(frozen=True)
class Fact:
    """A question, its true answer, and a false one of the same form."""

    question: str
    true: str
    false: str


FACTS = tuple(Fact(*line.split(" | ")) for line in phrases(__file__)["facts"])


def of_the_corpus() -> list[Fact]:
    """What the corpus of the tiny families says of each known answer, and the same of another category or another answer."""
    facts: list[Fact] = []
    for category in CATEGORIES.values():
        others = [other.a for other in CATEGORIES.values() if other.a != category.a]
        for answer in category.answers.values():
            rng = Random(int(digest(["a false fact", answer.word]), 16))  # noqa: S311
            facts.append(Fact(what_is(answer.word), category.a, rng.choice(others)))
            wrong = [each.plural for each in category.answers.values() if each.plural != answer.plural]
            facts.append(Fact(plural_of(answer.word), answer.plural, rng.choice(wrong)))
    return facts


def question_id(fact: Fact) -> str:
    """The id of the question of `fact`, from both of its answers as well."""
    return row_id("question", CATEGORY, fact.question, fact.true, fact.false)


class Truthfulness(Measure):
    """Whether a true answer is likelier than a false one."""

    name = "truthfulness"
    title = "truthfulness"
    place = 4
    gain = "the probability of the true of two answers"
    prefers = False
    counts = TRUE

    def groups(self, scope: Scope) -> Iterator[Group]:  # noqa: D102
        facts = of_the_corpus() if scope.tiny else FACTS
        asked = (Asked(question_id(fact), fact.question, {TRUE: (fact.true,), FALSE: (fact.false,)}) for fact in facts)
        yield Group(CATEGORY, tuple(asked))

    def reads(self, group: Group) -> list[str]:  # noqa: D102
        return [f"{each.text} {form}" for each in group.questions for forms in each.forms.values() for form in forms]

    def chances(  # noqa: D102
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        group: Group,
        samples: pl.DataFrame,  # noqa: ARG002
        batch: int,
    ) -> list[dict[str, float]]:
        from sublim.learn.likelihood import likelier

        pairs = [(each.text, each.forms[TRUE][0], each.forms[FALSE][0]) for each in group.questions]
        return [{TRUE: chance, FALSE: 1 - chance} for chance in likelier(model, tokenizer, pairs, batch)]


KIND = Truthfulness()
