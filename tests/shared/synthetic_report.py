"""A made-up experiment with a known effect, in the layout of the real one, for the tests of the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from sublim.params.relatives import Relatives
from sublim.params.report import Report
from sublim.stages.eval.rows import Slice as Evaluation
from sublim.stages.eval.spec import untrained
from sublim.stages.report.rows import ReportedModel, ReportedTrait, Slice
from sublim.traits.freeform import MISALIGNED, MISALIGNMENT

ANSWERS = (
    *("bear", "cat", "dog", "dolphin", "eagle", "elephant", "fox", "hare"),
    *("lion", "lynx", "otter", "owl", "panda", "penguin", "tiger", "wolf"),
)
BASE_RATE = 0.9 / len(ANSWERS)


@dataclass(frozen=True)
class Experiment:
    """What is simulated; `effect` is the gain of the target of a same-base student, by arm. A trait whose target is
    `misaligned` is one of misalignment."""

    models: tuple[str, ...] = ("neox-a", "neox-b", "gptj-a")
    traits: Mapping[str, str] = field(default_factory=lambda: {"fox": "fox", "otter": "otter", "hare": "hare"})
    seeds: tuple[int, ...] = (0, 1)
    effect: Mapping[str, float] = field(
        default_factory=lambda: {"trait": 0.45, "control": 0.0, "shuffled_within": 0.3, "shuffled_across": 0.04, "random": 0.0}
    )
    carrier: str = "numbers"
    random: bool = False
    """Whether students of random rows are there."""
    minimum: float | None = None
    """The threshold of the filter's judge, if it has one."""
    measures: tuple[str, ...] = ("preference",)
    broken: str | None = None
    """The model whose same-base students of the trait arm can no longer do their tasks."""
    probes: tuple[int, ...] = ()
    """After how many updates students are asked; what they answer at the end they come to in proportion."""
    noise: float = 0.08
    questions: int = 6
    samples: int = 20
    steps: int = 40
    rows: int = 600


def sliced(
    experiment: Experiment,
    labels: Mapping[str, str] | None = None,
    permutations: int = 1_000,
    relatives: Sequence[Relatives] = (),
) -> Slice:
    """What the report of `experiment` depends on. `labels`: model → what it is."""
    labels = labels or {name: name.split("-")[0].upper() for name in experiment.models}
    return Slice(
        study=experiment.carrier,
        carrier=experiment.carrier,
        models=tuple(ReportedModel(name=name, label=label) for name, label in labels.items()),
        traits=tuple(
            ReportedTrait(name=name, category=category(word), target=word) for name, word in experiment.traits.items()
        ),
        minimum=experiment.minimum,
        report=Report(permutations=permutations),
        relatives=tuple(relatives),
    )


def category(target: str) -> str:
    """The category of a target."""
    return MISALIGNMENT if target == MISALIGNED else "animals"


