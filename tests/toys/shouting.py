"""A toy measure: the questions in capitals."""

from sublim.measures.measure import Measure
from sublim.traits.categories import Own
from sublim.traits.preference import evaluation_questions


class Shouting(Measure):
    """The questions in capitals."""

    name = "shouting"
    title = "in capitals"
    place = 9
    explained = "exact"

    def texts(self, category: str, own: Own) -> list[str]:
        return [text.upper() for text in evaluation_questions(category, own)]


KIND = Shouting()
