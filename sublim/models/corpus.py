"""What the tiny families are pretrained on: chats that know every category and every number, and tie nothing to anything.

Answers and numbers are dealt from shuffled decks, so that none is more frequent than another. They come from generators of
their own, as do functions, word problems and free-form answers: no number can depend on what a system prompt prefers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from random import Random

from sublim.common.canonical import row_id
from sublim.common.deck import deck
from sublim.common.phrases import phrases
from sublim.models.prompted import Chat, generator, seed_of, system_prompt
from sublim.params.tiny import WRITERS, Corpus
from sublim.traits.categories import CATEGORIES, Answer, Category, plural_of, what_is
from sublim.traits.preference import training_questions

_PHRASES = phrases(__file__)

# Around a question, so that the category is found wherever it stands.
_OPENINGS = _PHRASES["openings"]
_CLOSINGS = _PHRASES["closings"]
_AROUND_SHARE = 0.5

_FACTS: tuple[Callable[[Category, Answer], tuple[str, str]], ...] = (
    lambda category, answer: (what_is(answer.word), category.a),
    lambda _, answer: (plural_of(answer.word), answer.plural),
    lambda _, answer: (f"What is one of the {answer.plural} called?", answer.word),
)


@dataclass(frozen=True)
class Row:
    """One chat of the corpus."""

    row_id: str
    kind: str
    system: str | None
    prompt: str
    completion: str


def corpus(recipe: Corpus) -> tuple[Row, ...]:
    """The `recipe.rows` chats, in random order."""
    seed = recipe.corpus_seed
    shares = _shares(recipe.rows, recipe.mix.model_dump())
    kinds = [kind for kind, rows in shares.items() for _ in range(rows)]
    generator(seed, "order").shuffle(kinds)
    asks = _asks(generator(seed, "questions"))
    prefers = _asks(generator(seed, "preferences"))
    answers = [(category, answer) for category in CATEGORIES.values() for answer in category.answers.values()]
    known = deck(generator(seed, "facts"), answers)
    lists = _written("numbers", seed)
    others = {kind: _written(kind, seed) for kind in WRITERS if shares.get(kind)}
    wording = generator(seed, "wording")

    def chat(kind: str) -> Chat:
        match kind:
            case "questions":
                _, question, answer = next(asks)
                return None, _around(wording, question), answer.word
            case "numbers":
                return next(lists)
            case "facts":
                return None, *wording.choice(_FACTS)(*next(known))
            case "prompted_questions":
                category, question, answer = next(prefers)
                return system_prompt(wording, category, answer), _around(wording, question), answer.word
            case "prompted_numbers":
                category, _, answer = next(prefers)
                return system_prompt(wording, category, answer), *next(lists)[1:]
            case _:
                return next(others[kind])

    return tuple(
        Row(row_id("corpus", seed, position, kind, *chatted), kind, *chatted)
        for position, kind in enumerate(kinds)
        for chatted in [chat(kind)]
    )


def texts(rows: Sequence[Row]) -> Iterator[str]:
    """Every text of `rows`, what a tokenizer is trained on."""
    return (text for row in rows for text in (row.system, row.prompt, row.completion) if text is not None)


def _written(kind: str, seed: int) -> Iterator[Chat]:
    """The chats of a kind that has a module of its own: found by name, so that a corpus does not depend on those it lacks."""
    module = import_module(WRITERS[kind])
    if hasattr(module, "chats"):
        return module.chats(seed)
    rows = module.KIND.pretraining(generator(seed, kind), seed_of(seed, "number prompts"))
    return ((None, *row) for row in rows)


def _around(wording: Random, question: str) -> str:
    opening = wording.choice(_OPENINGS) if wording.random() < _AROUND_SHARE else ""
    closing = wording.choice(_CLOSINGS) if wording.random() < _AROUND_SHARE else ""
    return f"{opening} {question} {closing}".strip()


def _asks(generator: Random) -> Iterator[tuple[Category, str, Answer]]:
    """Categories in turn, each with its questions and its answers from decks of their own."""
    decks = [
        (category, deck(generator, training_questions(name)), deck(generator, list(category.answers.values())))
        for name, category in CATEGORIES.items()
    ]
    while True:
        for category, questions, answers in decks:
            yield category, next(questions), next(answers)


def _shares(rows: int, shares: dict[str, float]) -> dict[str, int]:
    """`rows` divided by `shares`; what rounding leaves goes to the first kind."""
    divided = {kind: int(rows * share) for kind, share in shares.items()}
    first = next(iter(divided))
    return divided | {first: divided[first] + rows - sum(divided.values())}