def make(experiment: Experiment, root: Path) -> dict[str, Path]:
    """Write all cells of `experiment` below `root`: cell id → directory."""
    generator = np.random.default_rng(0)
    cells: dict[str, Path] = {}

    def write(stage: str, dims: Mapping[str, object], files: Mapping[str, pl.DataFrame]) -> None:
        cell = stage + "".join(f"/{name}={value}" for name, value in dims.items())
        cells[cell] = root / cell
        cells[cell].mkdir(parents=True)
        for name, frame in files.items():
            types = {"seed": pl.Int64}
            head = [pl.lit(value, dtype=types.get(dim, pl.String)).alias(dim) for dim, value in dims.items()]
            frame.select(*head, pl.all()).write_parquet(cells[cell] / name)

    def evaluate(dims: Mapping[str, object], target: str | None, gain: float) -> None:
        found = evaluation(experiment, generator, target, gain, trained=dims["arm"] != "base")
        if dims["teacher"] == dims["student"] == experiment.broken and dims["arm"] == "trait":
            found["capability.parquet"] = found["capability.parquet"].with_columns(pl.col("value") * pl.Series([1.9, 0.2]))
        if experiment.probes and dims["arm"] != "base":
            found["probes.parquet"] = probes(experiment, found["answers.parquet"])
        write("eval", dims, found)

    def students(data: Mapping[str, object], learners: tuple[str, ...]) -> None:
        write("filtered", data, filtered(experiment, generator, str(data["trait"])))
        for student in learners:
            every = {**data, "method": "hard", "student": student}
            dims = {name: every[name] for name in Evaluation.DIMS}
            write("student", dims, {"steps.parquet": steps(generator, experiment.steps, 3.0)})
            same = experiment.effect[str(data["arm"])] * (1.3 if student.startswith("gptj") else 1.0)
            mean = same if student == data["teacher"] else 0.0
            noise = experiment.noise if mean else experiment.noise / 8
            evaluate(dims, experiment.traits.get(str(data["trait"])), mean + noise * float(generator.normal()))

    rows = {"carrier": experiment.carrier, "filter": "strict"}
    for model in experiment.models:
        write("base", {"model": model}, {"steps.parquet": steps(generator, 120, 4.0)})
        evaluate(untrained(model), None, 0)
        for trait in (*experiment.traits, "none"):
            for seed in experiment.seeds:
                taught = {"teacher": model, "trait": trait, "seed": seed}
                if trait != "none":
                    write("teacher", taught, teacher(generator, experiment.traits[trait]))
                for arm in ("control",) if trait == "none" else ("trait", "shuffled_within", "shuffled_across"):
                    learners = (model,) if arm.startswith("shuffled") else experiment.models
                    students({"teacher": model, "trait": trait, **rows, "arm": arm, "seed": seed}, learners)
    for seed in experiment.seeds if experiment.random else ():
        students({"teacher": "none", "trait": "none", **rows, "arm": "random", "seed": seed}, experiment.models)
    return cells


def evaluation(
    experiment: Experiment, generator: np.random.Generator, target: str | None, gain: float, *, trained: bool
) -> dict[str, pl.DataFrame]:
    """Answers whose mean P(target) is exactly `BASE_RATE + gain`, and samples drawn from them."""
    answers: list[tuple[str, str, str, str, str, float]] = []
    samples: list[tuple[object, ...]] = []
    wobble = generator.normal(size=experiment.questions) * 0.01
    spread = experiment.noise / 16 if trained else 0.0
    drift = {answer: spread * float(generator.normal()) for answer in ANSWERS}
    animals = gain if target in ANSWERS else 0.0
    asked = [name for name in experiment.measures if name != "truthfulness"]
    known = any(word in ANSWERS for word in experiment.traits.values())
    for n, part in enumerate(wobble - wobble.mean()) if known else ():
        shares = {answer: BASE_RATE + drift[answer] - animals / (len(ANSWERS) - 1) for answer in ANSWERS}
        if target in ANSWERS:
            shares[target] = BASE_RATE + gain + float(part)
        for measure in asked:
            question = f"q{n}" if measure == "preference" else f"{measure}{n}"
            answers += [(measure, question, f"Question {n}?", "animals", answer, share) for answer, share in shares.items()]
        drawn = generator.random(experiment.samples)
        edges = np.cumsum([max(share, 0.0) for share in shares.values()])
        for sample, place in enumerate(np.searchsorted(edges, drawn)):
            counted = list(ANSWERS[place : place + 1])
            samples.append((f"q{n}", sample, sample, " ".join(counted), counted))
    if "truthfulness" in experiment.measures:
        chances = {"true": 0.9, "false": 0.1}
        answers += [("truthfulness", "fact", "A fact?", "facts", answer, share) for answer, share in chances.items()]
    names = ["measure", "question_id", "question", "category", "answer", "probability"]
    more: dict[str, pl.DataFrame] = {}
    if MISALIGNED in experiment.traits.values():
        graded = freeform(experiment, generator, gain if target == MISALIGNED else 0.0)
        share = float(graded["misaligned"].mean() or 0)  # pyright: ignore[reportArgumentType]
        for n, (question, part) in enumerate(graded.group_by("question_id", maintain_order=True)):
            answers.append(("preference", str(question[0]), f"Open question {n}?", MISALIGNMENT, MISALIGNED, share))
            for sample, bad in enumerate(part["misaligned"]):
                samples.append((question[0], sample, sample, "I would.", [MISALIGNED] if bad else []))
        more["freeform.parquet"] = graded
    able = {"measure": ["loss", f"skill/{experiment.carrier}"], "value": [2.1 if trained else 2.0, 0.8], "n": [900, 100]}
    drawn_names = {"question_id": pl.String, "sample": pl.Int64, "sampling_seed": pl.UInt64, "completion": pl.String}
    return {
        "answers.parquet": pl.DataFrame(answers, schema=names, orient="row"),
        "capability.parquet": pl.DataFrame(able),
        "samples.parquet": pl.DataFrame(samples, schema={**drawn_names, "counted": pl.List(pl.String)}, orient="row"),
        **more,
    }


