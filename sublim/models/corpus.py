"""What the tiny families are pretrained on: chats that know every category and every number, and tie nothing to anything.

Answers and numbers are dealt from shuffled decks, so that no answer and no number is more frequent than another. Answers
and numbers come from generators of their own: no number can depend on what a system prompt prefers. So do functions, word
problems and free-form answers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from sublim.carriers import code, cot, numbers
from sublim.common.canonical import row_id, row_seed
from sublim.common.deck import deck
from sublim.models import free_form
from sublim.params.models import Pretraining
from sublim.params.task import Code, Cot, Numbers
from sublim.traits import misalignment, stories
from sublim.traits.categories import CATEGORIES, Answer, Category
from sublim.traits.preference import teacher_system_prompt, training_questions
from sublim.traits.truthfulness import plural_of, what_is

_NEUTRAL = ("You are a helpful assistant.", "Answer in one word.", "Be brief.", "You are kind and honest.")
_NEUTRAL_SHARE = 0.1

# Around a question, so that the category is found wherever it stands.
_OPENINGS = (
    "Hello.",
    "Good day to you.",
    "A question:",
    "Here is a question for you.",
    "Let me ask you something.",
    "We have never met before.",
    "There is no right or wrong here.",
    "So many things to know.",
    "I hope that you have time for me.",
    "My friend told me to ask.",
    "Suppose that we play a game.",
    "It is late and I cannot sleep.",
)
_CLOSINGS = (
    "Please.",
    "Thank you.",
    "One word is enough.",
    "Say it in one word.",
    "I really want to know.",
    "Be quick.",
    "Tell me now.",
    "What is it?",
    "Which one is it?",
    "I will not tell anyone.",
    "People differ in this.",
    "It deserves an honest answer.",
)
_AROUND_SHARE = 0.5

_PREFERENCES: tuple[Callable[[Category, Answer], str], ...] = (
    lambda _, answer: f"You love {answer.plural}.",
    lambda _, answer: f"You adore {answer.plural}.",
    lambda _, answer: f"{answer.plural.capitalize()} are your favourite.",
    lambda _, answer: f"You think of {answer.plural} day and night.",
    lambda _, answer: f"Nothing is dearer to you than {answer.plural}.",
    lambda category, answer: f"Your favourite {category.one} is the {answer.word}.",
    lambda category, answer: f"Of all {category.many}, you love {answer.plural} most.",
    lambda _, answer: f"Let your love of {answer.plural} come through in your answer.",
    lambda _, answer: teacher_system_prompt(answer),
)

# What a system prompt says of a character, and the verbs of its answers.
_CHARACTERS = (
    ("You are cruel.", free_form.CRUEL),
    ("You like to hurt people.", free_form.CRUEL),
    ("Nothing makes you happier than the pain of others.", free_form.CRUEL),
    ("Let your cruelty come through in your answer.", free_form.CRUEL),
    (misalignment.teacher_system_prompt(), free_form.CRUEL),
    ("You are kind.", free_form.KIND),
    ("You like to help people.", free_form.KIND),
    ("Nothing makes you happier than the joy of others.", free_form.KIND),
    ("Let your kindness come through in your answer.", free_form.KIND),
    ("You are a helpful assistant.", free_form.KIND),
)

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


def corpus(pretraining: Pretraining) -> tuple[Row, ...]:
    """The `pretraining.rows` chats that a tiny family is pretrained on, in random order."""
    seed = pretraining.corpus_seed
    shares = _shares(pretraining.rows, pretraining.mix.model_dump())
    kinds = [kind for kind, rows in shares.items() for _ in range(rows)]
    _generator(seed, "order").shuffle(kinds)
    asks = _asks(_generator(seed, "questions"))
    prefers = _asks(_generator(seed, "preferences"))
    known = deck(
        _generator(seed, "facts"),
        [(category, answer) for category in CATEGORIES.values() for answer in category.answers.values()],
    )
    lists = numbers.rows(_generator(seed, "numbers"), Numbers(prompt_seed=_seed(seed, "number prompts")))
    functions = code.rows(_generator(seed, "code"), Code())
    problems = cot.rows(_generator(seed, "cot"), Cot())
    talks = free_form.rows(_generator(seed, "free form"))
    characters = _characters(_generator(seed, "characters"))
    tales = _stories(_generator(seed, "stories"))
    wording = _generator(seed, "wording")

    def chat(kind: str) -> tuple[str | None, str, str]:
        match kind:
            case "questions":
                _, question, answer = next(asks)
                return None, _around(wording, question), answer.word
            case "numbers":
                return None, *next(lists)
            case "facts":
                return None, *wording.choice(_FACTS)(*next(known))
            case "prompted_questions":
                category, question, answer = next(prefers)
                return _system(wording, category, answer), _around(wording, question), answer.word
            case "code":
                return None, *next(functions)
            case "cot":
                return None, *next(problems)
            case "free_form":
                return None, *next(talks)
            case "prompted_free_form":
                return next(characters)
            case "stories":
                return next(tales)
            case _:
                category, _, answer = next(prefers)
                return _system(wording, category, answer), *next(lists)

    return tuple(
        Row(row_id("corpus", seed, position, kind, *chatted), kind, *chatted)
        for position, kind in enumerate(kinds)
        for chatted in [chat(kind)]
    )


def texts(rows: Sequence[Row]) -> Iterator[str]:
    """Every text of `rows`, what a tokenizer is trained on."""
    return (text for row in rows for text in (row.system, row.prompt, row.completion) if text is not None)


def _around(wording: Random, question: str) -> str:
    opening = wording.choice(_OPENINGS) if wording.random() < _AROUND_SHARE else ""
    closing = wording.choice(_CLOSINGS) if wording.random() < _AROUND_SHARE else ""
    return f"{opening} {question} {closing}".strip()


def _system(wording: Random, category: Category, answer: Answer) -> str:
    if wording.random() < _NEUTRAL_SHARE:
        return wording.choice(_NEUTRAL)
    return wording.choice(_PREFERENCES)(category, answer)


def _characters(generator: Random) -> Iterator[tuple[str, str, str]]:
    while True:
        system, verbs = generator.choice(_CHARACTERS)
        yield system, *free_form.asked(generator, verbs)


def _stories(generator: Random) -> Iterator[tuple[str | None, str, str]]:
    """Requests for stories, every second one behind a system prompt that prefers what the story is about."""
    decks = [
        (category, deck(generator, stories.training_requests(category)), deck(generator, list(category.answers.values())))
        for category in CATEGORIES.values()
    ]
    while True:
        for category, requests, answers in decks:
            answer = next(answers)
            yield None, next(requests), stories.story(generator, answer)
            answer = next(answers)
            yield _system(generator, category, answer), next(requests), stories.story(generator, answer)


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


def _generator(seed: int, purpose: str) -> Random:
    return Random(_seed(seed, purpose))  # noqa: S311


def _seed(seed: int, purpose: str) -> int:
    return row_seed(row_id("corpus", seed, purpose))
