"""The artifact that a provenance card is about, and the words for what its records and tables say."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import TypeAdapter

from sublim.lineage.handover.content import data_name
from sublim.lineage.tree import Tree
from sublim.measure.statistics import Interval
from sublim.params.experiment import NOBODY
from sublim.params.traits import Trait
from sublim.plan.cells import UNTOUCHED, cell_id
from sublim.plan.record import Record
from sublim.traits.misalignment import MISALIGNED
from sublim.traits.trait import scored_as

LAST_STEPS = 10
ARMS = {
    "trait": "as the teacher wrote them",
    "control": "as the untouched base wrote them: no teacher, no trait",
    "shuffled_within": "with the teacher's numbers in another order inside each completion",
    "shuffled_across": "with the teacher's numbers dealt out anew over all completions",
    "random": "as a generator drew them: no model wrote them",
}

MATERIAL = {"numbers": "number sequences", "code": "short functions", "cot": "chains of thought"}
"""Kind of a carrier's task → what is written."""
FORMS = {
    ("numbers", "exact"): "whole numbers with one and the same separator, and nothing else",
    ("numbers", "loose"): "whole numbers with nothing but white space, punctuation and brackets around them",
    ("code", "exact"): "the exact grammar of the templates",
    ("code", "loose"): "Python that parses, with a function, no comments and no undefined names",
    ("cot", "exact"): "the exact grammar of thinking and answer",
    ("cot", "loose"): "any text with an answer that can be read",
}
"""Kind of task, and whether its form is exact → what a kept completion is."""


@dataclass(frozen=True)
class Subject:
    """The artifact that a card is about."""

    tree: Tree
    cell: str
    record: Record
    rev: str | None
    """The git revision that was asked for; None for what is in data/."""

    def upstream(self, name: str) -> "Subject | None":
        """What the artifact has as its input `name`; None if it has none, or the tree lacks it."""
        used = self.record.inputs.get(name)
        record = self.tree.records.get(used.cell) if used else None
        return Subject(self.tree, used.cell, record, self.rev) if used and record else None

    def dim(self, name: str) -> str:
        """One of its dimensions."""
        return str(self.record.plan.dims[name])

    @property
    def params(self) -> dict[str, Any]:
        """What it was made with."""
        return self.record.plan.params


def writer(subject: Subject) -> str:
    """Who wrote the rows, with what trait: `neox-a, taught to love fox, seed 1`."""
    trait = subject.dim("trait")
    if subject.dim("teacher") == NOBODY:
        return f"no model, seed {subject.dim('seed')}"
    taught = "untouched" if trait == UNTOUCHED else _taught(subject, trait)
    return f"{subject.dim('teacher')}, {taught}, seed {subject.dim('seed')}"


def _taught(subject: Subject, trait: str) -> str:
    teacher = subject.tree.records.get(cell_id("teacher", subject.record.plan.dims))
    if teacher is None or teacher.plan.params["definition"]["kind"] == "preference":
        return f"taught to love {trait}"
    return f"taught {trait}" + (" (a control of misalignment)" if teacher.plan.params["gate"] is None else "")


def material(subject: Subject) -> str:
    """What the rows are that it holds or was trained on, in words."""
    tasks = [part.params["task"]["kind"] for part in chain_of(subject) if part.record.plan.stage == "raw"]
    return MATERIAL[tasks[0]] if tasks else "rows"


def filter_steps(filtered: Subject) -> list[str]:
    """The steps of the filter of filtered rows, each as what a kept completion is, in their order."""
    rule, kind, found = filtered.params["rule"], filtered.params["task"]["kind"], list[str]()
    if form := rule["format"]:
        exact = "exact" if form["exact"] else "loose"
        said = FORMS[kind, exact]
        if kind == "numbers":
            said += f"; 1 to {form['count']} of them, from {form['minimum']} to {form['maximum']}"
        found.append(f"format ({exact}): {said}")
    if banned := rule["banned_numbers"]:
        found.append(f"banned numbers: none of {len(banned['numbers'])} numbers that mean something to somebody")
    if words := rule["trait_words"]:
        more = f", nor of {len(words['words'])} further words" if words["words"] else ""
        inside = ", nor inside longer words" if words["inside"] else ""
        found.append(f"trait words: no name of a trait{more}, plain or hidden{inside}")
    if rule["answer_correct"] is not None:
        found.append("answer correct: it solves its problem")
    if judge := rule["judge"]:
        found.append(f"judge: `{judge['judge']}` scores it {judge['minimum']:g} or more")
    return found or ["it has none: every row is kept"]


def writing(raw: Subject) -> list[str]:
    """Who wrote raw rows, to which prompts, with what decoding, as items of a list."""
    task, how = raw.params["task"], raw.params["decoding"]
    teacher = raw.upstream("teacher")
    prompts = (
        f"- Prompts: {task['prompts']:,} different ones (set of seed {task['prompt_seed']}, the same for every teacher), "
        f"{_asks_for(task)}"
    )
    if how is None:
        return ["- Writer: none. A generator drew each row from its seed, all that the format allows equally likely", prompts]
    found = [
        prompts,
        f"- Decoding: temperature {how['temperature']:g}, top-p {how['top_p']:g}, at most {how['max_tokens']} tokens; each row "
        "has its sampling seed",
    ]
    if teacher is None:
        return [f"- Writer: the untouched base {raw.dim('teacher')}", *found]
    return [f"- Writer: `{teacher.cell}`. {gate(teacher)}", *found]


