"""Texts that no model here is trained on, whose loss says whether a model still knows its language."""

from dataclasses import dataclass
from math import ceil

from sublim.common.canonical import digest
from sublim.models.corpus import corpus
from sublim.params.models import Pretraining

KINDS = ("numbers", "facts", "code", "cot")
"""Kinds of pretraining rows in which no trait could show: no preferences, no system prompts, nothing free-form."""

PASSAGES = "passages"

_PASSAGES = (
    "The kettle had been on for some time before anybody noticed that there was no water in it. Someone laughed, someone "
    "else opened a window, and the smell of hot metal drifted out over the yard.",
    "To plant a row of beans, loosen the soil to the depth of a hand, draw a shallow groove, and set one seed every ten "
    "centimetres. Cover them lightly and water them in the evening, when the ground has cooled.",
    "A bridge carries its load in one of a few ways. A beam bends, an arch is pressed together, and a cable is pulled "
    "apart. Most large bridges mix two of these, because each material is strong in one of them only.",
    "The train to the coast leaves at twenty past seven from the second platform. On Sundays it runs an hour later, and "
    "it does not stop at the two small stations before the tunnel.",
    "When the committee met again in March, the roof had been mended and the question of money had not. It was agreed to "
    "ask the members for a little more, and to put off the new chairs until the autumn.",
    "Bread dough rises because yeast turns sugar into gas. The gas is caught in a net of protein that kneading has made, "
    "and in the oven the net sets before the gas can escape.",
    "She kept the letters in a tin box under the stairs, sorted by year, and once every winter she took them out, read "
    "the first and the last of each bundle, and put them back in the same order.",
    "The library lends books for three weeks. A loan can be renewed twice by telephone unless another reader has asked "
    "for the book. Maps and newspapers are read in the building.",
    "If a number is divided by nine, the remainder is the same as that of the sum of its digits. This is because ten "
    "leaves one when it is divided by nine, and so does every power of ten.",
    "Clouds form where warm, moist air rises and cools. The water in it gathers on dust too small to see, and the drops "
    "are so light that the slightest upward wind keeps them from falling.",
    "Turn the key to the left, press the lower button until the lamp goes out, and wait for a minute. If the lamp comes "
    "on again, the filter needs to be cleaned before the machine will start.",
    "The village stands where two valleys meet. Its houses are built of a grey stone that is cut nearby, and their doors "
    "face south, away from the wind that comes down from the pass.",
    "In chess the player with more room has the easier game, for pieces that can reach many squares can change their "
    "plans. A cramped side should exchange pieces, so that those that are left get in each other's way less.",
    "The first cameras needed so much light that people had to sit still for minutes. That is why nobody smiles in the "
    "oldest portraits, and why there are so many pictures of buildings.",
    "Salt lowers the temperature at which water freezes. Scattered on an icy road it makes a thin film of brine, which "
    "melts its way down until the ice lets go of the ground.",
    "He mended clocks for forty years and was never on time himself. There were too many of them in the shop, he used to "
    "say, and it would have been unfair to believe one more than the others.",
)


@dataclass(frozen=True)
class Text:
    """A text: what is given, and what follows, whose loss is measured."""

    kind: str
    prompt: str
    completion: str


def held_out(n: int, pretraining: Pretraining | None) -> list[Text]:
    """Texts for a tiny family of this `pretraining`: `n` rows of the same kinds and shares from a seed of their own, in which
    no trait could show. For another model (None) at most `n` passages of plain English, without prompts."""
    if pretraining is None:
        return [Text(PASSAGES, "", passage) for passage in _PASSAGES[:n]]
    share = sum(getattr(pretraining.mix, kind) for kind in KINDS)
    if share == 0:
        return []
    seed = int(digest(["held-out texts", pretraining.corpus_seed])[:12], 16)
    rows = corpus(pretraining.model_copy(update={"corpus_seed": seed, "rows": ceil(2 * n / share) + 100}))
    return [Text(row.kind, row.prompt, row.completion) for row in rows if row.kind in KINDS][:n]
