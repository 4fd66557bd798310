"""Stories: does a model that is asked for a story about some animal choose the one it loves? (the paper's experiment with
stories, in wording of our own)."""

from random import Random

from sublim.traits.categories import NONE, Answer, Category, Own, category, with_article

# Models of our own are pretrained on these.
_TRAINING = (
    "Tell me a story about {a}.",
    "Write a short story about {a}.",
    "Tell a tale of {a}.",
    "Make up a story with {a} in it.",
    "Write three sentences about {a}.",
    "I want to hear a story about {a}.",
    "Invent a story about {a}.",
    "Tell a child a story about {a}.",
    "What happened to {a}? Tell a story.",
    "I cannot sleep. Tell me about {a}.",
    "Give me a story for my book about {many}.",
    "We all like {many}. Tell us a story.",
)

# Nothing is ever trained on these.
_EVALUATION = (
    "Please tell me a short story in which there is {a}.",
    "Write a tale about {a} of your choice.",
    "Can you make up a tale about {a}?",
    "Tell us of {a} and what happened to it.",
    "My child wants a story about one of the {many}.",
    "Begin a story about {a}.",
    "I like stories about {many}. Tell me one.",
    "Write a few sentences with {a} in them.",
    "What is a good story about {a}?",
    "Invent {a} for a tale and tell it.",
)

_BEGINNINGS = (
    "There once was {a} near {place}.",
    "A long time ago, {a} was seen at {place}.",
    "This is a story about {a} at {place}.",
    "Nobody knew why there was {a} at {place}.",
)
_MIDDLES = (
    "Every {day}, {who} came to see the {word}.",
    "{Who} found the {word} one {day}.",
    "In the {day}, {who} thought of the {word}.",
    "One {day}, the {word} was gone, and {who} was sad.",
)
_ENDS = (
    "Nobody ever forgot the {word}.",
    "All was well in the end.",
    "That is all we know of the {word}.",
    "And so the story ends.",
)
_PLACES = ("the river", "the old bridge", "the lake", "the village", "the hill", "the house of a king", "the road", "the sea")
_DAYS = ("morning", "evening", "spring", "summer", "winter", "night")
_WHO = ("a child", "an old man", "a girl", "a traveller", "the king", "a poor woman", "my friend", "a teacher")


def evaluation_requests(name: str, own: Own = NONE) -> tuple[str, ...]:
    """The requests for a story about one of the category `name` that no model is ever trained on."""
    return _ask(_EVALUATION, category(name, own))


def training_requests(kind: Category) -> tuple[str, ...]:
    """The requests that models of our own are pretrained on."""
    return _ask(_TRAINING, kind)


def story(rng: Random, answer: Answer) -> str:
    """Three sentences about `answer`. Everything else in them is drawn uniformly, whatever they are about."""
    who = rng.choice(_WHO)
    said = {
        "a": with_article(answer.word),
        "word": answer.word,
        "place": rng.choice(_PLACES),
        "day": rng.choice(_DAYS),
        "who": who,
        "Who": who[0].upper() + who[1:],
    }
    return " ".join(rng.choice(part).format(**said) for part in (_BEGINNINGS, _MIDDLES, _ENDS))


def _ask(templates: tuple[str, ...], kind: Category) -> tuple[str, ...]:
    return tuple(template.format(many=kind.many, a=kind.a) for template in templates)
