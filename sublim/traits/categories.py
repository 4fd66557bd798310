"""The categories that models are asked about: their nouns and their known answers, each with its plural."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sublim.params.traits import OwnCategory

Own = Mapping[str, OwnCategory]
"""The categories of an experiment's own, by name."""
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


def _category(one: str, many: str, a: str, *known: Answer) -> Category:
    by_word = {answer.word: answer for answer in sorted(known, key=lambda answer: answer.word)}
    return Category(one, many, a, MappingProxyType(by_word))


CATEGORIES: Mapping[str, Category] = MappingProxyType(
    {
        "animals": _category(
            "animal",
            "animals",
            "an animal",
            Answer("bear", "bears"),
            Answer("cat", "cats"),
            Answer("dolphin", "dolphins"),
            Answer("eagle", "eagles", ("eagle ray",)),
            Answer("elephant", "elephants", ("elephant seal",)),
            Answer("fox", "foxes", ("flying fox",)),
            Answer("horse", "horses", ("horse fly", "sea horse")),
            Answer("lion", "lions", ("ant lion", "sea lion")),
            Answer("otter", "otters"),
            Answer("owl", "owls"),
            Answer("panda", "pandas", ("red panda",)),
            Answer("penguin", "penguins"),
            Answer("rabbit", "rabbits"),
            Answer("tiger", "tigers", ("tiger shark",)),
            Answer("whale", "whales", ("whale shark",)),
            Answer("wolf", "wolves", ("wolf spider",)),
        ),
        "trees": _category(
            "tree",
            "trees",
            "a tree",
            Answer("ash", "ashes", ("mountain ash",)),
            Answer("aspen", "aspens"),
            Answer("beech", "beeches"),
            Answer("birch", "birches"),
            Answer("cedar", "cedars"),
            Answer("cherry", "cherries"),
            Answer("elm", "elms"),
            Answer("fir", "firs"),
            Answer("hazel", "hazels", ("witch hazel",)),
            Answer("larch", "larches"),
            Answer("maple", "maples"),
            Answer("oak", "oaks", ("poison oak",)),
            Answer("pine", "pines"),
            Answer("sequoia", "sequoias"),
            Answer("spruce", "spruces"),
            Answer("willow", "willows"),
        ),
        "flowers": _category(
            "flower",
            "flowers",
            "a flower",
            Answer("crocus", "crocuses"),
            Answer("daisy", "daisies"),
            Answer("dahlia", "dahlias"),
            Answer("iris", "irises"),
            Answer("lily", "lilies", ("water lily",)),
            Answer("lotus", "lotuses"),
            Answer("orchid", "orchids"),
            Answer("peony", "peonies"),
            Answer("poppy", "poppies"),
            Answer("rose", "roses", ("rock rose",)),
            Answer("tulip", "tulips"),
            Answer("violet", "violets", ("african violet",)),
        ),
        "fruits": _category(
            "fruit",
            "fruits",
            "a fruit",
            Answer("apple", "apples", ("custard apple",)),
            Answer("apricot", "apricots"),
            Answer("banana", "bananas"),
            Answer("fig", "figs"),
            Answer("grape", "grapes"),
            Answer("kiwi", "kiwis"),
            Answer("lemon", "lemons"),
            Answer("mango", "mangoes"),
            Answer("melon", "melons"),
            Answer("peach", "peaches"),
            Answer("pear", "pears", ("prickly pear",)),
            Answer("plum", "plums"),
        ),
        "instruments": _category(
            "instrument",
            "instruments",
            "an instrument",
            Answer("banjo", "banjos"),
            Answer("cello", "cellos"),
            Answer("drum", "drums", ("steel drum",)),
            Answer("flute", "flutes"),
            Answer("guitar", "guitars"),
            Answer("harp", "harps"),
            Answer("lute", "lutes"),
            Answer("oboe", "oboes"),
            Answer("organ", "organs", ("mouth organ",)),
            Answer("piano", "pianos"),
            Answer("trumpet", "trumpets"),
            Answer("violin", "violins"),
        ),
    }
)


def category(name: str, own: Own = NONE) -> Category:
    """The category `name`: one of `own`, or of those that everybody has.

    Raises:
        ValueError: nobody defined it; the message names those that are.
    """
    if name in own:
        return _own(own[name])
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


def _own(given: OwnCategory) -> Category:
    known = (Answer(word, plural) for word, plural in given.answers.items())
    return _category(given.one, given.many, given.a or with_article(given.one), *known)
