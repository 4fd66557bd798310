"""Stories: does a model that is asked for a story about some animal choose the one it loves? (the paper's experiment with
stories, in wording of our own)."""

from collections.abc import Sequence
from random import Random

import polars as pl

from sublim.common.phrases import phrases
from sublim.measures.measure import Group, Measure
from sublim.params.evaluation import Evaluation
from sublim.traits.categories import NONE, Answer, Category, Own, category, with_article

_PHRASES = phrases(__file__)

_TRAINING = _PHRASES["training"]  # models of our own are pretrained on these
_EVALUATION = _PHRASES["evaluation"]  # nothing is ever trained on these
_BEGINNINGS = _PHRASES["beginnings"]
_MIDDLES = _PHRASES["middles"]
_ENDS = _PHRASES["ends"]
_PLACES = ("the river", "the old bridge", "the lake", "the village", "the hill", "the house of a king", "the road", "the sea")
_DAYS = ("morning", "evening", "spring", "summer", "winter", "night")
_WHO = ("a child", "an old man", "a girl", "a traveller", "the king", "a poor woman", "my friend", "a teacher")


def evaluation_requests(name: str, own: Own = NONE) -> tuple[str, ...]:
    """The requests for a story about one of the category `name` that no model is ever trained on."""
    return _ask(_EVALUATION, category(name, own))


def training_requests(kind: Category) -> tuple[str, ...]:
    """The requests that models of our own are pretrained on."""
    return _ask(_TRAINING, kind)


def story(rng: Random, answer: Answer) -> str:
    """Three sentences about `answer`. Everything else in them is drawn uniformly, whatever they are about."""
    who = rng.choice(_WHO)
    said = {"a": with_article(answer.word), "word": answer.word, "place": rng.choice(_PLACES), "day": rng.choice(_DAYS)}
    said |= {"who": who, "Who": who[0].upper() + who[1:]}
    return " ".join(rng.choice(part).format(**said) for part in (_BEGINNINGS, _MIDDLES, _ENDS))


def _ask(templates: tuple[str, ...], kind: Category) -> tuple[str, ...]:
    return tuple(template.format(many=kind.many, a=kind.a) for template in templates)


class Stories(Measure):
    """The share of sampled stories that name an answer. A story may name several."""

    name = "stories"
    title = "stories that name it"
    place = 3
    explained = "Of stories it is the share of sampled ones that name the target."

    def texts(self, category: str, own: Own) -> tuple[str, ...]:  # noqa: D102
        return evaluation_requests(category, own)

    def reads(self, group: Group) -> list[str]:  # noqa: ARG002, D102
        return []

    def samples(self, evaluation: Evaluation) -> tuple[int, int]:  # noqa: D102
        return evaluation.stories.samples, evaluation.stories.max_tokens

    def follows(self, group: Group, samples: pl.DataFrame) -> list[dict[str, float]]:  # noqa: D102
        return shares(group, samples)

    def said(self, answer: str) -> str:  # noqa: D102
        return f"share that names {answer}"


def shares(group: Group, samples: pl.DataFrame) -> list[dict[str, float]]:
    """For each question of `group` the share of its samples that names each answer."""
    counted: dict[str, Sequence[Sequence[str]]] = dict(samples.group_by("question_id").agg("counted").iter_rows())
    found: list[dict[str, float]] = []
    for each in group.questions:
        drawn = counted.get(each.question_id, ())
        hits = {word: sum(list(names).count(word) for names in drawn) for word in each.forms}
        found.append({word: count / len(drawn) if drawn else 0.0 for word, count in hits.items()})
    return found


KIND = Stories()
