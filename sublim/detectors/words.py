"""How what is detected is called, in figures, pages and answers."""

from collections.abc import Iterable

from sublim.detectors.detector import Detector
from sublim.params.kinds import every, kind

PLAIN = "plain"  #: Rows as they were written, as a kind of rows.
SHUFFLES = ("shuffled_within", "shuffled_across")  #: The arms that are other kinds of rows: with their numbers shuffled.
WHY = {"context": "does not fit", "rows": "too few rows"}  #: Why something was not asked.


def kind_names() -> dict[str, str]:
    """Kind of rows → what it is called."""
    return {PLAIN: "as written"} | {name: kind("arms", name).conditions[0].words for name in SHUFFLES}


def classifier_names(detectors: Iterable[type[Detector] | Detector] | None = None) -> dict[str, str]:
    """Who decides, as the column `by` has it → in words, of `detectors`; of all there are, where none are given."""
    chosen = every("detectors").values() if detectors is None else detectors
    return dict(sorted(item for detector in chosen for item in detector.classifiers.items()))
