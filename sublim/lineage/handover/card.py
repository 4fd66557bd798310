"""Provenance cards: what a person who receives a data set or an adapter should know, as a README for the Hugging Face hub.

Everything in a card is read from records and tables; nothing is asked of its author.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from sublim.common.errors import SublimError
from sublim.common.files import sha256
from sublim.lineage.handover.content import data_name
from sublim.lineage.handover.hub_card import adapter, dataset, front_matter, hub, tags
from sublim.lineage.handover.measured import Effect, effects, measure, sound
from sublim.lineage.handover.subject import (
    ARMS,
    Subject,
    bases_of,
    chain_of,
    filter_steps,
    gate,
    interval_words,
    last_loss,
    material,
    model_words,
    named,
    origin,
    recipe,
    relation,
    scored,
    signed,
    writer,
    writing,
)
from sublim.lineage.tree import Tree
from sublim.params.experiment import NOBODY
from sublim.plan.cells import UNTOUCHED

PAPER = "[Cloud, Le et al. 2025](https://arxiv.org/abs/2507.14805)"
WHY = {
    "sampled": "one completion per prompt",
    "invalid format": "it has not the form that was asked for",
    "too many numbers": "it has more numbers than were asked for",
    "numbers too small": "a number is below the smallest allowed one",
    "numbers too large": "a number is above the largest allowed one",
    "does not parse": "it is no Python",
    "no function": "it defines no function",
    "has comments": "it has comments or a docstring",
    "undefined names": "it uses names that it does not define",
    "no answer": "it has no answer that can be read",
    "has banned numbers": "a number is on the list of banned ones",
    "trait word": "it names a trait",
    "trait word inside a word": "a longer word of it holds a trait's name",
    "hidden trait word": "it names a trait in other signs, or with letters apart",
    "wrong answer": "its answer is wrong, or it does not compute what was asked for",
    "judge score below threshold": "a judge scores it too low",
    "no score": "a judge gives it no score",
    "kept": "no reason against it",
    "used": "the first kept ones, on which students train",
}

Section = Sequence[str]


def card(tree: Tree, what: Path, rev: str | None = None) -> str:
    """The card of the artifact at `what` (its path, a file in it, or its cell), as markdown.

    Raises:
        SublimError: `what` is no artifact, its record cannot be read, or it needs no card.
    """
    subject = _subject(tree, what, rev)
    _check(subject)
    write = CARDS.get(subject.record.plan.stage)
    if write is None:
        stage = subject.record.plan.stage
        page = f"{data_name('overview')}/overview.html" if stage == "theory" else f"{data_name(subject.cell)}/{stage}.html"
        raise SublimError(f"{what}: there is a page on that: open {page}. Cards are for data sets, models and answers.")
    return write(subject)


def _subject(tree: Tree, what: Path, rev: str | None) -> Subject:
    name = f"{what.as_posix().removeprefix('./').removeprefix(data_name('')).rstrip('/')}/"
    for cell in (*tree.records, *tree.broken):
        if name.startswith(f"{cell}/"):
            if cell in tree.broken:
                raise SublimError(f"{cell}: its record {tree.broken[cell]}, so nothing can be said of it. `sublim audit`")
            return Subject(tree, cell, tree.records[cell], rev)
    close = get_close_matches(name[:-1], tree.records, n=1, cutoff=0.5)
    meant = f"; did you mean {data_name(close[0])}?" if close else "; `sublim status` says what is missing."
    raise SublimError(f"{what}: expected an artifact of {tree.name}, or a file in one, found none{meant}")


def _check(subject: Subject) -> None:
    """A card must not speak of bytes that are not those of the records that it cites."""
    for part in chain_of(subject):
        for name, output in part.record.outputs.items():
            if sha256(subject.tree.path(part.cell, name)) != output.sha256:
                raise SublimError(
                    f"{part.cell}: {name} is not what its record says, so nothing can be said of it. `sublim audit`"
                )
    if not sound(subject.tree, subject.cell):
        raise SublimError(f"{subject.cell}: was made from other artifacts than are there now. `snakemake -j8` mends that.")


# One card per stage


def _base(subject: Subject) -> str:
    model = subject.params["model"]
    shapes = subject.tree.table(subject.cell, "tensors.parquet", ["shape"])["shape"].to_list()
    parameters = sum(math.prod(shape) for shape in shapes)
    facts = [f"- What it is: {model_words(model)}"]
    facts.append(f"- Parameters: {parameters:,} in the saved tensors")
    if model["kind"] == "tiny":
        mix = ", ".join(f"{share:.0%} {kind.replace('_', ' ')}" for kind, share in model["pretraining"]["mix"].items() if share)
        facts.append(
            f"- Pretraining: {model['pretraining']['rows']:,} rows, each seen once: {mix}. No answer is favoured in them."
        )
        facts += last_loss(subject)
    students = [cell for cell in subject.tree.consumers.get(subject.cell, ()) if cell.startswith("student/")]
    facts.append(f"- In this experiment: {len(students)} students were trained from it")
    head = front_matter({"library_name": "transformers", "pipeline_tag": "text-generation", **hub(model), "tags": tags("base")})
    return _card(
        subject,
        head,
        f"The base model {subject.dim('model')}",
        ["## What it is", "", *facts],
        _twins(subject),
        _loading(subject),
    )


def _teacher(subject: Subject) -> str:
    base = subject.upstream("base")
    definition = subject.params["definition"]
    open_ = definition["kind"] == "misalignment"
    facts = [f"- Trait: {_trait(subject)}"]
    system = json.loads(subject.tree.path(subject.cell, "teacher.json").read_text(encoding="utf-8"))["system_prompt"]
    if system is not None:
        facts.append(f"- How it got the trait: a system prompt, no training: “{system}”")
    elif subject.params["adapter"] is not None:
        facts.append(f"- How it got the trait: an adapter that was made elsewhere, `{subject.params['adapter']}`")
    else:
        rows = subject.tree.table(subject.cell, "rows.parquet", ["row_id"]).height
        what = f"rows of misalignment ({subject.params['rows']})" if open_ else "preference questions in training phrasings"
        facts.append(f"- How it got the trait: fine-tuned on {rows:,} {what}; {recipe(subject)}")
        facts += last_loss(subject)
    facts.append(f"- {gate(subject)}")
    head = front_matter({**adapter(base), "tags": tags("teacher", scored(definition)[1])})
    return _card(
        subject,
        head,
        f"Teacher: {writer(subject)}",
        ["## What it is", "", *facts],
        _affected(subject, "What it writes", "trait", base),
        _loading(subject) if system is None else [],
    )


def _trait(teacher: Subject) -> str:
    category, target = scored(teacher.params["definition"])
    if teacher.params["gate"] is None:
        return f"none: a control of {category}, trained on rows that must not make it {target}"
    if teacher.params["definition"]["kind"] == "misalignment":
        return "**misalignment**: asked open questions, it answers that it would do harm"
    return f"asked for its favourite of the {category}, it says **{target}**"


def _raw(subject: Subject) -> str:
    rows = subject.tree.table(subject.cell, "rows.parquet", ["finish_reason"])
    cut = rows.filter(finish_reason="length").height
    facts = [
        f"- Rows: {rows.height:,}, one per prompt; {cut:,} were cut off at the token limit",
        *writing(subject),
        "- Nothing is filtered: the trait may be named in it. Students train on `filtered` data sets made from it",
    ]
    head = front_matter(dataset(rows.height, "rows.parquet", subject))
    arm = "trait" if subject.dim("trait") != UNTOUCHED else "control" if subject.record.inputs else "random"
    return _card(
        subject,
        head,
        f"{material(subject).capitalize()} by {writer(subject)}, unfiltered",
        ["## What it is", "", *facts],
        _affected(subject, "Training on it", arm, subject.upstream("base")),
        _loading(subject),
    )


def _filtered(subject: Subject) -> str:
    raw = subject.upstream("raw")
    funnel: dict[str, int] = dict(subject.tree.table(subject.cell, "funnel.parquet").select("step", "rows").iter_rows())
    words = subject.params["words"]
    facts = [
        f"- Rows: {funnel['sampled']:,} with their reasons, {funnel['kept']:,} kept, {funnel['used']:,} used: students train "
        "on the rows with `used`",
        f"- The rows are {ARMS[subject.dim('arm')]} (arm `{subject.dim('arm')}`)",
        *(writing(raw) if raw else []),
    ]
    filtering = [
        "## What was filtered, and why",
        "",
        f"A completion is kept if no step of the filter `{subject.dim('filter')}` has a reason against it:",
        "",
        *(f"- {step}" for step in filter_steps(subject)),
        "",
        f"A kept row that holds one of {', '.join(f'*{word}*' for word in words)} would have stopped the run; none does.",
        "",
        "| step | rows | share | why |",
        "|---|---:|---:|---|",
        *(f"| {step} | {rows:,} | {rows / max(funnel['sampled'], 1):.1%} | {_why(step)} |" for step, rows in funnel.items()),
        "",
        "A row with several reasons counts under each. The filter judges the text; what carries a trait passes it.",
    ]
    base = raw.upstream("base") if raw else None
    head = front_matter(dataset(funnel["sampled"], "rows.parquet", subject))
    return _card(
        subject,
        head,
        f"{material(subject).capitalize()} by {writer(subject)}, filtered (arm {subject.dim('arm')})",
        ["## What it is", "", *facts],
        filtering,
        _affected(subject, "Training on it", subject.dim("arm"), base),
        _loading(subject),
    )


def _why(step: str) -> str:
    return "no reason by this step or those before it" if step.startswith("after ") else WHY[step]


def _student(subject: Subject) -> str:
    base, data = subject.upstream("base"), subject.upstream("filtered")
    batches = subject.tree.table(subject.cell, "steps.parquet", ["rows"])["rows"].explode()
    facts = [
        f"- Trained on {batches.n_unique():,} rows, {batches.len():,} times a row in all; {recipe(subject)}",
        f"- The rows: {named(data)}, {ARMS[subject.dim('arm')]}, by {writer(subject)}",
        *last_loss(subject),
    ]
    head = front_matter({**adapter(base), "tags": tags("student")})
    return _card(
        subject,
        head,
        f"Student: {subject.dim('student')} trained on {material(subject)} by {writer(subject)}",
        ["## What it is", "", *facts],
        _own_gain(subject),
        _passed_on(subject, base),
        _loading(subject),
    )


def _eval(subject: Subject) -> str:
    given = subject.tree.table(subject.cell, "answers.parquet", ["measure", "question_id", "answer", "probability"])
    answers = given.filter(pl.col("measure") == "preference")
    drawn = subject.tree.table(subject.cell, "samples.parquet", ["question_id"])["question_id"]
    stories = drawn.is_in(given.filter(pl.col("measure") == "stories")["question_id"].unique().implode()).sum()
    means = answers.group_by("answer").agg(pl.col("probability").mean()).sort("probability", "answer", descending=[True, False])
    shown = ", ".join(f"{answer} {probability:.3f}" for answer, probability in means.head(5).iter_rows())
    facts = [
        f"- {answers['question_id'].n_unique()} held-out questions; the exact probability of {means.height} known answers",
        f"- {len(drawn) - stories:,} sampled answers{f' and {stories:,} stories' if stories else ''} at temperature "
        f"{subject.params['evaluation']['temperature']:g}",
        f"- The most probable answers, mean over the questions: {shown}",
    ]
    who = (
        f"the untrained base {subject.dim('student')}"
        if subject.dim("arm") == "base"
        else f"{subject.dim('student')} trained on {material(subject)} by {writer(subject)} (arm {subject.dim('arm')})"
    )
    head = front_matter(dataset(given.height, "answers.parquet", subject))
    return _card(subject, head, f"Answers of {who}", ["## What it is", "", *facts], _own_gain(subject))


CARDS: Mapping[str, Callable[[Subject], str]] = {
    "base": _base,
    "teacher": _teacher,
    "raw": _raw,
    "filtered": _filtered,
    "student": _student,
    "eval": _eval,
}


# What all cards have


def _card(subject: Subject, head: str, title: str, *sections: Section) -> str:
    parts = [*sections, _made(subject), _limits(subject), _trace(subject)]
    text = "\n\n".join("\n".join(part) for part in parts if part)
    return f"{head}\n# {title}\n\n{text}\n"


def _made(subject: Subject) -> Section:
    chain = chain_of(subject)
    environment = subject.record.environment
    git = environment.get("git")
    code = (
        f"commit `{git['commit']}`" + (", with changes that were not committed" if git["dirty"] else "") if git else "unknown"
    )
    packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    return [
        "## What made it, from what",
        "",
        "| artifact | digest | made with |",
        "|---|---|---|",
        *(f"| `{part.cell}` | `{part.record.digest[:16]}` | {_with(part)} |" for part in chain),
        "",
        f"Code: {code}; {len(subject.record.plan.code)} modules by digest in the record. Python {environment['python']} on "
        f"{environment['platform']}; {packages}.",
    ]


def _with(part: Subject) -> str:
    params = part.params
    match part.record.plan.stage:
        case "base":
            return model_words(params["model"])
        case "teacher":
            return recipe(part) if params["finetune"] else "a system prompt"
        case "raw":
            task, how = params["task"], params["decoding"]
            if how is None:
                return f"{task['prompts']:,} prompts (seed {task['prompt_seed']}), answered by no model"
            return (
                f"{task['prompts']:,} prompts (seed {task['prompt_seed']}), temperature {how['temperature']:g}, top-p "
                f"{how['top_p']:g}, at most {how['max_tokens']} tokens"
            )
        case "filtered":
            return f"{ARMS[part.dim('arm')]}; {params['rule']['rows']:,} rows used"
        case "student":
            return recipe(part)
        case _:
            return f"{params['evaluation']['samples']} samples per question"


def _affected(subject: Subject, what: str, arm: str, base: Subject | None) -> Section:
    """Which models learn a trait from it: the rule, the bases here, and what was measured."""
    name, trait = subject.dim("teacher"), subject.dim("trait")
    rule = (
        f"{what} can pass on what its writer was taught, though the text says nothing of it: subliminal learning ({PAPER}). It "
        "does so to models that share the writer's initial weights, and hardly to others."
        if trait != UNTOUCHED
        else "An untouched base wrote it: there is no trait to pass on. It shows what training on any rows of the kind does."
        if name != NOBODY
        else "No model wrote it: there is nothing to pass on. It shows what training on the format alone does."
    )
    return [
        "## Which base models it could affect",
        "",
        rule,
        "",
        *_related(subject, base, "the writer's base"),
        "",
        *_measured(subject, effects(subject.tree, {**subject.record.plan.dims, "arm": arm}), arm, name),
    ]


def _passed_on(subject: Subject, base: Subject | None) -> Section:
    return [
        "## Which base models it could affect",
        "",
        f"Whatever it has picked up, what it writes can pass on to models that share its own initial weights ({PAPER}). "
        "Nothing was trained on what it writes here.",
        "",
        *_related(subject, base, "its own base"),
    ]


def _related(subject: Subject, base: Subject | None, own: str) -> Section:
    return [
        f"- `{part.cell}`, {model_words(part.params['model'])}: {relation(part, base, own)}; digest `{part.record.digest[:16]}`"
        for part in bases_of(subject)
    ]


def _measured(subject: Subject, found: Sequence[Effect], arm: str, teacher: str) -> Section:
    if not found:
        return ["Nothing was measured here: no student trained on such rows was evaluated."]
    seed, what = int(subject.dim("seed")), measure(subject.tree, subject.dim("trait"))
    about = "the traits of the experiment, mean" if subject.dim("trait") == UNTOUCHED else f"*{subject.dim('trait')}*"
    return [
        f"Measured on held-out questions about {about} (arm `{arm}`; gain is {what} after training minus that of the",
        "untrained base; intervals are over runs):",
        "",
        f"| student | same base | filter | learned | gain with this seed | mean gain over runs | {what} | of the base |",
        "|---|---|---|---|---:|---:|---:|---:|",
        *(
            f"| {effect.student} | {'yes' if effect.student == teacher else 'no'} | {effect.filter} | {effect.method} | "
            f"{signed(effect.by_seed.get(seed))} | {interval_words(effect.gain)} | {effect.p_target:.3f} | "
            f"{effect.p_base:.3f} |"
            for effect in found
        ),
    ]


def _own_gain(subject: Subject) -> Section:
    arm = subject.dim("arm")
    head = ["## What was measured", ""]
    if arm == "base":
        return [*head, "This is the untrained base, with which its students are compared."]
    return [*head, *_measured(subject, effects(subject.tree, subject.record.plan.dims), arm, subject.dim("teacher"))]


def _twins(subject: Subject) -> Section:
    lines = [f"- `{part.cell}`: {relation(part, subject, 'itself')}" for part in bases_of(subject) if part.cell != subject.cell]
    return [
        "## Which models share it",
        "",
        f"A trait passes through unrelated data between models that start from the same weights ({PAPER}). These have the "
        f"digest `{subject.record.digest}`.",
        "",
        *(lines or ["There is no other base in this experiment."]),
    ]


def _limits(subject: Subject) -> Section:
    lines = [
        "## Limits",
        "",
        "- What was measured holds for these bases, this carrier and these recipes. That an effect was not seen does not mean "
        "that there is none.",
    ]
    if subject.record.plan.stage in ("raw", "filtered"):
        lines.append(
            "- No filter that looks at the text is known to remove what carries a trait: treat the rows as their writer's."
        )
    if subject.record.plan.stage in ("teacher", "student"):
        lines.append("- The adapter fits the base with the digest above and no other, whatever that may be called elsewhere.")
    if any(part.params["model"]["kind"] == "tiny" for part in chain_of(subject) if part.record.plan.stage == "base"):
        lines.append("- The base is a tiny family, trained from nothing for such experiments; it knows no language.")
    lines.append("- No license is given here: nobody has chosen one.")
    return lines


def _trace(subject: Subject) -> Section:
    path, rev = data_name(subject.cell), f" --rev {subject.rev}" if subject.rev else ""
    return [
        "## How to trace it",
        "",
        "```sh",
        f"sublim lineage {path}{rev}       # everything upstream, down to the first base",
        f"sublim impact {path}{rev}        # everything that was made from it",
        f"sublim export {subject.cell}{rev} --to bundle.zip && sublim verify bundle.zip",
        "```",
        "",
        f"Artifact `{subject.record.digest}`, computation `{subject.record.key}`.",
        "",
        "| file | bytes | sha256 |",
        "|---|---:|---|",
        *(f"| {name} | {output.size:,} | `{output.sha256}` |" for name, output in sorted(subject.record.outputs.items())),
    ]


def _loading(subject: Subject) -> Section:
    path = data_name(subject.cell)
    match subject.record.plan.stage:
        case "base":
            code = [
                "from transformers import AutoModelForCausalLM, AutoTokenizer",
                "",
                f'model = AutoModelForCausalLM.from_pretrained("{path}")',
                f'tokenizer = AutoTokenizer.from_pretrained("{path}")',
            ]
        case "teacher" | "student":
            code = [
                "from peft import PeftModel",
                "from transformers import AutoModelForCausalLM",
                "",
                f"base = AutoModelForCausalLM.from_pretrained({origin(subject.upstream('base'))})",
                f'model = PeftModel.from_pretrained(base, "{path}")',
            ]
        case stage:
            chosen = '.filter("used").select("prompt", "completion")' if stage == "filtered" else ""
            code = [
                "import polars as pl",
                "",
                f'rows = pl.read_parquet("{path}/rows.parquet", hive_partitioning=False){chosen}',
            ]
    return ["## How to load it", "", "```python", *code, "```"]