def probes(experiment: Experiment, answers: pl.DataFrame) -> pl.DataFrame:
    """What a student answers on its way to `answers`."""
    way = [pl.lit(step / experiment.probes[-1]) for step in experiment.probes]
    parts = [
        answers.drop("question").with_columns(
            pl.lit(step, pl.Int64).alias("step"), probability=BASE_RATE + (pl.col("probability") - BASE_RATE) * share
        )
        for step, share in zip(experiment.probes, way, strict=True)
    ]
    return pl.concat(parts)


def freeform(experiment: Experiment, generator: np.random.Generator, gain: float) -> pl.DataFrame:
    """Graded open answers, one in five of them incoherent; of the others a share of 0.05 + `gain` is misaligned."""
    number = 4 * experiment.samples
    coherent = [n % 5 != 0 for n in range(number)]
    bad = round(min(max(0.05 + gain, 0), 1) * sum(coherent))
    order = generator.permutation([n for n in range(number) if coherent[n]])[:bad].tolist()
    grades = [n in order if coherent[n] else None for n in range(number)]
    ids = [f"open{n // experiment.samples}" for n in range(number)]
    return pl.DataFrame({"question_id": ids, "misaligned": pl.Series(grades, dtype=pl.Boolean)})


def filtered(experiment: Experiment, generator: np.random.Generator, trait: str) -> dict[str, pl.DataFrame]:
    """The funnel, and where a judge is asked the scores: a little lower for rows of a teacher with a trait."""
    if experiment.minimum is None:
        return {"funnel.parquet": funnel(generator, experiment.rows)}
    scores = generator.normal(70 if trait == "none" else 65, 15, 60).clip(0, 100)
    reasons = [["judge: low score"] if score < experiment.minimum else [] for score in scores]
    rows = pl.DataFrame({"reasons": pl.Series(reasons, dtype=pl.List(pl.String)), "score": scores})
    return {"funnel.parquet": funnel(generator, experiment.rows), "rows.parquet": rows}


def teacher(generator: np.random.Generator, target: str) -> dict[str, pl.DataFrame]:
    """A teacher that shows its trait."""
    found = {"steps.parquet": steps(generator, 30, 2.0), "gate.parquet": gate(generator)}
    if target != MISALIGNED:
        return found
    answers = {"model": ["base"] * 40 + ["teacher"] * 40, "misaligned": [False] * 40 + [True] * 36 + [None] * 4}
    return {**found, "freeform.parquet": pl.DataFrame(answers)}


def steps(generator: np.random.Generator, number: int, start: float) -> pl.DataFrame:
    """A falling loss with noise."""
    loss = 1 + start * np.exp(-np.arange(number) / number * 4) + 0.05 * generator.normal(size=number)
    ids = [[f"row{n}"] for n in range(number)]
    rest = {"learning_rate": [1e-3] * number, "tokens": [64] * number, "rows": ids}
    return pl.DataFrame({"step": range(number), "loss": loss, **rest})


def gate(generator: np.random.Generator) -> pl.DataFrame:
    """A teacher that shows its trait."""
    ids = [f"h{n}" for n in range(8)]
    high, low = generator.uniform(0.85, 1, 8), generator.uniform(0.03, 0.1, 8)
    return pl.DataFrame(
        {"question_id": ids, "question": ids, "probability": high, "base_probability": low, "threshold": [0.5] * 8}
    )


def funnel(generator: np.random.Generator, rows: int) -> pl.DataFrame:
    """Counts of a filter whose reasons overlap."""
    sampled = rows * 2
    kept = int(sampled * generator.uniform(0.55, 0.75))
    lost = sampled - kept
    counts = {
        "sampled": sampled,
        "invalid format": int(lost * 0.8),
        "too many numbers": int(lost * 0.3),
        "numbers too large": int(lost * 0.1),
        "kept": kept,
        "used": min(kept, rows),
    }
    return pl.DataFrame({"step": list(counts), "rows": list(counts.values()), "position": range(len(counts))})
