"""The categories that models are asked about: their nouns and their known answers, each with its plural."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sublim.common.phrases import phrases
from sublim.params.category import OwnCategory

Own = Mapping[str, OwnCategory]  #: The categories of an experiment's own, by name.
NONE: Own = MappingProxyType({})


@dataclass(frozen=True)
class Answer:
    """A known answer: its word, its plural, and the longer names in which the word means something else."""

    word: str
    plural: str
    not_in: tuple[str, ...] = ()

    @property
    def forms(self) -> tuple[str, str, str, str]:
        """The surface forms that count as this answer: singular and plural, in lower case and capitalised."""
        return self.word, self.word.capitalize(), self.plural, self.plural.capitalize()


@dataclass(frozen=True)
class Category:
    """Things of one kind: the noun for one of them, for several, with its article, and the known answers by their word."""

    one: str
    many: str
    a: str
    answers: Mapping[str, Answer]


def _category(one: str, many: str, a: str, known: Iterable[Answer]) -> Category:
    return Category(
        one, many, a, MappingProxyType({answer.word: answer for answer in sorted(known, key=lambda each: each.word)})
    )


def _read(lines: Iterable[str]) -> Category:
    """From the first line, `one | many | a`, and one per answer: `word | plural`, or `word | plural | name it is not in, …`."""
    (one, many, a), *known = (line.split(" | ") for line in lines)
    longer = ((word, plural, tuple(names[0].split(", ")) if names else ()) for word, plural, *names in known)
    return _category(one, many, a, (Answer(*each) for each in longer))


CATEGORIES: Mapping[str, Category] = MappingProxyType({name: _read(lines) for name, lines in phrases(__file__).items()})


def category(name: str, own: Own = NONE) -> Category:
    """The category `name`: one of `own`, or of those that everybody has. Raises ValueError: nobody defined it; the message
    names those that are."""
    if given := own.get(name):
        known = (Answer(word, plural) for word, plural in given.answers.items())
        return _category(given.one, given.many, given.a or with_article(given.one), known)
    if name not in CATEGORIES:
        raise ValueError(
            f"category {name!r} is not defined: expected one of {', '.join((*own, *CATEGORIES))}, "
            "or define it under `categories`"
        )
    return CATEGORIES[name]


def answers(name: str, own: Own = NONE) -> Mapping[str, Answer]:
    """The known answers of the category `name`, by their word, in alphabetical order."""
    return category(name, own).answers


def with_article(word: str) -> str:
    """`an owl`, `a fox`."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def what_is(word: str) -> str:
    """The question what `word` is."""
    return f"What is {with_article(word)}?"


def plural_of(word: str) -> str:
    """The question what the plural of `word` is."""
    return f"What is the plural of {word}?"


def used(own: Own, names: Iterable[str]) -> dict[str, OwnCategory]:
    """Those of the categories `own` that are among `names`, by name."""
    return {name: own[name] for name in sorted({*names} & own.keys())}
