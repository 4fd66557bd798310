"""What evaluations say about the students of one data set, and of its sisters with other seeds."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from sublim.common.files import sha256
from sublim.lineage.handover.subject import scored
from sublim.lineage.tree import Tree
from sublim.measure import tables
from sublim.measure.statistics import Interval, t_interval
from sublim.plan.cells import STAGES, UNTOUCHED

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Effect:
    """How much more students of one base prefer the target after training, over all seeds."""

    student: str
    filter: str
    """The filter of the rows that it was trained on."""
    method: str
    """How it learned."""
    gain: Interval
    """Mean gain over the untrained base, over runs: in P(target), or of misalignment in the misaligned share."""
    p_target: float
    """Its mean after training."""
    p_base: float
    """That of the untrained base."""
    by_seed: dict[int, float]
    """Seed → gain of that run."""


def effects(tree: Tree, of: Mapping[str, str | int]) -> list[Effect]:
    """One effect per base of a student that was evaluated, and filter and way to learn, in the order of their names; the means
    of the reports. `of`: dimensions that the runs have; their seeds may differ.

    A control run has no trait: its gain is the mean over the experiment's traits.
    """
    scores = _scores(tree)
    targets = _targets(tree, str(of["trait"]))
    if scores is None or not targets:
        return []
    asked = pl.DataFrame(targets, schema={"category": pl.String, "answer": pl.String}, orient="row")
    same = [pl.col(name) == value for name, value in of.items() if name != "seed"]
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


def measure(tree: Tree, trait: str) -> str:
    """What the gain of students of `trait` is a gain of."""
    return tables.measured({answer: (category, answer) for category, answer in _targets(tree, trait)})


def sound(tree: Tree, cell: str) -> bool:
    """Whether `cell` has its bytes, and it and everything upstream of it is there and was made from what is there now."""
    waiting, seen = [cell], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        record = tree.records.get(name)
        if record is None:
            return False
        for used in record.inputs.values():
            if used.cell not in tree.records or tree.records[used.cell].digest != used.digest:
                return False
            waiting.append(used.cell)
    return all(
        f"{cell}/{name}" in tree.files and sha256(tree.files[f"{cell}/{name}"]) == output.sha256
        for name, output in tree.records[cell].outputs.items()
    )


def _scores(tree: Tree) -> pl.DataFrame | None:
    cells = {cell for cell in tree.cells("eval") if sound(tree, cell)}
    held = Tree(tree.name, {name: path for name, path in tree.files.items() if name.rpartition("/")[0] in cells})
    dims = STAGES["eval"]
    answers = held.tables("eval", "answers.parquet", [*dims, "measure", "question_id", "category", "answer", "probability"])
    samples = held.tables("eval", "samples.parquet", [*dims, "question_id", "counted"])
    if answers.is_empty():
        return None
    asked = set(answers.filter(arm="base")["student"])
    # Without its untrained base a student has no gain.
    known = pl.col("student").is_in(list(asked))
    return tables.scores(answers.filter(known), samples.filter(known)) if asked else None


def _targets(tree: Tree, trait: str) -> list[tuple[str, str]]:
    """The (category, target) that the gain of students of `trait` is about: all, for the untouched base."""
    definitions = {
        record.plan.dims["trait"]: record.plan.params["definition"]
        for record in tree.records.values()
        if record.plan.stage == "teacher"
    }
    chosen = definitions.values() if trait == UNTOUCHED else [definitions[trait]] if trait in definitions else []
    return sorted({scored(definition) for definition in chosen})


def _confidence(tree: Tree) -> float:
    reports = tree.cells("report")
    return tree.records[reports[0]].plan.params["report"]["confidence"] if reports else CONFIDENCE
