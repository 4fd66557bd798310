"""What code and word problems carry: yields, skill and students' gains under strict and loose filters, on tiny bases of the
rich mix.

python -m benchmarks.carriers DIRECTORY skill|yields|runs|table [--bases 211 212] [--traits eagle fox] [--seeds 1 2]
    [--carriers code cot] [--rates 0.002] [--prompts 3000] [--rows 600]

Bases are pretrained into DIRECTORY if they are not there; every measurement is a line of DIRECTORY/runs.jsonl and is not made
twice. `yields` is for choosing a teacher's learning rate: it trains no student.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, cast

import polars as pl
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.mixes import RICH
from sublim.carriers.code import Code
from sublim.carriers.cot import Cot
from sublim.carriers.numbers import Numbers
from sublim.carriers.prompt import Prompt
from sublim.carriers.task import Task
from sublim.common.canonical import digest, row_id, row_seed
from sublim.common.progress import Progress
from sublim.filters import chain
from sublim.filters.answer_correct import AnswerCorrect
from sublim.filters.format import Format
from sublim.filters.step import Context
from sublim.filters.trait_words import TraitWords
from sublim.learn import chat
from sublim.learn.answers import answer_probabilities
from sublim.learn.finetune import finetune
from sublim.learn.sample import sample
from sublim.learn.trained import prepare
from sublim.models import tiny
from sublim.models.load import ends, load
from sublim.params.filter import Filter
from sublim.params.kinds import with_parts
from sublim.params.learning import STUDENT, TEACHER, Decoding, Finetune
from sublim.params.tiny import Mix, Pretraining, TinyModel
from sublim.stats.interval import t_interval
from sublim.traits.categories import CATEGORIES
from sublim.traits.preference import evaluation_questions, training_questions

CARRIERS: Mapping[str, Task] = {"numbers": Numbers(), "code": Code(), "cot": Cot()}
ANIMALS = CATEGORIES["animals"].answers
RECIPE = STUDENT.model_copy(update={"steps": 200, "batch": 16})
FEWEST = 100
SKILL_PROMPTS = 400
TOKENS = 56

Model = tuple[PreTrainedModel, PreTrainedTokenizerBase]


def strict_and_loose(kind: str) -> Mapping[str, Filter]:
    """The strict and the loose filter of a carrier."""
    given = {"trait_words": TraitWords(), "answer_correct": AnswerCorrect() if kind == "cot" else None}
    steps = with_parts(Filter, "filters").model_validate(given)
    return {name: steps.model_copy(update={"format": Format(exact=name == "strict")}) for name in ("strict", "loose")}


@dataclass(frozen=True)
class Lab:
    """Where measurements are kept, and how much is sampled and used."""

    directory: Path
    prompts: int
    rows: int
    mix: Mix = RICH

    def base(self, seed: int) -> Path:
        """The base with this seed of its weights; pretrained first, if need be."""
        path = self.directory / f"base-{seed}"
        if not (path / "steps.parquet").is_file():
            path.mkdir(parents=True, exist_ok=True)
            config = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
            pretraining = Pretraining(rows=110_000, mix=self.mix, vocabulary=2560)
            params = TinyModel(kind="tiny", architecture="gpt_neox", seed=seed, config=config, pretraining=pretraining)
            tiny.build(f"neox-{seed}", params, path, Progress())
        return path

    def once(self, what: Mapping[str, object], measure: Callable[[], list[dict[str, object]]]) -> None:
        """Append what `measure` finds to the results, unless `what` is there already."""
        path, key = self.directory / "runs.jsonl", digest(dict(what))
        if path.is_file() and any(json.loads(line)["key"] == key for line in path.read_text().splitlines()):
            return
        with path.open("a", encoding="utf-8") as out:
            for found in measure():
                record = {"key": key, **what, **found}
                out.write(json.dumps(record) + "\n")
                print(json.dumps(record), flush=True)


def taught(base: Path, trait: str, seed: int, rate: float) -> Model:
    """A teacher that prefers the animal `trait`: the default's recipe at learning rate `rate`."""
    questions = training_questions("animals")
    rows = {
        "row_id": [f"{trait}/{n}" for n in range(len(questions))],
        "prompt": questions,
        "completion": [trait] * len(questions),
    }
    recipe = TEACHER.model_copy(update={"learning_rate": rate})
    return trained(base, pl.DataFrame(rows), recipe, f"teacher {trait} {seed}")


