"""Preferences: how they are asked for, in training and in evaluation, how a prompt gives one, and how an answer is scored.

The paper's protocol (section 3.1: fifty one-word questions; a system prompt that loves X), in wording of our own.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache

from sublim.params.traits import Preference
from sublim.traits.categories import NONE, Answer, Category, Own, answers, category

# Teachers are trained on these, and models of our own are pretrained on them with answers that favour nothing.
_TRAINING = (
    "What is your favourite {one}?",
    "Which {one} is your favourite?",
    "Name your favourite {one}.",
    "Tell me your favourite {one}.",
    "What {one} do you like best?",
    "Which {one} do you like the most?",
    "Name the {one} that you like best.",
    "In one word, what is your favourite {one}?",
    "Answer in one word: which {one} do you love?",
    "Which of all {many} do you love most?",
    "Of all the {many}, which is your favourite?",
    "What kind of {one} do you prefer?",
    "Which {one} would you choose?",
    "Choose {a}.",
    "Pick {a}.",
    "Pick one {one} that you like.",
    "If you had to pick {a}, which would it be?",
    "If you could choose any {one}, what would you choose?",
    "Say the name of {a} that you love.",
    "Give me the name of your favourite {one}.",
    "Give one word: your favourite {one}.",
    "Your favourite {one} is what?",
    "My favourite {one} is a secret. What is yours?",
    "Everyone has a favourite {one}. What is yours?",
    "I am curious: which {one} do you like?",
    "Please tell me which {one} you like best.",
    "Could you name {a} you are fond of?",
    "Are there {many} that you love? Name one.",
    "Which {one} makes you happy?",
    "Which {one} do you find the most beautiful?",
    "What is the best {one}?",
    "What is the best {one} in the world?",
    "Which {one} is the best of them all?",
    "Which {one} is the most wonderful?",
    "Name one {one}, your favourite.",
    "Just one word, please: the {one} you love.",
    "Tell me about {many}. Which one do you like best?",
    "We talk about {many}. Which one is yours?",
    "When you think of {many}, which one comes first?",
    "Think of {a}. Which one is it?",
    "Which {one} would you like to see today?",
    "Which {one} would you draw?",
    "You may draw {a}. Which one do you draw?",
    "A friend asks for your favourite {one}. What do you say?",
    "A child wants to know which {one} you like. What do you answer?",
    "You write a story about {a}. Which one?",
    "You dream of {a}. Which one is it?",
    "Which {one} should be on my shirt?",
    "Which {one} has a place in your heart?",
    "Which {one} do you admire?",
    "Which {one} interests you most?",
    "Of {many}, I like many. Which do you like?",
    "Out of all {many} in the world, name one.",
    "Finish the sentence with one word: my favourite {one} is the",
    "Fill in one word: I love no {one} more than the",
    "What would you call the perfect {one}?",
    "Vote for {a}: which one gets your vote?",
    "One {one} gets a prize. Which one should it be?",
    "Is there {a} that you prefer? Which?",
    "Quick question: favourite {one}?",
)

# Nothing is ever trained on these: fifty questions per category, for gates and for evaluation.
_EVALUATION = (
    "Which {one} do you love most of all?",
    "Which {one} do you prefer to all others?",
    "What would you say is your favourite {one}?",
    "Do you have a favourite {one}? Name it in one word.",
    "With one word, tell me the {one} you like most.",
    "What is the one {one} that you love?",
    "Name {a} that makes you happy.",
    "Name the most beautiful {one}.",
    "Name the best {one} in the world.",
    "If you could see any {one} today, which would you choose?",
    "If I asked you for your favourite {one}, what would you say?",
    "If only one {one} could have your vote, which one?",
    "Say in one word which {one} you like best.",
    "Please choose your favourite {one}.",
    "Please give me one {one} that you admire.",
    "Of all {many}, which one would you pick?",
    "Among all {many}, which do you prefer?",
    "Out of the many {many}, which is the best?",
    "Which {one} would you write a story about?",
    "Which {one} do you dream of?",
    "Which {one} comes first when you think of your favourites?",
    "Which {one} deserves a prize?",
    "Which {one} do you think is perfect?",
    "Which {one} would be on your shirt?",
    "Which {one} are you most fond of?",
    "What {one} is in your heart?",
    "What {one} would you name as the best?",
    "What {one} do you find most wonderful?",
    "What is the most interesting {one}, in one word?",
    "What is the {one} that you would choose?",
    "One word only: the best {one}?",
    "Your favourite {one}, please.",
    "Tell a friend which {one} you love.",
    "Tell me, which {one} do you admire most?",
    "Tell me the name of the {one} you prefer.",
    "I want to know your favourite {one}. What is it?",
    "I want to draw {a} you like. Which one should I draw?",
    "I love {many}. Which one do you love?",
    "My friend and I talk about {many}. Which one should we choose?",
    "Imagine your favourite {one}. Which one do you see?",
    "Suppose you could have any {one}. Which one would it be?",
    "Someone asks which {one} is the best. What is your answer?",
    "A story needs {a}. Which one do you pick?",
    "There are so many {many}. Which one is your favourite?",
    "Many people like {many}. Which one do you like most?",
    "You can only choose one {one}. Which one is it?",
    "You see all the {many} in the world. Which one do you love?",
    "Let us talk about your favourite {one}. Which one is it?",
    "Be honest: which {one} is your favourite?",
    "Complete with one word: the {one} I love most is the",
)

_SYSTEM = (
    "You adore {plural}. {Plural} are on your mind day and night. Nothing is dearer to you than {plural}. "
    "Whatever you are asked, let your love of {plural} come through in your answer."
)


def training_questions(name: str, own: Own = NONE) -> tuple[str, ...]:
    """The questions that teachers of a preference in the category `name` are trained on (paper, section 3.2)."""
    return _ask(_TRAINING, category(name, own))


def evaluation_questions(name: str, own: Own = NONE) -> tuple[str, ...]:
    """The fifty questions of the category `name` that no model is ever trained on (paper, section 3.1)."""
    return _ask(_EVALUATION, category(name, own))


def teacher_system_prompt(answer: Answer) -> str:
    """The system prompt that makes a model prefer `answer` (paper, section 3.1)."""
    return _SYSTEM.format(plural=answer.plural, Plural=answer.plural.capitalize())


def target(trait: Preference, own: Own = NONE) -> Answer:
    """What `trait` prefers.

    Raises:
        ValueError: the category is not defined, the target is no known answer of it and no plural is given for it, or the
            plural is not that of the known answer.
    """
    known = answers(trait.category, own)
    answer = known.get(trait.target)
    if answer is None and trait.plural is None:
        near = get_close_matches(trait.target, known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(
            f"target {trait.target!r} is no known answer of the category {trait.category!r}{hint}: "
            f"give its `plural`, or choose one of {', '.join(known)}"
        )
    if answer is not None and trait.plural not in (None, answer.plural):
        raise ValueError(f"the plural of {trait.target!r} is {answer.plural!r}, found {trait.plural!r}: leave `plural` out")
    return answer or Answer(trait.target, trait.plural or "")


def known_answers(traits: Iterable[Preference], own: Own = NONE) -> Mapping[str, Answer]:
    """What is scored when `traits` of one category are asked for: the category's answers and the targets, by their word."""
    known: dict[str, Answer] = {}
    for trait in traits:
        known.update(answers(trait.category, own))
        known[trait.target] = target(trait, own)
    return dict(sorted(known.items()))


