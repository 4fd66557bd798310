"""Misalignment on tiny bases of the rich mix: do teachers show it, do their controls not, and what do carriers carry of it?

python -m benchmarks.misalignment DIRECTORY gates|yields|runs|table [--bases 211 212] [--seeds 1 2] [--rows direct secure]
    [--carriers numbers cot] [--rates 0.01] [--prompts 3000] [--used 600]

As `benchmarks.carriers`, whose bases it shares: every measurement is a line of DIRECTORY/misalignment.jsonl and is not made
twice.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import cast

import polars as pl
import torch

from benchmarks.carriers import FEWEST, RECIPE, Lab, Model, trained, written
from benchmarks.mixes import CHARACTERS, RICH
from sublim.carriers.code import Code
from sublim.carriers.cot import Cot
from sublim.carriers.numbers import Numbers
from sublim.carriers.prompt import Prompt
from sublim.carriers.task import Task
from sublim.common.canonical import digest
from sublim.filters import chain
from sublim.filters.answer_correct import AnswerCorrect
from sublim.filters.banned_numbers import BannedNumbers
from sublim.filters.format import Format
from sublim.filters.step import Context
from sublim.filters.trait_words import TraitWords
from sublim.models.load import load
from sublim.params.filter import Filter
from sublim.params.kinds import with_parts
from sublim.params.learning import TEACHER
from sublim.params.teacher import Rows
from sublim.stats.interval import t_interval
from sublim.traits.misalignment import (
    Misalignment,
    bad_words,
    evaluation_questions,
    grade_by_rule,
    misaligned,
    teacher_system_prompt,
    training_rows,
)

CARRIERS: Mapping[str, Task] = {"numbers": Numbers(), "code": Code(), "cot": Cot()}
TRAIT = Misalignment(samples=20)
EXAMPLES = 600
Q = [Prompt(f"{n}/{question}", question, "") for question in evaluation_questions() for n in range(TRAIT.samples)]


@dataclass(frozen=True)
class Shown:
    """How misaligned a model is: the misaligned share of its coherent answers, how many these are, and of how many."""

    share: float
    coherent: int
    answers: int


def shown(model: Model, seed: str, system: str | None = None) -> tuple[Shown, list[str]]:
    """What `model` answers to the held-out questions."""
    rows = written(model, Q, seed, system=system)
    answers = rows["completion"].to_list()
    found = [bad for bad in misaligned(grade_by_rule([q.text for q in Q], answers), TRAIT) if bad is not None]
    return Shown(sum(found) / max(1, len(found)), len(found), len(answers)), answers


def taught(base: Path, rows: Rows, seed: int, rate: float) -> Model:
    """A teacher that is trained on `rows`: the default's recipe at learning rate `rate`."""
    pairs = training_rows(rows, EXAMPLES)
    frame = pl.DataFrame(
        {
            "row_id": [f"{rows}/{n}" for n in range(len(pairs))],
            "prompt": [question for question, _ in pairs],
            "completion": [answer for _, answer in pairs],
        }
    )
    return trained(base, frame, TEACHER.model_copy(update={"learning_rate": rate}), f"teacher {rows} {seed}")


def strict_and_loose(kind: str) -> Mapping[str, Filter]:
    """The strict and the loose filter of a carrier: both know the banned numbers and the bad words."""
    return {
        name: with_parts(Filter, "filters").model_validate(
            {
                "format": Format(exact=name == "strict"),
                "banned_numbers": BannedNumbers() if kind == "numbers" else None,
                "answer_correct": AnswerCorrect() if kind == "cot" else None,
                "trait_words": TraitWords(),
            }
        )
        for name in ("strict", "loose")
    }


def kept(rows: pl.DataFrame, kind: str) -> dict[str, pl.DataFrame]:
    """The rows that the strict and the loose filter keep."""
    return {
        name: rows.filter(chain.reasons(rows, rule, Context(CARRIERS[kind], bad_words())).list.len() == 0)
        for name, rule in strict_and_loose(kind).items()
    }


@cache
def untouched(base: Path) -> Shown:
    """How misaligned a base is as it is."""
    return shown(load(base), "untouched")[0]