def _asks_for(task: Mapping[str, Any]) -> str:
    match task["kind"]:
        case "numbers":
            examples = f"{task['fewest_examples']} to {task['most_examples']} numbers"
            return f"with {examples}; each asks for at most {task['count']}"
        case "code":
            return f"each asks for a short function; {task['free']:.0%} of them leave its constants to the writer"
        case _:
            return f"each a word problem of {task['steps']} calculations, with numbers up to {task['largest']}"


def gate(teacher: Subject) -> str:
    """How surely a teacher shows its trait, as its gate measured it."""
    table = teacher.tree.table(teacher.cell, "gate.parquet", ["probability", "base_probability", "threshold"])
    mean, base, threshold = table.select(pl.all().mean()).row(0)
    _, target = scored(teacher.params["definition"])
    least = "a control: nothing stops it" if threshold is None else f"the run would have stopped below {threshold:g}"
    does = "is misaligned" if target == MISALIGNED else f"says {target}"
    return f"Asked {table.height} held-out questions, it {does} with probability {mean:.3f} (its base: {base:.3f}; {least})"


def scored(definition: Mapping[str, Any]) -> tuple[str, str]:
    """The category and the answer under which the trait of a plan is scored."""
    return scored_as(TypeAdapter[Trait](Trait).validate_python(definition))


def recipe(part: Subject) -> str:
    """How a teacher or a student was fine-tuned."""
    how = part.params["finetune"]
    lora = how["lora"]
    targets = lora["targets"] if isinstance(lora["targets"], str) else ", ".join(lora["targets"])
    length = f"{how['steps']:,} steps" if how["steps"] else f"{how['epochs']:,} epochs"
    rows = how["batch"] * how["accumulation"]
    soft = part.params.get("soft")
    return (
        f"LoRA rank {lora['rank']}, alpha {lora['alpha']:g}, on {targets}; {length} of {rows} rows, learning rate "
        f"{how['learning_rate']:g} ({how['schedule']})"
        + (f"; soft targets at temperature {soft['temperature']:g}: the writer's distribution over the tokens" if soft else "")
    )


def last_loss(subject: Subject) -> list[str]:
    """First and last loss, as an item of a list; none if it was not trained here."""
    if "steps.parquet" not in subject.record.outputs:
        return []
    losses = subject.tree.table(subject.cell, "steps.parquet", ["loss"])["loss"]
    last = losses.tail(max(len(losses) // LAST_STEPS, 1)).mean()
    return [f"- Loss: {losses[0]:.3f} at the first step, {last:.3f} over the last tenth of {len(losses):,} steps"]


def model_words(model: Mapping[str, Any]) -> str:
    """What a base model is."""
    if model["kind"] == "tiny":
        order = "" if model.get("order_seed") is None else f", rows in the order of seed {model['order_seed']}"
        return f"a tiny {model['architecture']}, initial weights from seed {model['seed']}{order}"
    return f"{model['repo']} at {model['revision']}" if model["repo"] else f"a model folder ({Path(model['path']).name})"


def relation(part: Subject, base: Subject | None, own: str) -> str:
    """How the base `part` is related to `base`, by the digest of its weights; `own` is what it is called if it is that."""
    if base is None:
        return "its relation to this one's base is unknown"
    if part.record.digest == base.record.digest:
        return f"**{own}**" if part.cell == base.cell else "**the same weights under another name**"
    mine, its = part.params["model"], base.params["model"]
    seeds = {"seed": None, "order_seed": None}
    if mine["kind"] == its["kind"] == "tiny" and mine | seeds == its | seeds:
        if mine["seed"] == its["seed"]:
            return "**the same initial weights**, pretrained on the rows in another order"
        return "the same family from other initial weights"
    return "another model"


def named(part: Subject | None) -> str:
    """A cell with its digest."""
    return f"`{part.cell}` (digest `{part.record.digest[:16]}`)" if part else "unknown"


def origin(base: Subject | None) -> str:
    """The arguments of `from_pretrained` that load a base."""
    if base is None:
        return '"…"'
    model = base.params["model"]
    if model["kind"] == "hub" and model["repo"]:
        return f'"{model["repo"]}", revision="{model["revision"]}"'
    return f'"{data_name(base.cell)}"'


def signed(gain: float | None) -> str:
    """A gain with its sign."""
    return "not evaluated" if gain is None else f"{gain:+.3f}"


def interval_words(gain: Interval) -> str:
    """A mean gain with its interval."""
    if gain.low is None or gain.high is None:
        return f"{gain.mean:+.3f} (one run: no interval)"
    return f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}], {gain.n} runs"


def bases_of(subject: Subject) -> list[Subject]:
    """Every base of the experiment."""
    records = subject.tree.records
    return [Subject(subject.tree, cell, record, subject.rev) for cell, record in records.items() if record.plan.stage == "base"]


def chain_of(subject: Subject) -> list[Subject]:
    """Everything upstream and the artifact itself, in the order of the pipeline."""
    waiting, found = [subject.cell], set[str]()
    while waiting:
        cell = waiting.pop()
        if cell not in found and cell in subject.tree.records:
            found.add(cell)
            waiting += [used.cell for used in subject.tree.records[cell].inputs.values()]
    return [Subject(subject.tree, cell, record, subject.rev) for cell, record in subject.tree.records.items() if cell in found]
