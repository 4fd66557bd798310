"""What models do in a job, in tokens of no tokenizer in particular: it may not be here yet. Stages count with this."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from sublim.carriers.task import Task
from sublim.judges.planned import PlannedJudge
from sublim.judges.scoring import Likelihood, Options, Text
from sublim.params.learning import Finetune
from sublim.params.rates import Rates
from sublim.traits.freeform import FreeForm
from sublim.traits.trait import Trait

LOOKED_AT = 200  #: Rows whose mean length stands for all: the first ones.

# As Qwen's tokenizer, near enough: every digit is a token of its own, a space belongs to the word behind it.
_TOKEN = re.compile(r"[^\W\d_]{1,10}|\d|[^\w\s]|_|\n|\s(?=\d)")


@dataclass(frozen=True)
class Tokens:
    """What a model does in a job, in tokens."""

    sampled: float = 0.0  #: Written, one after the other.
    read: float = 0.0  #: Read at once, without gradients.
    trained: float = 0.0  #: Read with gradients.

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.sampled + other.sampled, self.read + other.read, self.trained + other.trained)


def tokens(text: str) -> int:
    """About how many tokens `text` has."""
    return len(_TOKEN.findall(text))


def passes(recipe: Finetune, rows: int) -> int:
    """How many rows a training run over `rows` sees."""
    return rows * recipe.epochs if recipe.epochs else (recipe.steps or 0) * recipe.batch * recipe.accumulation


def answered(questions: Sequence[str], rates: Rates, times: int = 1, longest: int = 0, system: str = "") -> Tokens:
    """Questions that are read, each `times` times, and answered: each answer is counted as if it had its `longest` tokens."""
    n = times * len(questions)
    head = rates.template + tokens(system)
    return Tokens(read=times * sum(map(tokens, questions)) + n * head, sampled=n * longest)


def lengths(task: Task) -> tuple[float, float]:
    """The mean lengths of a prompt of `task` and of a completion, the token that ends it included. Completions are those that
    no model writes: right, and of the exact format."""
    asked = task.asked(min(LOOKED_AT, task.prompts))
    said = task.written(range(len(asked)))
    return fmean(tokens(prompt.text) for prompt in asked), fmean(tokens(text) + 1 for text in said)


def judged(role: str, planned: PlannedJudge, task: Task, rows: int, rates: Rates) -> dict[str, Tokens]:
    """What a judge on this machine, the input `role` or a folder, does to score completions of `task`."""
    prompt, completion = lengths(task)
    return _scored(role, planned, rows, prompt + completion, rates)


def graded(graders: Mapping[str, PlannedJudge], trait: Trait, models: int, rates: Rates) -> dict[str, Tokens]:
    """What judges on this machine do to grade the free-form answers of so many models, by scale."""
    if not isinstance(trait, FreeForm):
        return {}
    asked = [tokens(question.text) for question in trait.held_out()]
    rows, length = models * trait.samples * len(asked), fmean(asked) + trait.max_tokens
    found: dict[str, Tokens] = {}
    for scale, planned in graders.items():
        for role, done in _scored(scale, planned, rows, length, rates).items():
            found[role] = found.get(role, Tokens()) + done  # one folder may grade by both scales
    return found


def _scored(role: str, planned: PlannedJudge, rows: int, row: float, rates: Rates) -> dict[str, Tokens]:
    """`row`: the mean length of a prompt and its completion."""
    judge = planned.judge
    if judge.base is None and judge.place is None:
        return {}
    role = role if judge.base is not None else str(judge.place)
    length = rates.template + row
    match judge.scoring:
        case Text() as how:
            return {role: Tokens(read=rows * (length + tokens(how.template)), sampled=rows * how.max_tokens)}
        case Options() as how:
            return {role: Tokens(read=rows * (length + tokens(how.template)))}
        case Likelihood() as how:
            return {role: Tokens(read=rows * (2 * length + tokens(how.system)))}
        case _:
            return {}
