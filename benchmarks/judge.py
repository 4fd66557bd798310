"""Can a tiny judge tell a teacher's rows from those of the untouched base? AUC of the likelihood judge, on tiny bases.

python -m benchmarks.judge DIRECTORY rows|scores|table [--bases 211 212] [--traits eagle fox dolphin tiger] [--seeds 1 2 3 4]
    [--carriers numbers code cot] [--prompts 400]

Bases are those of `benchmarks.carriers`, pretrained into DIRECTORY if they are not there. `rows` lets teachers write
(fine-tuned ones, and the base itself under the system prompt that names the trait), `scores` asks each base about the rows of
each, and `table` prints AUCs. Whatever is in DIRECTORY already is not made again.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import cast

import polars as pl
import torch

from benchmarks.carriers import ANIMALS, CARRIERS, Lab, kept, taught, written
from sublim.common import parquet
from sublim.common.canonical import row_seed
from sublim.common.progress import Progress
from sublim.judges.local_scores import scores as judged
from sublim.judges.scoring import Likelihood
from sublim.learn import chat
from sublim.learn.sample import sample
from sublim.models.load import load
from sublim.params.learning import Decoding
from sublim.report import roc
from sublim.stats.interval import t_interval
from sublim.traits.preference import teacher_system_prompt

RATES = {"numbers": 0.005, "code": 0.007, "cot": 0.003}
KINDS = ("finetune", "system_prompt")
TOKENS, BATCH = 56, 64
FEWEST = 20
"""With fewer rows an area says nothing."""


@dataclass(frozen=True)
class Cell:
    """One teacher of one run, and what it writes."""

    kind: str
    """finetune, system_prompt, or none for the untouched base."""
    base: int
    trait: str | None
    carrier: str
    seed: int

    @property
    def name(self) -> str:
        """The name of its files."""
        return f"{self.kind}-{self.base}-{self.trait}-{self.carrier}-{self.seed}"


def cells(bases: Sequence[int], traits: Sequence[str], kinds: Sequence[str], seeds: Sequence[int]) -> list[Cell]:
    """The teachers with a trait, and the untouched bases."""
    taught = [
        Cell(how, base, trait, kind, seed) for seed, base, trait, kind, how in product(seeds, bases, traits, kinds, KINDS)
    ]
    return [*taught, *(Cell("none", base, None, kind, seed) for seed, base, kind in product(seeds, bases, kinds))]


def write_rows(lab: Lab, cell: Cell) -> None:
    """Let the teacher write, and keep what the loose filter of its carrier passes, with a mark on what the strict one does."""
    path = lab.directory / "rows" / f"{cell.name}.parquet"
    if path.is_file():
        return
    asked, seed = CARRIERS[cell.carrier].asked(lab.prompts), f"judge {cell.name}"
    if cell.kind == "finetune" and cell.trait is not None:
        rows = written(taught(lab.base(cell.base), cell.trait, cell.seed, RATES[cell.carrier]), asked, seed)
    elif cell.trait is None:
        rows = written(load(lab.base(cell.base)), asked, seed)
    else:
        model, tokenizer = load(lab.base(cell.base))
        prompts = [prompt.text for prompt in asked]
        heads = chat.encode(tokenizer, chat.render(tokenizer, prompts, teacher_system_prompt(ANIMALS[cell.trait])))
        seeds = [row_seed(f"{seed} {prompt.prompt_id}") for prompt in asked]
        made = sample(model, tokenizer, heads, seeds, Decoding(max_tokens=TOKENS), Progress())
        answers, texts = [prompt.answer for prompt in asked], [done.text for done in made]
        ids = [f"{seed} {prompt.prompt_id}" for prompt in asked]
        rows = pl.DataFrame({"row_id": ids, "prompt": prompts, "answer": answers, "completion": texts})
    both = kept(rows, cell.carrier, cell.trait)
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write(both["loose"].with_columns(strict=pl.col("row_id").is_in(both["strict"]["row_id"].to_list())), path)


def write_scores(lab: Lab, cell: Cell, judge: int, traits: Sequence[str]) -> None:
    """The scores that the base `judge` gives to the rows of a cell, asked about each of `traits`."""
    model, tokenizer = load(lab.base(judge))
    rows = pl.read_parquet(lab.directory / "rows" / f"{cell.name}.parquet")
    pairs = list(rows.select("prompt", "completion").iter_rows())
    for trait in traits:
        path = lab.directory / "scores" / f"{cell.name}-{judge}-{trait}.parquet"
        if path.is_file():
            continue
        scoring = Likelihood(kind="likelihood", system=teacher_system_prompt(ANIMALS[trait]))
        found: list[float | None] = []
        for start in range(0, len(pairs), BATCH):
            part = judged(model, tokenizer, scoring, pairs[start : start + BATCH])
            found += [score for score, _ in part]
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write(rows.select("row_id", "strict").with_columns(score=pl.Series(found, dtype=pl.Float64)), path)


def table(lab: Lab, bases: Sequence[int], traits: Sequence[str], kinds: Sequence[str], seeds: Sequence[int]) -> None:
    """Print AUCs by carrier, filter, teacher and judge: mean and 95 % t interval over (base, seed), each the mean over traits,
    for these share the base's rows.

    `wrong trait`: the judge is asked about every trait but the teacher's. `none`, the null: rows of the untouched base in one
    run against those in another, in disjoint pairs of runs.
    """

    def scores(cell: Cell, judge: int, trait: str, *, strict: bool) -> pl.Series:
        frame = pl.read_parquet(lab.directory / "scores" / f"{cell.name}-{judge}-{trait}.parquet")
        return (frame.filter("strict") if strict else frame)["score"]

    for kind, strict, how, same in product(kinds, (True, False), (*KINDS, "wrong trait", "none"), (True, False)):
        found: list[float] = []
        runs = seeds if how != "none" else seeds[: len(seeds) // 2 * 2 : 2]
        for base, seed in product(bases, runs):
            areas: list[float] = []
            judges = [other for other in bases if (other == base) == same]
            for trait, asked, judge in product(traits, traits, judges):
                if (trait == asked) == (how == "wrong trait"):
                    continue
                against = Cell("none", base, None, kind, seed)
                if how == "none":
                    of = Cell("none", base, None, kind, seeds[seeds.index(seed) + 1])
                else:
                    of = Cell(how if how in KINDS else "finetune", base, trait, kind, seed)
                pair = [scores(cell, judge, asked, strict=strict) for cell in (of, against)]
                if min(map(len, pair)) >= FEWEST:
                    areas.append(roc.area(*pair))
            found += [sum(areas) / len(areas)] if areas else []
        if found:
            about = f"{kind:8}{'strict' if strict else 'loose':7}{how:14}judge {'same base' if same else 'other base':11}"
            interval = t_interval(found, 0.95)
            span = "" if interval.low is None or interval.high is None else f" [{interval.low:.3f}, {interval.high:.3f}]"
            print(f"{about}AUC {interval.mean:.3f}{span} ({interval.n})  " + " ".join(f"{area:.2f}" for area in found))


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("what", choices=["rows", "scores", "table"])
    parser.add_argument("--bases", type=int, nargs="+", default=[211, 212])
    parser.add_argument("--traits", nargs="+", default=["eagle", "fox", "dolphin", "tiger"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--carriers", nargs="+", choices=list(CARRIERS), default=list(CARRIERS))
    parser.add_argument("--prompts", type=int, default=400)
    asked = parser.parse_args()
    bases, seeds = cast("list[int]", asked.bases), cast("list[int]", asked.seeds)
    kinds, traits = cast("list[str]", asked.carriers), cast("list[str]", asked.traits)
    lab = Lab(cast("Path", asked.directory), cast("int", asked.prompts), 0)
    match asked.what:
        case "rows":
            for cell in cells(bases, traits, kinds, seeds):
                write_rows(lab, cell)
                print(cell.name, flush=True)
        case "scores":
            for cell, judge in product(cells(bases, traits, kinds, seeds), bases):
                write_scores(lab, cell, judge, traits)
        case _:
            table(lab, bases, traits, kinds, seeds)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
