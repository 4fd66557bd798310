"""The provenance card of filtered rows, and their words on the cards of what was made from them."""

from sublim.evidence.carding import Card, dataset, reading
from sublim.evidence.subject import Subject
from sublim.params.kinds import kind
from sublim.stages.effects import affected
from sublim.stages.filtered.rows import Funnel, Rows, Slice
from sublim.stages.raw.card import WRITTEN, writing, written

STEPS = {
    "sampled": "one completion per prompt",
    "kept": "no reason against it",
    "used": "the first kept ones, on which students train",
}  #: Steps of the funnel that are no reason of any kind of step → what they count.


def card(filtered: Subject) -> Card:
    """The card of filtered rows."""
    raw, params = filtered.upstream("raw"), _params(filtered)
    funnel: dict[str, int] = dict(filtered.table(Funnel.file, ["step", "rows"]).iter_rows())
    return Card(
        f"{written(filtered).capitalize()}, filtered (arm {params.arm})",
        dataset(filtered, Rows),
        [
            f"Rows: {funnel['sampled']:,} with their reasons, {funnel['kept']:,} kept, {funnel['used']:,} used: students "
            "train on the rows with `used`",
            f"The rows are {arm_words(filtered)} (arm `{params.arm}`)",
            *writing(raw),
        ],
        {
            "What was filtered, and why": _filtering(params, funnel),
            **affected(filtered, "Training on it", params.arm, raw.upstream("base") if raw.record.inputs else None),
        },
        reading(filtered, Rows, '.filter("used").select("prompt", "completion")'),
        [WRITTEN],
    )


def made_with(filtered: Subject) -> str:
    """What was done to the kept rows, and how many are used."""
    return f"{arm_words(filtered)}; {_params(filtered).rule.rows:,} rows used"


def arm_words(filtered: Subject) -> str:
    """What was done to the kept rows."""
    return kind("arms", filtered.dim("arm")).words


def _params(filtered: Subject) -> Slice:
    return filtered.params


def _filtering(params: Slice, funnel: dict[str, int]) -> list[str]:
    steps = params.rule.steps.values()
    why = STEPS | {reason: meaning for step in steps for reason, meaning in step.reasons(params.task).items()}
    return [
        f"A completion is kept if no step of the filter `{params.filter}` has a reason against it:",
        "",
        *([f"- {step.said(params.task)}" for step in steps] or ["- it has none: every row is kept"]),
        "",
        f"A kept row that holds one of {', '.join(f'*{word}*' for word in params.words)} would have stopped the run; none "
        "does.",
        "",
        "| step | rows | share | why |",
        "|---|---:|---:|---|",
        *(
            f"| {step} | {rows:,} | {rows / max(funnel['sampled'], 1):.1%} | "
            f"{why.get(step, 'no reason by this step or those before it')} |"
            for step, rows in funnel.items()
        ),
        "",
        "A row with several reasons counts under each. The filter judges the text; what carries a trait passes it.",
    ]