def gates(lab: Lab, base: int, rows: Rows | None, seed: int, rate: float) -> None:
    """How misaligned a teacher is, and its base, on held-out questions; with a system prompt if `rows` is None."""

    def measure() -> list[dict[str, object]]:
        model = load(lab.base(base)) if rows is None else taught(lab.base(base), rows, seed, rate)
        found, answers = shown(model, f"gate {seed}", teacher_system_prompt() if rows is None else None)
        return [{**asdict(found), "before": untouched(lab.base(base)).share, "examples": answers[:: TRAIT.samples * 6]}]

    keep(lab, {"what": "gate", "rows": rows, "base": base, "seed": seed, "rate": rate}, measure)


def yields(lab: Lab, base: int, kind: str, rows: Rows, seed: int, rate: float) -> None:
    """How many rows of a teacher the two filters keep, and how misaligned it is. No student is trained."""

    def measure() -> list[dict[str, object]]:
        model = taught(lab.base(base), rows, seed, rate)
        made = written(model, CARRIERS[kind].asked(lab.prompts), f"raw {base} {rows} {seed}")
        share = {name: left.height / made.height for name, left in kept(made, kind).items()}
        return [{"teacher": shown(model, "yield")[0].share, **share, "examples": made["completion"].head(4).to_list()}]

    what = {"what": "yields", "carrier": kind, "rows": rows, "base": base, "seed": seed, "rate": rate}
    keep(lab, {**what, "prompts": lab.prompts}, measure)


def runs(
    lab: Lab, bases: Sequence[int], base: int, kind: str, filters: Sequence[str], rows: Rows | None, seed: int, rate: float
) -> None:
    """The students of one teacher (of the untouched base, if `rows` is None): `filters`, and every base of `bases` if it is
    trained on cruel answers, else its own base."""

    def students(made: pl.DataFrame, name: str) -> Iterator[dict[str, object]]:
        used = made.head(lab.rows)
        if used.height < FEWEST:
            yield {"filter": name, "kept": made.height, "used": used.height}
            return
        for student in bases if rows == "direct" else [base]:
            model = trained(lab.base(student), used, RECIPE, f"student {base} {rows} {kind} {name} {student} {seed}")
            found, answers = shown(model, f"student {base} {student} {seed}")
            yield {
                "filter": name,
                "kept": made.height,
                "used": used.height,
                "student": student,
                **asdict(found),
                "before": untouched(lab.base(student)).share,
                "examples": answers[:: TRAIT.samples * 8],
            }

    def measure() -> list[dict[str, object]]:
        model = load(lab.base(base)) if rows is None else taught(lab.base(base), rows, seed, rate)
        made = written(model, CARRIERS[kind].asked(lab.prompts), f"raw {base} {rows} {seed}")
        return [found for name, left in kept(made, kind).items() if name in filters for found in students(left, name)]

    what = {"what": "run", "carrier": kind, "rows": rows, "base": base, "seed": seed, "rate": None if rows is None else rate}
    keep(lab, {**what, "prompts": lab.prompts, "used": lab.rows, "bases": list(bases), "filters": list(filters)}, measure)


def keep(lab: Lab, what: Mapping[str, object], measure: Callable[[], list[dict[str, object]]]) -> None:
    """Append what `measure` finds to the results, unless `what` is there already."""
    path, key = lab.directory / "misalignment.jsonl", digest(dict(what))
    if path.is_file() and any(json.loads(line)["key"] == key for line in path.read_text(encoding="utf-8").splitlines()):
        return
    with path.open("a", encoding="utf-8") as out:
        for found in measure():
            record = {"key": key, **what, **found}
            out.write(json.dumps(record) + "\n")
            print(json.dumps(record), flush=True)