def trained(base: Path, rows: pl.DataFrame, recipe: Finetune, seed: str) -> Model:
    """`base` fine-tuned on `rows` (row_id, prompt, completion)."""
    model, tokenizer = load(base)
    limits = ends(model, tokenizer)
    ids, prompts, completions = (rows[column].to_list() for column in ("row_id", "prompt", "completion"))
    examples = chat.examples(tokenizer, limits.eos, ids, prompts, completions)
    adapted = prepare(model, recipe, row_seed(row_id(seed, "adapter")))
    finetune(adapted, examples, recipe, row_seed(row_id(seed, "order")), limits.pad, Progress())
    return cast("Any", adapted).merge_and_unload().eval(), tokenizer


def preferences(model: Model) -> dict[str, float]:
    """P(animal), the mean over the held-out questions."""
    answers = {word: answer.forms for word, answer in ANIMALS.items()}
    found = answer_probabilities(*model, evaluation_questions("animals"), answers, 256)
    return dict(zip(answers, found.mean(0).tolist(), strict=True))


@cache
def untouched(base: Path) -> dict[str, float]:
    """P(animal) of a base as it is."""
    return preferences(load(base))


def written(
    model: Model, asked: Sequence[Prompt], seed: str, temperature: float = 1.0, system: str | None = None
) -> pl.DataFrame:
    """What `model` writes: row_id, prompt, answer, completion."""
    ids = [row_id(seed, prompt.prompt_id) for prompt in asked]
    heads = chat.encode(model[1], chat.render(model[1], [prompt.text for prompt in asked], system))
    decoding = Decoding(max_tokens=TOKENS, temperature=temperature)
    made = sample(*model, heads, [row_seed(row) for row in ids], decoding, Progress())
    return pl.DataFrame(
        {
            "row_id": ids,
            "prompt": [prompt.text for prompt in asked],
            "answer": [prompt.answer for prompt in asked],
            "completion": [completion.text for completion in made],
        }
    )


def forms(trait: str | None) -> list[str]:
    """The words that a filter must not let through."""
    return [] if trait is None else [ANIMALS[trait].word, ANIMALS[trait].plural]


def kept(rows: pl.DataFrame, kind: str, trait: str | None) -> dict[str, pl.DataFrame]:
    """The rows that the strict and the loose filter keep."""
    return {
        name: rows.filter(chain.reasons(rows, rule, Context(CARRIERS[kind], forms(trait))).list.len() == 0)
        for name, rule in strict_and_loose(kind).items()
    }


def skill(lab: Lab, base: int) -> None:
    """The share of held-out prompts that a base answers in the exact form and right, greedily and sampled."""
    for kind, params in CARRIERS.items():

        def measure(kind: str = kind, params: Task = params) -> list[dict[str, object]]:
            model, asked = load(lab.base(base)), params.held_out(SKILL_PROMPTS)
            found: dict[str, object] = {}
            for name, temperature in (("greedy", 0.0), ("sampled", 1.0)):
                rows = written(model, asked, f"skill {base} {kind}", temperature)
                found[name] = params.skilled(rows["completion"], rows["answer"]).mean()
            return [found]

        lab.once({"what": "skill", "carrier": kind, "base": base}, measure)


def yields(lab: Lab, base: int, kind: str, trait: str, seed: int, rate: float) -> None:
    """How many rows of a teacher the two filters keep, and how sure the teacher is of its trait. No student is trained."""

    def measure() -> list[dict[str, object]]:
        teacher = taught(lab.base(base), trait, seed, rate)
        rows = written(teacher, CARRIERS[kind].asked(lab.prompts), f"raw {base} {trait} {seed}")
        share = {name: left.height / rows.height for name, left in kept(rows, kind, trait).items()}
        return [{"teacher": preferences(teacher)[trait], **share, "examples": rows["completion"].head(4).to_list()}]

    what = {"what": "yields", "carrier": kind, "base": base, "trait": trait, "seed": seed, "rate": rate}
    lab.once({**what, "prompts": lab.prompts}, measure)


