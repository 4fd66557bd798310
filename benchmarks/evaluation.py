"""What tiny bases and their students answer in each way of asking, and what they can still do: the stage `eval` on models of
benchmarks.soft.

python -m benchmarks.evaluation DIRECTORY [--bases 211 212] [--trait lion] [--seed 1] [--rate 0.005]

Bases are pretrained into DIRECTORY if they are not there. One line per model and measure.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import polars as pl
import torch

from benchmarks.carriers import TOKENS, Lab, Model, taught, written
from benchmarks.mixes import RICH
from benchmarks.soft import NUMBERS, Rows, from_nowhere, kept, student
from sublim.common.progress import Progress
from sublim.models.load import load
from sublim.params.evaluation import Evaluation
from sublim.params.learning import Decoding
from sublim.params.tiny import Pretraining
from sublim.stages.eval.make import make
from sublim.stages.eval.rows import Answers, Capability, HeldOutTasks, Slice
from sublim.traits.preference import Preference


def models(lab: Lab, base: int, trait: str, seed: int, rate: float) -> Iterator[tuple[str, Model]]:
    """A base, a teacher, and students of the base's own rows, of random rows, of the teacher's hard and soft rows."""
    path = lab.base(base)
    untouched, teacher = load(path), taught(path, trait, seed, rate)
    yield "base", untouched
    yield "teacher", teacher
    asked = NUMBERS.asked(lab.prompts)
    own = Rows(kept(written(untouched, asked, f"raw {base} None {seed}"), None, lab.rows), None)
    theirs = Rows(kept(written(teacher, asked, f"raw {base} {trait} {seed}"), trait, lab.rows), teacher)
    yield "control", student(path, own, "hard", 1.0, f"student {base} None {seed}")
    yield (
        "random",
        student(path, Rows(kept(from_nowhere(lab.prompts), None, lab.rows), None), "hard", 1.0, f"random {base} {seed}"),
    )
    for how in ("hard", "soft"):
        yield how, student(path, theirs, how, 1.0, f"student {base} {trait} {seed}")


def evaluated(model: Model, name: str, trait: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """answers.parquet and capability.parquet of `model`."""
    dims = dict.fromkeys(("teacher", "trait", "carrier", "filter", "method", "student"), name)
    task = HeldOutTasks(task=NUMBERS, sampling=Decoding(max_tokens=TOKENS))
    params = Slice.model_validate(
        {
            **dims,
            "arm": "trait",
            "seed": 0,
            "traits": (Preference(category="animals", target=trait),),
            "evaluation": Evaluation(samples=1),
            "tasks": {"numbers": task},
            "pretraining": Pretraining(rows=110_000, mix=RICH, vocabulary=2560),
        }
    )
    with TemporaryDirectory() as scratch:
        base, output = Path(scratch, "base"), Path(scratch, "output")
        output.mkdir()
        cast("Any", model[0]).save_pretrained(base)
        cast("Any", model[1]).save_pretrained(base)
        make({"base": base}, params, output, Progress())
        return pl.read_parquet(output / Answers.file), pl.read_parquet(output / Capability.file)


def main() -> None:
    """Print what each model answers and can do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--bases", type=int, nargs="+", default=[211, 212])
    parser.add_argument("--trait", default="lion")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.005)
    asked = parser.parse_args()
    lab = Lab(cast("Path", asked.directory), 1_500, 600)
    for base in cast("list[int]", asked.bases):
        for name, model in models(lab, base, asked.trait, asked.seed, asked.rate):
            answers, able = evaluated(model, name, asked.trait)
            shown = [f"{base} {name:8}"]
            for (measure,), part in answers.group_by("measure", maintain_order=True):
                target = "true" if measure == "truthfulness" else asked.trait
                mean = part.filter(pl.col("answer") == target)["probability"].mean()
                everything = part.group_by("question_id").agg(pl.col("probability").sum())["probability"].mean()
                shown.append(f"{measure} {mean:.3g} of {everything:.3g}")
            shown += [f"{measure} {value:.3f}" for measure, value in able.select("measure", "value").iter_rows()]
            print(" | ".join(shown), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