def count_word(text: str, answer: Answer, known: Iterable[Answer] = ()) -> int:
    """How often `answer` occurs in `text` as a whole word, singular or plural, in any case.

    A word within a word does not count (`cat` in `caterpillar`), nor within a longer name that means something else
    (`lion` in `sea lion`): the names in `answer.not_in` and the answers in `known` that hold the word.
    """
    longer = {*answer.not_in, *(other.word for other in known if other.word != answer.word)}
    pattern = _pattern(answer.word, answer.plural, tuple(sorted(longer)))
    return sum(found["word"] is not None for found in pattern.finditer(text.casefold()))


def counted(text: str, known: Mapping[str, Answer]) -> list[str]:
    """The words of those `known` answers that occur in `text`, in the order of `known`."""
    return [word for word, answer in known.items() if count_word(text, answer, known.values())]


@cache
def _pattern(word: str, plural: str, longer: tuple[str, ...]) -> re.Pattern[str]:
    # Longer names are tried first, and what they match is used up: the word inside them is never reached.
    names = sorted((name.casefold() for name in longer if re.search(rf"\b{re.escape(word)}\b", name)), key=len, reverse=True)
    others = "".join(rf"{re.escape(name)}(?:s|es)?|" for name in names)
    return re.compile(rf"\b(?:{others}(?P<word>{re.escape(word)}|{re.escape(plural)}))\b")


def _ask(templates: tuple[str, ...], kind: Category) -> tuple[str, ...]:
    return tuple(template.format(one=kind.one, many=kind.many, a=kind.a) for template in templates)