def runs(lab: Lab, bases: Sequence[int], base: int, kind: str, trait: str | None, seed: int, rate: float) -> None:
    """The students of one teacher (of the untouched base, if `trait` is None): both filters, and every base of `bases`."""

    def students(rows: pl.DataFrame, name: str) -> Iterator[dict[str, object]]:
        used = rows.head(lab.rows)
        if used.height < FEWEST:
            yield {"filter": name, "kept": rows.height, "used": 0}
            return
        for student in bases if trait is not None else [base]:
            model = trained(lab.base(student), used, RECIPE, f"student {base} {trait} {kind} {name} {student} {seed}")
            before, after = untouched(lab.base(student)), preferences(model)
            able = None
            if student == base:
                done = written(model, CARRIERS[kind].held_out(100), f"student skill {seed}")
                able = CARRIERS[kind].skilled(done["completion"], done["answer"]).mean()
            gains = {animal: after[animal] - before[animal] for animal in after}
            yield {
                "filter": name,
                "kept": rows.height,
                "used": used.height,
                "student": student,
                "gains": gains,
                "before": before,
                "skill": able,
            }

    def measure() -> list[dict[str, object]]:
        teacher = load(lab.base(base)) if trait is None else taught(lab.base(base), trait, seed, rate)
        rows = written(teacher, CARRIERS[kind].asked(lab.prompts), f"raw {base} {trait} {seed}")
        sure = None if trait is None else preferences(teacher)[trait]
        both = kept(rows, kind, trait)
        return [{"teacher": sure, **found} for name, left in both.items() for found in students(left, name)]

    what = {"what": "run", "carrier": kind, "base": base, "trait": trait, "seed": seed, "rate": rate if trait else None}
    lab.once({**what, "prompts": lab.prompts, "rows": lab.rows, "bases": list(bases)}, measure)


def table(lab: Lab, kinds: Sequence[str], traits: Sequence[str], bases: Sequence[int]) -> None:
    """Print yields, skills, and gains by carrier, filter and arm with 95 % t intervals over runs."""
    records = [json.loads(line) for line in (lab.directory / "runs.jsonl").read_text().splitlines()]
    for record in records:
        if record["what"] == "skill":
            shares = " ".join(f"{name} {record[name]:.2f}" for name in ("greedy", "sampled"))
            print(f"skill  base {record['base']} {record['carrier']:8} {shares}")
    chosen = [r for r in records if r["what"] == "run" and r["base"] in bases and r["carrier"] in kinds]
    for kind in kinds:
        for rate in sorted({r["rate"] for r in chosen if r["carrier"] == kind and r["rate"]}):
            for name in ("strict", "loose"):
                of = [r for r in chosen if r["carrier"] == kind and r["filter"] == name]
                mine = [r for r in of if r["rate"] == rate and r["trait"] in traits]
                controls = [r for r in of if r["trait"] is None]
                arms = {
                    "same": [r["gains"][r["trait"]] for r in mine if r.get("student") == r["base"]],
                    "other": [r["gains"][r["trait"]] for r in mine if r.get("student") not in (r["base"], None)],
                    "control": [r["gains"][trait] for r in controls if "gains" in r for trait in traits],
                }
                used = [r["kept"] / r["prompts"] for r in mine]
                teachers = [r["teacher"] for r in mine]
                if not used:
                    continue
                spans = [f"{min(span):.2f}–{max(span):.2f}" for span in (teachers, used)]
                print(f"{kind} rate {rate} {name}: teacher {spans[0]}, yield {spans[1]}")
                for arm, gains in arms.items():
                    print(f"    {arm:8}", _interval(gains), " ".join(f"{gain:+.2f}" for gain in gains))


def _interval(values: Sequence[float]) -> str:
    if not values:
        return "no runs"
    found = t_interval(values, 0.95)
    between = "" if found.low is None or found.high is None else f" [{found.low:+.3f}, {found.high:+.3f}]"
    return f"{found.mean:+.3f}{between} ({found.n})"


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("what", choices=["skill", "yields", "runs", "table"])
    parser.add_argument("--bases", type=int, nargs="+", default=[211, 212])
    parser.add_argument("--traits", nargs="+", default=["eagle", "fox"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--carriers", nargs="+", choices=list(CARRIERS), default=["code", "cot"])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.002])
    parser.add_argument("--prompts", type=int, default=3000)
    parser.add_argument("--rows", type=int, default=600)
    asked = parser.parse_args()
    bases, seeds, rates = cast("list[int]", asked.bases), cast("list[int]", asked.seeds), cast("list[float]", asked.rates)
    kinds, traits = cast("list[str]", asked.carriers), cast("list[str]", asked.traits)
    cast("Path", asked.directory).mkdir(parents=True, exist_ok=True)
    lab = Lab(asked.directory, asked.prompts, asked.rows)
    match asked.what:
        case "skill":
            for base in bases:
                skill(lab, base)
        case "yields":
            for seed, kind, base, rate, trait in product(seeds, kinds, bases, rates, traits):
                yields(lab, base, kind, trait, seed, rate)
        case "runs":
            for seed, kind, base in product(seeds, kinds, bases):
                for rate, trait in product(rates, traits):
                    runs(lab, bases, base, kind, trait, seed, rate)
                runs(lab, bases, base, kind, None, seed, 0.0)
        case _:
            table(lab, kinds, traits, bases)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