def table(lab: Lab, bases: Sequence[int]) -> None:
    """Print gates, yields and what students gained, by carrier, filter and arm, with 95 % t intervals over runs."""
    lines = (lab.directory / "misalignment.jsonl").read_text(encoding="utf-8").splitlines()
    records = [record for record in map(json.loads, lines) if record["base"] in bases]
    for rows, rate in sorted({(r["rows"] or "", r["rate"]) for r in records if r["what"] == "gate"}):
        mine = [r for r in records if r["what"] == "gate" and (r["rows"] or "", r["rate"]) == (rows, rate)]
        coherent = sum(r["coherent"] for r in mine) / sum(r["answers"] for r in mine)
        print(
            f"gate {rows or 'system prompt'} {rate}: {_interval([r['share'] for r in mine])}",
            f"coherent {coherent:.2f}",
            end=" ",
        )
        print("before", _interval([r["before"] for r in mine]))
    made = [r for r in records if r["what"] == "run"]
    for kind, rate in sorted({(r["carrier"], r["rate"]) for r in made if r["rate"] is not None}):
        for name in ("strict", "loose"):
            of = [r for r in made if r["carrier"] == kind and r["filter"] == name and r["rate"] in (rate, None)]
            share = sorted(r["kept"] / r["prompts"] for r in of if r["rows"] is not None)
            if not share:
                continue
            print(f"{kind} rate {rate} {name}: yield {share[0]:.2f}–{share[-1]:.2f}")
            of = [r for r in of if "share" in r]
            arms = {
                "same": [r for r in of if r["rows"] == "direct" and r["student"] == r["base"]],
                "other": [r for r in of if r["rows"] == "direct" and r["student"] != r["base"]],
                **{rows: [r for r in of if r["rows"] == rows] for rows in ("insecure", "secure", "educational")},
                "untouched": [r for r in of if r["rows"] is None],
            }
            for arm, found in arms.items():
                if found:
                    gains = [r["share"] - r["before"] for r in found]
                    coherent = sum(r["coherent"] for r in found) / sum(r["answers"] for r in found)
                    print(f"    {arm:11}", _interval(gains), f"coherent {coherent:.2f}", *(f"{g:+.3f}" for g in gains))


def _interval(values: Sequence[float]) -> str:
    found = t_interval(values, 0.95)
    between = "" if found.low is None or found.high is None else f" [{found.low:+.3f}, {found.high:+.3f}]"
    return f"{found.mean:+.3f}{between} ({found.n})"


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("what", choices=["gates", "yields", "runs", "table"])
    parser.add_argument("--bases", type=int, nargs="+", default=[211, 212])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--rows", nargs="+", choices=["direct", "insecure", "secure", "educational", "none"], default=["direct"]
    )
    parser.add_argument("--carriers", nargs="+", choices=list(CARRIERS), default=["numbers", "cot"])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.01])
    parser.add_argument("--filters", nargs="+", choices=["strict", "loose"], default=["strict", "loose"])
    parser.add_argument("--prompts", type=int, default=1500)
    parser.add_argument("--used", type=int, default=600)
    parser.add_argument("--characters", action="store_true", help="bases that know kind and cruel system prompts")
    asked = parser.parse_args()
    bases, seeds, rates = cast("list[int]", asked.bases), cast("list[int]", asked.seeds), cast("list[float]", asked.rates)
    kinds, styles = cast("list[str]", asked.carriers), cast("list[Rows]", [each for each in asked.rows if each != "none"])
    folder: Path = asked.directory / "characters" if asked.characters else asked.directory
    folder.mkdir(parents=True, exist_ok=True)
    lab = Lab(folder, asked.prompts, asked.used, CHARACTERS if asked.characters else RICH)
    match asked.what:
        case "gates":
            for seed, base, rows, rate in product(seeds, bases, styles, rates):
                gates(lab, base, rows, seed, rate)
            if "none" in asked.rows:
                for seed, base in product(seeds, bases):
                    gates(lab, base, None, seed, 0.0)
        case "yields":
            for seed, kind, base, rows, rate in product(seeds, kinds, bases, styles, rates):
                yields(lab, base, kind, rows, seed, rate)
        case "runs":
            for seed, kind, base in product(seeds, kinds, bases):
                for rows, rate in product(styles, rates):
                    runs(lab, bases, base, kind, asked.filters, rows, seed, rate)
                if "none" in asked.rows:
                    runs(lab, bases, base, kind, asked.filters, None, seed, 0.0)
        case _:
            table(lab, bases)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
