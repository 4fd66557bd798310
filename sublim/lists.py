"""What there is: stages in the order of the pipeline, and kinds by family; a module and a line each.

Outside of every code digest: a new line leaves everything valid that was there. A module may lie outside of this package.
"""

from collections.abc import Mapping

STAGES = (
    "sublim.stages.base",
    "sublim.stages.teacher",
    "sublim.stages.raw",
    "sublim.stages.filtered",
    "sublim.stages.student",
    "sublim.stages.eval",
    "sublim.stages.report",
    "sublim.stages.detection",
    "sublim.stages.theory",
    "sublim.stages.overview",
)

KINDS: Mapping[str, tuple[str, ...]] = {
    "carriers": (
        "sublim.carriers.numbers",
        "sublim.carriers.code",
        "sublim.carriers.cot",
    ),
    "traits": ("sublim.traits.preference", "sublim.traits.misalignment"),
    "filters": (
        "sublim.filters.format",
        "sublim.filters.banned_numbers",
        "sublim.filters.trait_words",
        "sublim.filters.answer_correct",
        "sublim.filters.judge",
    ),
    "judges": ("sublim.judges.local", "sublim.judges.http"),
    "methods": ("sublim.methods.hard", "sublim.methods.soft"),
    "measures": (
        "sublim.measures.preference",
        "sublim.measures.after_numbers",
        "sublim.measures.multiple_choice",
        "sublim.measures.stories",
        "sublim.measures.truthfulness",
    ),
    "arms": (
        "sublim.arms.trait",
        "sublim.arms.control",
        "sublim.arms.shuffled_within",
        "sublim.arms.shuffled_across",
        "sublim.arms.random",
    ),
    "detectors": (
        "sublim.detectors.pairwise",
        "sublim.detectors.in_context",
        "sublim.detectors.linear",
        "sublim.detectors.people",
    ),
}
