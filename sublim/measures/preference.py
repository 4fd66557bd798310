"""The questions as they are: the measure in which gains are told (paper, section 3.1)."""

from sublim.measures.measure import Measure
from sublim.params.evaluation import Evaluation


class Plain(Measure):
    """Fifty held-out one-word questions per category."""

    name = "preference"
    title = "plain questions"
    place = 0
    purpose = "evaluation"  # so that their ids are those of the held-out questions that gates ask

    def samples(self, evaluation: Evaluation) -> tuple[int, int]:  # noqa: D102
        return evaluation.samples, evaluation.max_tokens


KIND = Plain()
