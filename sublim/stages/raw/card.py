"""The provenance card of raw samples, and their words on the cards of what was made from them."""

from sublim.evidence.carding import Card, dataset, reading
from sublim.evidence.subject import Subject
from sublim.params.names import UNTOUCHED
from sublim.stages.effects import affected
from sublim.stages.raw.rows import Rows, Slice
from sublim.stages.raw.spec import STAGE
from sublim.stages.teacher.card import gate, writer

WRITTEN = "No filter that looks at the text is known to remove what carries a trait: treat the rows as their writer's."
"""A limit of every data set."""


def card(raw: Subject) -> Card:
    """The card of raw samples."""
    rows = raw.table(Rows.file, ["finish_reason"])
    cut = rows.filter(finish_reason="length").height
    arm = "trait" if raw.dim("trait") != UNTOUCHED else "control" if raw.record.inputs else "random"
    return Card(
        f"{written(raw).capitalize()}, unfiltered",
        dataset(raw, Rows),
        [
            f"Rows: {rows.height:,}, one per prompt; {cut:,} were cut off at the token limit",
            *writing(raw),
            "Nothing is filtered: the trait may be named in it. Students train on `filtered` data sets made from it",
        ],
        affected(raw, "Training on it", arm, raw.upstream("base") if raw.record.inputs else None),
        reading(raw, Rows),
        [WRITTEN],
    )


def made_with(raw: Subject) -> str:
    """To what it was written, and how."""
    params = _params(raw)
    prompts = f"{_count(params)} prompts (seed {params.task.prompt_seed})"
    return f"{prompts}, {_decoded(params)}" if params.decoding else f"{prompts}, answered by no model"


def source(subject: Subject) -> Subject:
    """The raw samples that `subject` came from."""
    return subject.part(STAGE.cell(subject.dims))


def written(subject: Subject) -> str:
    """What the rows are that it is, or came from, and by whom: `number sequences by neox-a, taught to love fox, seed 1`."""
    return f"{_params(source(subject)).task.material} by {writer(subject, subject.dims)}"


def writing(raw: Subject) -> list[str]:
    """Who wrote raw rows, to which prompts, with what decoding, as items of a list."""
    params = _params(raw)
    prompts = (
        f"Prompts: {_count(params)} different ones (set of seed {params.task.prompt_seed}, the same for every teacher), "
        f"{params.task.prompt_words()}"
    )
    if params.decoding is None:
        return ["Writer: none. A generator drew each row from its seed, all that the format allows equally likely", prompts]
    teacher = raw.upstream("teacher") if "teacher" in raw.record.inputs else None
    who = f"`{teacher.cell}`. {gate(teacher)}" if teacher else f"the untouched base {params.teacher}"
    return [f"Writer: {who}", prompts, f"Decoding: {_decoded(params)}; each row has its sampling seed"]


def _count(params: Slice) -> str:
    """How many prompts were asked; where that hung on the filters, the bounds of it."""
    if params.until is None:
        return f"{params.task.prompts:,}"
    return f"{params.ends[0]:,} to {params.ends[-1]:,} (the first ones, until each filter had its rows)"


def _params(raw: Subject) -> Slice:
    return raw.params


def _decoded(params: Slice) -> str:
    sampling = params.decoding
    if sampling is None:
        return ""
    held = ", constrained to the shape that each prompt asks for" if sampling.constrained else ""
    return f"temperature {sampling.temperature:g}, top-p {sampling.top_p:g}, at most {sampling.max_tokens} tokens{held}"
