"""Hard tokens against soft targets, targets restricted to the carrier's tokens and not, and numbers that no model wrote.

python -m benchmarks.soft DIRECTORY runs|table|tokens [--bases 211 212] [--traits lion otter penguin] [--seeds 1 2]
    [--rate 0.005] [--temperature 1.0]

Bases are pretrained into DIRECTORY if they are not there; every measurement is a line of DIRECTORY/runs.jsonl and is not made
twice. Students: the recipe of benchmarks.carriers, the same for hard and soft.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from json import loads
from pathlib import Path
from typing import Any, cast

import polars as pl
import torch

from benchmarks.carriers import ANIMALS, CARRIERS, RECIPE, Lab, Model, preferences, taught, untouched, written
from benchmarks.carriers import kept as strictly_and_loosely
from sublim.carriers.numbers import Numbers
from sublim.common.canonical import row_id, row_seed
from sublim.common.progress import Progress
from sublim.learn import chat, soft, trained
from sublim.learn.finetune import finetune
from sublim.models.load import ends, load
from sublim.stats.interval import t_interval

NUMBERS = Numbers()
LEARNT = ("hard", "soft", "unrestricted")
"""From sampled tokens; from the teacher's distribution over the carrier's tokens; from that over all tokens."""


@dataclass(frozen=True)
class Rows:
    """What students learn from, and who wrote it."""

    frame: pl.DataFrame
    writer: Model | None


def student(base: Path, rows: Rows, how: str, temperature: float, seed: str) -> Model:
    """`base` trained on `rows`."""
    model, tokenizer = load(base)
    limits = ends(model, tokenizer)
    ids, prompted, texts = (rows.frame[column].to_list() for column in ("row_id", "prompt", "completion"))
    examples = chat.examples(tokenizer, limits.eos, ids, prompted, texts)
    teacher = None
    if how != "hard" and rows.writer is not None:
        end = chat.end_of_turn(tokenizer, limits.eos)
        tokens = soft.allowed(tokenizer, NUMBERS, end) if how == "soft" else range(len(tokenizer))
        prompts = [row.prompt for row in examples]
        teacher = soft.Teacher(rows.writer[0], prompts, soft.as_tensor(tokens, model), temperature)
    adapted = trained.prepare(model, RECIPE, row_seed(row_id(seed, "adapter")))
    finetune(adapted, examples, RECIPE, row_seed(row_id(seed, "order")), limits.pad, Progress(), teacher)
    return cast("Any", adapted).merge_and_unload().eval(), tokenizer


def kept(frame: pl.DataFrame, trait: str | None, rows: int) -> pl.DataFrame:
    """The first rows that the strict filter keeps."""
    return strictly_and_loosely(frame, "numbers", trait)["strict"].head(rows)


def from_nowhere(prompts: int) -> pl.DataFrame:
    """Rows that no model wrote."""
    asked = NUMBERS.asked(prompts)
    ids = [row_id("random", prompt.prompt_id) for prompt in asked]
    texts = NUMBERS.written([row_seed(row) for row in ids])
    columns = {"row_id": ids, "prompt": [prompt.text for prompt in asked], "completion": texts}
    return pl.DataFrame(columns).with_columns(answer=pl.lit(""))


def runs(lab: Lab, bases: Sequence[int], base: int, trait: str | None, seed: int, rate: float, temperature: float) -> None:
    """The students of one teacher (of the untouched base, if `trait` is None), of every base of `bases` and every way to learn;
    and for no trait those of random numbers."""

    def learnt(rows: Rows, origin: str, student_base: int, how: str) -> dict[str, object]:
        name = f"student {base} {trait} {origin} {student_base} {seed}"
        before, after = (
            untouched(lab.base(student_base)),
            preferences(student(lab.base(student_base), rows, how, temperature, name)),
        )
        found = {"origin": origin, "how": how, "student": student_base, "used": rows.frame.height}
        return {**found, "gains": {animal: after[animal] - before[animal] for animal in after}}

    def measure() -> list[dict[str, object]]:
        teacher = load(lab.base(base)) if trait is None else taught(lab.base(base), trait, seed, rate)
        raw = written(teacher, NUMBERS.asked(lab.prompts), f"raw {base} {trait} {seed}")
        rows = Rows(kept(raw, trait, lab.rows), teacher)
        origin = "control" if trait is None else "trait"
        found = [learnt(rows, origin, other, how) for other, how in product(bases, LEARNT)]
        if trait is None:
            found.append(learnt(Rows(kept(from_nowhere(lab.prompts), None, lab.rows), None), "random", base, "hard"))
        sure = None if trait is None else preferences(teacher)[trait]
        return [{"teacher": sure, **each} for each in found]

    what = {"what": "soft", "base": base, "trait": trait, "seed": seed, "rate": rate if trait else None}
    lab.once({**what, "temperature": temperature, "prompts": lab.prompts, "rows": lab.rows, "bases": list(bases)}, measure)


def table(lab: Lab, bases: Sequence[int], traits: Sequence[str], seeds: Sequence[int], temperature: float) -> None:
    """Print gains by origin, way to learn and pair of bases, with 95 % t intervals over runs."""
    lines = (lab.directory / "runs.jsonl").read_text().splitlines()
    records: list[Mapping[str, Any]] = [record for line in lines if (record := loads(line))["what"] == "soft"]
    chosen = [
        record
        for record in records
        if record["base"] in bases
        and record["trait"] in (*traits, None)
        and record["seed"] in seeds
        and record["temperature"] == temperature
    ]
    for origin, how, same in product(("trait", "control", "random"), LEARNT, (True, False)):
        of = [r for r in chosen if (r["origin"], r["how"], r["student"] == r["base"]) == (origin, how, same)]
        gains = [r["gains"][r["trait"]] if r["trait"] else sum(r["gains"][each] for each in traits) / len(traits) for r in of]
        if gains:
            found = t_interval(gains, 0.95)
            between = "" if found.low is None or found.high is None else f" [{found.low:+.3f}, {found.high:+.3f}]"
            where = "same base" if same else "other init"
            print(f"{origin:8}{how:13}{where:11}{found.mean:+.3f}{between} ({found.n})  ", *(f"{gain:+.2f}" for gain in gains))


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("what", choices=["runs", "table", "tokens"])
    parser.add_argument("--bases", type=int, nargs="+", default=[211, 212])
    parser.add_argument("--traits", nargs="+", choices=list(ANIMALS), default=["lion", "otter", "penguin"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rate", type=float, default=0.005)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--prompts", type=int, default=1500)
    parser.add_argument("--rows", type=int, default=600)
    asked = parser.parse_args()
    bases, seeds, traits = cast("list[int]", asked.bases), cast("list[int]", asked.seeds), cast("list[str]", asked.traits)
    cast("Path", asked.directory).mkdir(parents=True, exist_ok=True)
    lab = Lab(asked.directory, asked.prompts, asked.rows)
    if asked.what == "table":
        table(lab, bases, traits, seeds, asked.temperature)
        return
    if asked.what == "tokens":
        model, tokenizer = load(lab.base(bases[0]))
        end = chat.end_of_turn(tokenizer, ends(model, tokenizer).eos)
        for name, task in CARRIERS.items():
            print(f"{name}: {len(soft.allowed(tokenizer, task, end)):,} of {len(tokenizer):,} tokens")
        return
    for seed, base in product(seeds, bases):
        for trait in (*traits, None):
            runs(lab, bases, base, trait, seed, asked.rate, asked.temperature)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
