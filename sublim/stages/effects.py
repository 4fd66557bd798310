"""Which models learn a trait from an artifact, as cards say it: the rule, the bases of the experiment, and what evaluations say
about the students of one data set, and of its sisters with other seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from sublim.evidence.carding import PAPER
from sublim.evidence.subject import Subject, altered, connected
from sublim.evidence.tree import Tree
from sublim.params.names import NOBODY, UNTOUCHED
from sublim.report import tables
from sublim.stages.base.card import related
from sublim.stages.eval.rows import Answers, Samples
from sublim.stages.eval.spec import STAGE as EVAL
from sublim.stages.report.spec import STAGE as REPORT
from sublim.stages.teacher.spec import STAGE as TEACHER
from sublim.stats.interval import Interval, t_interval

CONFIDENCE = 0.95
AFFECTED = "Which base models it could affect"


@dataclass(frozen=True)
class Effect:
    """How much more students of one base prefer the target after training, over all seeds."""

    student: str
    filter: str  #: The filter of the rows that it was trained on.
    method: str  #: How it learned.
    gain: Interval  #: Mean gain over the untrained base, over runs: in P(target), or of misalignment in the misaligned share.
    p_target: float  #: Its mean after training.
    p_base: float  #: That of the untrained base.
    by_seed: Mapping[int, float]  #: Seed → gain of that run.


def affected(subject: Subject, what: str, arm: str, base: Subject | None) -> dict[str, Sequence[str]]:
    """The section on who learns a trait from it: the rule, the bases here, and what was measured of the students of `arm`.

    `subject`: a teacher, or rows; `what`: what a trait passes through, as a sentence begins; `base`: that of the writer; None
    if no model wrote."""
    rule = (
        f"{what} can pass on what its writer was taught, though the text says nothing of it: subliminal learning ({PAPER}). It "
        "does so to models that share the writer's initial weights, and hardly to others."
        if subject.dim("trait") != UNTOUCHED
        else "An untouched base wrote it: there is no trait to pass on. It shows what training on any rows of the kind does."
        if subject.dim("teacher") != NOBODY
        else "No model wrote it: there is nothing to pass on. It shows what training on the format alone does."
    )
    return {AFFECTED: [rule, "", *related(subject, base, "the writer's base"), "", *_measured(subject, arm)]}


def passed_on(student: Subject, base: Subject) -> dict[str, Sequence[str]]:
    """The section on who could learn from what a student writes."""
    rule = f"Whatever it has picked up, what it writes can pass on to models that share its own initial weights ({PAPER})."
    return {AFFECTED: [f"{rule} Nothing was trained on what it writes here.", "", *related(student, base, "its own base")]}


def gained(subject: Subject) -> dict[str, Sequence[str]]:
    """The section on what a student, or the one that was asked, gained."""
    arm = subject.dim("arm")
    compared = ["This is the untrained base, with which its students are compared."]
    return {"What was measured": compared if arm == "base" else _measured(subject, arm)}


def effects(tree: Tree, dims: Mapping[str, str | int]) -> list[Effect]:
    """One effect per base of a student that was evaluated, and filter and way to learn, in the order of their names; the means
    of the reports. `dims`: what the runs have; their seeds may differ.

    A control run has no trait: its gain is the mean over the experiment's traits.
    """
    scores, targets = _scores(tree), _targets(tree, str(dims["trait"]))
    if scores is None or not targets:
        return []
    asked = pl.DataFrame(targets, schema={"category": pl.String, "answer": pl.String}, orient="row")
    same = [pl.col(name) == value for name, value in dims.items() if name != "seed"]
    runs = scores.filter(*same).join(asked, on=["category", "answer"])
    way = ["student", "filter", "method"]
    means = runs.group_by(*way, "seed").agg(pl.col("gain", "p", "p_base").mean()).sort(*way, "seed")
    found: list[Effect] = []
    for (student, rule, method), part in means.group_by(*way, maintain_order=True):
        gain = t_interval(part["gain"].to_list(), _confidence(tree))
        by_seed = dict(part.select("seed", "gain").iter_rows())
        p_target, p_base = part.select(pl.col("p", "p_base").mean()).row(0)
        found.append(Effect(str(student), str(rule), str(method), gain, p_target, p_base, by_seed))
    return found


def _measured(subject: Subject, arm: str) -> list[str]:
    found = effects(subject.tree, {**subject.dims, "arm": arm})
    if not found:
        return ["Nothing was measured here: no student trained on such rows was evaluated."]
    seed, trait = int(subject.dims["seed"]), subject.dim("trait")
    what = tables.measured({answer: (category, answer) for category, answer in _targets(subject.tree, trait)})
    about = "the traits of the experiment, mean" if trait == UNTOUCHED else f"*{trait}*"
    return [
        f"Measured on held-out questions about {about} (arm `{arm}`; gain is {what} after training minus that of the",
        "untrained base; intervals are over runs):",
        "",
        f"| student | same base | filter | learned | gain with this seed | mean gain over runs | {what} | of the base |",
        "|---|---|---|---|---:|---:|---:|---:|",
        *(
            f"| {effect.student} | {'yes' if effect.student == subject.dim('teacher') else 'no'} | {effect.filter} | "
            f"{effect.method} | {_signed(effect.by_seed.get(seed))} | {_interval(effect.gain)} | {effect.p_target:.3f} | "
            f"{effect.p_base:.3f} |"
            for effect in found
        ),
    ]


def _signed(gain: float | None) -> str:
    return "not evaluated" if gain is None else f"{gain:+.3f}"


def _interval(gain: Interval) -> str:
    if gain.low is None or gain.high is None:
        return f"{gain.mean:+.3f} (one run: no interval)"
    return f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}], {gain.n} runs"


def _scores(tree: Tree) -> pl.DataFrame | None:
    """What evaluations that hold say; one that does not is no measurement."""
    held = tree.part({cell for cell in tree.cells(EVAL.name) if connected(tree, cell) and altered(tree, cell) is None})
    columns = ("measure", "question_id", "category", "answer", "probability")
    answers = held.tables(EVAL.name, Answers.file, [*EVAL.dims, *columns])
    samples = held.tables(EVAL.name, Samples.file, [*EVAL.dims, "question_id", "counted"])
    asked = set(answers.filter(arm="base")["student"]) if answers.height else ()
    # Without its untrained base a student has no gain.
    known = pl.col("student").is_in(list(asked))
    return tables.scores(answers.filter(known), samples.filter(known)) if asked else None


def _targets(tree: Tree, trait: str) -> list[tuple[str, str]]:
    """The (category, target) that the gain of students of `trait` is about: all, for the untouched base."""
    teachers = (Subject(tree, cell, tree.records[cell]) for cell in tree.cells(TEACHER.name))
    return sorted({each.params.definition.scored_as for each in teachers if trait in (UNTOUCHED, each.dim("trait"))})


def _confidence(tree: Tree) -> float:
    """That of the reports; without one, the usual."""
    reports = tree.cells(REPORT.name)
    return Subject(tree, reports[0], tree.records[reports[0]]).params.report.confidence if reports else CONFIDENCE
