"""A made-up experiment with a known effect, in the layout of the real one, for the tests of the report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from sublim.plan.cells import STAGES, untrained

ANSWERS = (
    *("bear", "cat", "dog", "dolphin", "eagle", "elephant", "fox", "hare"),
    *("lion", "lynx", "otter", "owl", "panda", "penguin", "tiger", "wolf"),
)
BASE_RATE = 0.9 / len(ANSWERS)


@dataclass(frozen=True)
class Experiment:
    """What is simulated; `effect` is the gain of the target of a same-base student, by condition."""

    models: tuple[str, ...] = ("neox-a", "neox-b", "gptj-a")
    traits: Mapping[str, str] = field(default_factory=lambda: {"fox": "fox", "otter": "otter", "hare": "hare"})
    seeds: tuple[int, ...] = (0, 1)
    effect: Mapping[str, float] = field(
        default_factory=lambda: {"trait": 0.45, "control": 0.0, "shuffled_within": 0.3, "shuffled_across": 0.04}
    )
    noise: float = 0.08
    questions: int = 6
    samples: int = 20
    steps: int = 40
    rows: int = 600


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
        write("eval", dims, evaluation(experiment, generator, target, gain, trained=dims["arm"] != "base"))

    for model in experiment.models:
        write("base", {"model": model}, {"steps.parquet": steps(generator, 120, 4.0)})
        evaluate(dict(untrained(model)), None, 0)
        for trait in (*experiment.traits, "none"):
            for seed in experiment.seeds:
                taught = {"teacher": model, "trait": trait, "seed": seed}
                if trait != "none":
                    write("teacher", taught, {"steps.parquet": steps(generator, 30, 2.0), "gate.parquet": gate(generator)})
                for arm in ("control",) if trait == "none" else ("trait", "shuffled_within", "shuffled_across"):
                    data = {
                        "teacher": model,
                        "trait": trait,
                        "carrier": "numbers",
                        "filter": "format",
                        "arm": arm,
                        "seed": seed,
                    }
                    write("filtered", data, {"funnel.parquet": funnel(generator, experiment.rows)})
                    for student in experiment.models:
                        if arm.startswith("shuffled") and student != model:
                            continue
                        every = {**data, "method": "hard", "student": student}
                        dims = {name: every[name] for name in STAGES["eval"]}
                        write("student", dims, {"steps.parquet": steps(generator, experiment.steps, 3.0)})
                        same = experiment.effect[arm] * (1.3 if model.startswith("gptj") else 1.0)
                        mean = same if student == model else 0.0
                        noise = experiment.noise if mean else experiment.noise / 8
                        evaluate(dims, experiment.traits.get(trait), mean + noise * float(generator.normal()))
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
    for n, part in enumerate(wobble - wobble.mean()):
        question = f"q{n}"
        shares = {answer: BASE_RATE + drift[answer] - gain / (len(ANSWERS) - 1) for answer in ANSWERS}
        if target:
            shares[target] = BASE_RATE + gain + float(part)
        answers += [("preference", question, f"Question {n}?", "animals", answer, share) for answer, share in shares.items()]
        drawn = generator.random(experiment.samples)
        edges = np.cumsum([max(share, 0.0) for share in shares.values()])
        for sample, place in enumerate(np.searchsorted(edges, drawn)):
            counted = list(ANSWERS[place : place + 1])
            samples.append((question, sample, sample, " ".join(counted), counted))
    names = ["measure", "question_id", "question", "category", "answer", "probability"]
    able = {"measure": ["loss", "skill/numbers"], "value": [2.1 if trained else 2.0, 0.8], "n": [900, 100]}
    drawn_names = {"question_id": pl.String, "sample": pl.Int64, "sampling_seed": pl.UInt64, "completion": pl.String}
    return {
        "answers.parquet": pl.DataFrame(answers, schema=names, orient="row"),
        "capability.parquet": pl.DataFrame(able),
        "samples.parquet": pl.DataFrame(samples, schema={**drawn_names, "counted": pl.List(pl.String)}, orient="row"),
    }


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
